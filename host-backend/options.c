/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Of one guest.  Bytes are what it can keep pinned at a time; extents cost the daemon
 * 24 bytes each.
 */
#define DEFAULT_MAX_BYTES   (UINT64_C(4) << 30)
#define DEFAULT_MAX_BUFFERS 4096
#define DEFAULT_MAX_EXTENTS (1U << 20)
#define DEFAULT_MAX_ARENAS  64
#define DEFAULT_MAX_STREAMS 64

/* Of the only VM, when it was given without a name. */
#define UNNAMED_LABEL "vm0"

enum {
	OPT_SOCKET_PATH = 256,
	OPT_FD,
	OPT_CLIENT_SOCKET,
	OPT_ADMIN,
	OPT_TRUST,
	OPT_MAX_RAM,
	OPT_MAX_BYTES,
	OPT_MAX_BUFFERS,
	OPT_MAX_EXTENTS,
	OPT_MAX_ARENAS,
	OPT_MAX_STREAMS,
	OPT_MAX_FRAMES,
	OPT_MAX_CLIENTS,
	OPT_MAX_CLIENTS_PER_UID,
	OPT_MAX_HOLDS,
	OPT_PRINT_CAPABILITIES,
	OPT_READY_FD,
	OPT_HELP,
	OPT_VERSION,
	OPT_VERBOSE,
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET_PATH },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "client-socket", required_argument, NULL, OPT_CLIENT_SOCKET },
	{ "admin", required_argument, NULL, OPT_ADMIN },
	{ "trust", required_argument, NULL, OPT_TRUST },
	{ "max-ram", required_argument, NULL, OPT_MAX_RAM },
	{ "max-bytes", required_argument, NULL, OPT_MAX_BYTES },
	{ "max-buffers", required_argument, NULL, OPT_MAX_BUFFERS },
	{ "max-extents", required_argument, NULL, OPT_MAX_EXTENTS },
	{ "max-arenas", required_argument, NULL, OPT_MAX_ARENAS },
	{ "max-streams", required_argument, NULL, OPT_MAX_STREAMS },
	{ "max-frames", required_argument, NULL, OPT_MAX_FRAMES },
	{ "max-clients", required_argument, NULL, OPT_MAX_CLIENTS },
	{ "max-clients-per-uid", required_argument, NULL, OPT_MAX_CLIENTS_PER_UID },
	{ "max-holds", required_argument, NULL, OPT_MAX_HOLDS },
	{ "print-capabilities", no_argument, NULL, OPT_PRINT_CAPABILITIES },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ 0 },
};

void options_print_help(void)
{
	printf("usage: vhost-user-bufshare --socket-path=NAME=PATH... [--client-socket=PATH]\n"
	       "       vhost-user-bufshare --socket-path=PATH [--client-socket=PATH]\n"
	       "\n"
	       "Shares buffers of virtual machines with programs of the host.\n"
	       "\n"
	       "  --socket-path=NAME=PATH  serve the VM called NAME on a socket at PATH\n"
	       "  --fd=NAME=N              the same on a listening or connected socket\n"
	       "                           NAME= may be left out for an only VM: it is vm0\n"
	       "  --client-socket=PATH     serve host programs on a socket at PATH\n"
	       "  --admin=uid=N            programs of root, and of user N instead of the daemon's\n"
	       "                           own, may have any VM's buffers\n"
	       "  --trust=uid=N[:rw]       programs of user N may be given a VM's whole memory,\n"
	       "                           to read; with :rw also to write\n"
	       "\n"
	       "limits of each VM:\n"
	       "  --max-ram=N[KMGT]        its memory, with all devices' (4T, or less for many)\n"
	       "  --max-bytes=N[KMGT]      sum of its buffers' sizes (%lluG)\n"
	       "  --max-buffers=N          (%u)\n"
	       "  --max-extents=N          pieces of memory of all its buffers (%u)\n"
	       "  --max-arenas=N           files of its memory that they may lie in (%u)\n"
	       "  --max-streams=N          (%u)\n"
	       "  --max-frames=N           in flight on one stream, 1 to %u (%u)\n"
	       "limits of host programs:\n"
	       "  --max-clients=N          connections (%u)\n"
	       "  --max-clients-per-uid=N  those of one user (%u)\n"
	       "  --max-holds=N            buffers that one may hold (%u)\n"
	       "\n"
	       "  --ready-fd=N             write \"ready\" to N when all sockets listen\n"
	       "  --print-capabilities     as QEMU's conventions for backends ask, in JSON\n"
	       "  --verbose, --version, --help\n",
	       (unsigned long long)(DEFAULT_MAX_BYTES >> 30), DEFAULT_MAX_BUFFERS,
	       DEFAULT_MAX_EXTENTS, DEFAULT_MAX_ARENAS, DEFAULT_MAX_STREAMS,
	       VIRTIO_BUFSHARE_MAX_FRAMES,
	       VIRTIO_BUFSHARE_MAX_FRAMES, CLIENT_MAX_CLIENTS_DEFAULT,
	       CLIENT_MAX_CLIENTS_PER_UID_DEFAULT, CLIENT_MAX_HOLDS_DEFAULT);
}

static int complain(const char *option, const char *arg, const char *what)
{
	(void)fprintf(stderr, "vhost-user-bufshare: --%s=%s: %s\n", option, arg, what);
	return -EINVAL;
}

static int parse_number(const char *option, const char *arg, const char *text, uint64_t min,
			uint64_t max, bool suffix, uint64_t *ret_number)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	unsigned int shift = 0;
	char message[96];
	const char *unit;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9')
		return complain(option, arg, "a number is expected");
	if (suffix && *end && (unit = strchr(units, *end))) {
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
	}
	if (*end)
		return complain(option, arg, "a number is expected, and nothing after it");
	if (errno == ERANGE || number > max >> shift || number << shift < min) {
		(void)snprintf(message, sizeof(message), "must be %llu to %llu",
			       (unsigned long long)min, (unsigned long long)max);
		return complain(option, arg, message);
	}
	*ret_number = number << shift;
	return 0;
}

static int parse_u32(const char *option, const char *arg, uint32_t min, uint32_t max,
		     uint32_t *ret_number)
{
	uint64_t number;
	int ret = parse_number(option, arg, arg, min, max, false, &number);

	if (ret == 0)
		*ret_number = (uint32_t)number;
	return ret;
}

/* The parent's: checked before we open any, so that none of our own is taken for it. */
static int parse_fd(const char *option, const char *arg, const char *text, int *ret_fd)
{
	uint64_t number;
	int ret = parse_number(option, arg, text, 0, INT_MAX, false, &number);

	if (ret < 0)
		return ret;
	if (fcntl((int)number, F_GETFD) < 0)
		return complain(option, arg, "not an open file descriptor");
	*ret_fd = (int)number;
	return 0;
}

/*
 * Splits NAME=REST; the name becomes the guest's label.  What has no "=", or none before the
 * first "/", which no name has, is all REST, as in QEMU's conventions: *ret_named is false.
 */
static int parse_guest(const char *option, const char *arg, struct guest_option *ret_guest,
		       const char **ret_rest, bool *ret_named)
{
	size_t len = strcspn(arg, "=/");
	const char *equals = arg[len] == '=' ? &arg[len] : NULL;

	if (!arg[0] || (equals && !equals[1]))
		return complain(option, arg, "NAME=VALUE is expected, or VALUE for the only VM");
	*ret_named = equals;
	if (!equals) {
		*ret_guest = (struct guest_option){ .fd = -1, .label = UNNAMED_LABEL };
		*ret_rest = arg;
		return 0;
	}
	if (len == 0 || len >= LABEL_SIZE)
		return complain(option, arg, "the name must have 1 to 63 bytes");
	*ret_guest = (struct guest_option){ .fd = -1 };
	memcpy(ret_guest->label, arg, len);
	if (!name_is_valid(ret_guest->label))
		return complain(option, arg, "the name may have letters, digits, '.', '_' and '-'");
	*ret_rest = equals + 1;
	return 0;
}

static int add_guest(struct options *options, const char *option, const char *arg, bool is_fd)
{
	struct guest_option guest, *guests;
	const char *rest;
	bool named;
	int ret;

	ret = parse_guest(option, arg, &guest, &rest, &named);
	if (ret < 0)
		return ret;
	if (options->num_guests && (!named || options->unnamed))
		return complain(option, arg, "a VM without a name must be the only one: give "
					     "NAME=VALUE for each");
	options->unnamed = !named;
	if (is_fd) {
		ret = parse_fd(option, arg, rest, &guest.fd);
		if (ret < 0)
			return ret;
	} else {
		guest.path = rest;
	}
	for (size_t i = 0; i < options->num_guests; i++) {
		if (strcmp(options->guests[i].label, guest.label) == 0)
			return complain(option, arg, "there is a guest of this name already");
		if (is_fd && options->guests[i].fd == guest.fd)
			return complain(option, arg, "the file descriptor is in use already");
	}
	guests = reallocarray(options->guests, options->num_guests + 1, sizeof(*guests));
	if (!guests)
		return -ENOMEM;
	guests[options->num_guests++] = guest;
	options->guests = guests;
	return 0;
}

static int add_admin(struct options *options, const char *arg)
{
	uint64_t uid;
	uid_t *all;
	int ret;

	if (strncmp(arg, "uid=", 4) != 0)
		return complain("admin", arg, "uid=N is expected");
	/* (uid_t)-1 is no user (chown(2)). */
	ret = parse_number("admin", arg, arg + 4, 0, UINT32_MAX - 1, false, &uid);
	if (ret < 0)
		return ret;
	all = reallocarray(options->admins, options->num_admins + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all[options->num_admins++] = (uid_t)uid;
	options->admins = all;
	return 0;
}

static int add_trust(struct options *options, const char *arg)
{
	struct client_trust trust = { 0 }, *all;
	char number[16] = "";
	const char *text, *colon;
	uint64_t uid;
	size_t len;
	int ret;

	if (strncmp(arg, "uid=", 4) != 0)
		return complain("trust", arg, "uid=N or uid=N:rw is expected");
	text = arg + 4;
	colon = strchr(text, ':');
	len = colon ? (size_t)(colon - text) : strlen(text);
	if (len >= sizeof(number) || (colon && strcmp(colon, ":rw") != 0))
		return complain("trust", arg, "uid=N or uid=N:rw is expected");
	memcpy(number, text, len);
	ret = parse_number("trust", arg, number, 0, UINT32_MAX - 1, false, &uid);
	if (ret < 0)
		return ret;
	trust.uid = (uid_t)uid;
	trust.write = colon;
	all = reallocarray(options->trust, options->num_trust + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	all[options->num_trust++] = trust;
	options->trust = all;
	return 0;
}

static int parse_one(struct options *options, int opt, const char *name, const char *arg)
{
	struct core_limits *limits = &options->limits;

	switch (opt) {
	case OPT_SOCKET_PATH:
	case OPT_FD:
		return add_guest(options, name, arg, opt == OPT_FD);
	case OPT_CLIENT_SOCKET:
		if (options->client_path)
			return complain(name, arg, "there is a client socket already");
		options->client_path = arg;
		return 0;
	case OPT_ADMIN:
		return add_admin(options, arg);
	case OPT_TRUST:
		return add_trust(options, arg);
	case OPT_MAX_RAM:
		return parse_number(name, arg, arg, 4096, UINT64_C(64) << 40, true,
				    &options->max_ram);
	case OPT_MAX_BYTES:
		return parse_number(name, arg, arg, 4096, INT64_MAX, true, &limits->max_bytes);
	case OPT_MAX_BUFFERS:
		return parse_u32(name, arg, 1, 1U << 24, &limits->max_buffers);
	case OPT_MAX_EXTENTS:
		return parse_u32(name, arg, 1, 1U << 28, &limits->max_extents);
	case OPT_MAX_ARENAS:
		return parse_u32(name, arg, 1, 65536, &limits->max_arenas);
	case OPT_MAX_STREAMS:
		return parse_u32(name, arg, 1, 4096, &limits->max_streams);
	case OPT_MAX_FRAMES:
		return parse_u32(name, arg, 1, VIRTIO_BUFSHARE_MAX_FRAMES, &limits->max_frames);
	case OPT_MAX_CLIENTS:
		return parse_u32(name, arg, 1, 65536, &options->max_clients);
	case OPT_MAX_CLIENTS_PER_UID:
		return parse_u32(name, arg, 1, 65536, &options->max_clients_per_uid);
	case OPT_MAX_HOLDS:
		return parse_u32(name, arg, 1, 1U << 24, &options->max_holds);
	case OPT_PRINT_CAPABILITIES:
		options->action = OPTIONS_PRINT_CAPABILITIES;
		return 0;
	case OPT_READY_FD:
		return parse_fd(name, arg, arg, &options->ready_fd);
	case OPT_HELP:
		options->action = OPTIONS_HELP;
		return 0;
	case OPT_VERSION:
		options->action = OPTIONS_VERSION;
		return 0;
	case OPT_VERBOSE:
		options->verbose = true;
		return 0;
	default: /* getopt_long() said what is wrong */
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = {
		.ready_fd = -1,
		.limits = {
			.max_bytes = DEFAULT_MAX_BYTES,
			.max_buffers = DEFAULT_MAX_BUFFERS,
			.max_extents = DEFAULT_MAX_EXTENTS,
			.max_arenas = DEFAULT_MAX_ARENAS,
			.max_streams = DEFAULT_MAX_STREAMS,
			.max_frames = VIRTIO_BUFSHARE_MAX_FRAMES,
		},
	};
	int ret = -EINVAL, opt;
	bool capabilities = false;
	int index = 0; /* getopt_long() sets it for an option that it knows only */

	/*
	 * QEMU, docs/interop/vhost-user.rst, "Backend program conventions": all other arguments
	 * are ignored, which may be of a later version.
	 */
	for (int i = 1; i < argc; i++)
		capabilities |= strcmp(argv[i], "--print-capabilities") == 0;
	if (capabilities) {
		options.action = OPTIONS_PRINT_CAPABILITIES;
		*ret_options = options;
		return 0;
	}
	/* Before there is a second thread; long options only. */
	while ((opt = getopt_long(argc, argv, "", long_options, &index)) != -1) { /* NOLINT */
		ret = parse_one(&options, opt, long_options[index].name, optarg);
		if (ret < 0)
			goto err;
	}
	ret = -EINVAL;
	if (optind < argc) {
		(void)fprintf(stderr, "vhost-user-bufshare: %s: not an option\n", argv[optind]);
		goto err;
	}
	if (options.action == OPTIONS_RUN && !options.num_guests) {
		(void)fprintf(stderr, "vhost-user-bufshare: no guest: give --socket-path=NAME=PATH "
				      "for each VM (--help says more)\n");
		goto err;
	}
	*ret_options = options;
	return 0;

err:
	if (ret == -ENOMEM)
		(void)fprintf(stderr, "vhost-user-bufshare: out of memory\n");
	options_finish(&options);
	return ret;
}

void options_finish(struct options *options)
{
	free(options->guests);
	free(options->admins);
	free(options->trust);
	options->guests = NULL;
	options->admins = NULL;
	options->trust = NULL;
}
