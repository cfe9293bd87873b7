/* SPDX-License-Identifier: MIT */
/*
 * vhost-user-bufshare: puts the parts together and runs the loop.
 *
 * One process, one thread, any number of VMs and host programs.  Follows "Backend
 * program conventions" in QEMU's docs/interop/vhost-user.rst: it stays in the
 * foreground, and SIGTERM ends it at once.
 */
#include <errno.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core.h"
#include "device.h"
#include "fd.h"
#include "guest_socket.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "server.h"
#include "vhost_user.h"

/*
 * What one VM may have us map, by default.  All of them together, each with a new table
 * beside the old one, leave room in an address space of 128 TiB (x86-64, 47 bits).
 */
#define MAX_RAM	    (UINT64_C(4) << 40)
#define MAX_RAM_SUM (UINT64_C(48) << 40)

enum {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
};

struct daemon {
	struct loop *loop;
	struct core *core;
	struct client_server *clients;
	struct guest_socket **guests;
	size_t num_guests;
	size_t num_finished; /* guests whose only connection ended */
	struct device_stats stats;
	struct loop_source signals;
	int signal_fd;
};

/* Everything is an fd here: guests' memory, call and kick, clients. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_line(LOG_LEVEL_INFO, "ending on signal %u", info.ssi_signo);
	loop_quit(source->loop, 0);
}

static int catch_signals(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd < 0)
		return -errno;
	return loop_add(daemon->loop, &daemon->signals, daemon->signal_fd, EPOLLIN, on_signal);
}

static void device_stats(void *arg, struct client_device_stats *ret_stats)
{
	const struct device_stats *stats = &((struct daemon *)arg)->stats;

	*ret_stats = (struct client_device_stats){
		.requests = stats->requests,
		.request_errors = stats->request_errors,
		.events = stats->events,
		.event_overflows = stats->event_overflows,
		.control_bytes = stats->control_bytes,
	};
}

static bool is_admin(void *arg, uid_t uid)
{
	const struct daemon *daemon = arg;

	return daemon->clients && client_server_is_admin(daemon->clients, uid);
}

static void guest_finished(void *arg)
{
	struct daemon *daemon = arg;

	if (++daemon->num_finished == daemon->num_guests) {
		log_line(LOG_LEVEL_INFO, "ending: every VM has ended, and none can connect");
		loop_quit(daemon->loop, 0);
	}
}

static int open_guests(struct daemon *daemon, const struct options *options)
{
	daemon->guests = calloc(options->num_guests, sizeof(struct guest_socket *));
	if (!daemon->guests)
		return -ENOMEM;
	daemon->num_guests = options->num_guests;
	for (size_t i = 0; i < options->num_guests; i++) {
		struct guest_socket_options guest = {
			.label = options->guests[i].label,
			.path = options->guests[i].path,
			.fd = options->guests[i].fd,
			.limits = &options->limits,
			.stats = &daemon->stats,
			.is_admin = is_admin,
			.finished = guest_finished,
			.arg = daemon,
		};
		int ret = guest_socket_create(daemon->loop, daemon->core, &guest,
					      &daemon->guests[i]);

		if (ret < 0)
			return ret;
	}
	return 0;
}

static int open_clients(struct daemon *daemon, const struct options *options)
{
	struct client_server_options server = CLIENT_SERVER_OPTIONS_INIT;

	if (!options->client_path)
		return 0;
	server.path = options->client_path;
	server.admins = options->admins;
	server.num_admins = options->num_admins;
	server.trust = options->trust;
	server.num_trust = options->num_trust;
	server.max_clients = options->max_clients;
	server.max_clients_per_uid = options->max_clients_per_uid;
	server.max_holds = options->max_holds;
	server.device_stats = device_stats;
	server.device_stats_arg = daemon;
	return client_server_create(daemon->loop, daemon->core, &server, &daemon->clients);
}

static int tell_ready(int fd)
{
	static const char text[] = "ready\n";
	ssize_t n;

	if (fd < 0)
		return 0;
	n = write(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	return close(fd) < 0 ? -errno : 0;
}

static int open_transport(const struct options *options)
{
	uint64_t share = MAX_RAM_SUM / options->num_guests;
	uint64_t max_ram = options->max_ram ? options->max_ram : share < MAX_RAM ? share : MAX_RAM;
	int ret = vu_init(max_ram);

	if (ret == -EAGAIN)
		log_line(LOG_LEVEL_ERROR, "no room for Linux AIO: raise the sysctl fs.aio-max-nr");
	else if (ret < 0)
		log_line(LOG_LEVEL_ERROR,
			 "Linux AIO (io_setup) does not work: %s: a kernel with CONFIG_AIO is needed,"
			 " and a seccomp filter that allows it",
			 strerror(-ret));
	return ret;
}

static int run(struct daemon *daemon, const struct options *options)
{
	int ret;

	ret = loop_create(&daemon->loop);
	if (ret < 0)
		return ret;
	ret = catch_signals(daemon);
	if (ret < 0)
		return ret;
	ret = core_create(&daemon->core);
	if (ret < 0)
		return ret;
	ret = open_transport(options);
	if (ret < 0)
		return ret;
	/* Clients first: a VM that connects is asked whether its user is an administrator. */
	ret = open_clients(daemon, options);
	if (ret < 0)
		return ret;
	ret = open_guests(daemon, options);
	if (ret < 0)
		return ret;
	ret = tell_ready(options->ready_fd);
	if (ret < 0) {
		log_line(LOG_LEVEL_ERROR, "--ready-fd=%d: %s", options->ready_fd, strerror(-ret));
		return ret;
	}
	return loop_run(daemon->loop);
}

/* Clients first: what they give back, guests that still run are told. */
static void finish(struct daemon *daemon)
{
	client_server_destroy(daemon->clients);
	for (size_t i = 0; daemon->guests && i < daemon->num_guests; i++)
		guest_socket_destroy(daemon->guests[i]);
	free((void *)daemon->guests);
	core_destroy(daemon->core);
	loop_remove(&daemon->signals);
	fd_close(&daemon->signal_fd);
	loop_destroy(daemon->loop);
}

/* QEMU, docs/interop/vhost-user.json, VHostUserBackendCapabilities. */
static int print_capabilities(void)
{
	struct json_object *capabilities = json_object_new_object();
	struct json_object *features = json_object_new_array();
	int ret = STATUS_FAILED;

	if (capabilities && features &&
	    json_object_array_add(features, json_object_new_string("client-socket")) == 0 &&
	    json_object_object_add(capabilities, "type", json_object_new_string("bufshare")) == 0 &&
	    json_object_object_add(capabilities, "features", json_object_get(features)) == 0 &&
	    puts(json_object_to_json_string_ext(capabilities, JSON_C_TO_STRING_PRETTY)) >= 0)
		ret = STATUS_OK;
	json_object_put(features);
	json_object_put(capabilities);
	return ret;
}

static int serve(const struct options *options)
{
	struct daemon daemon = { .signal_fd = -1 };
	int ret;

	if (options->verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	raise_fd_limit();
	/* Sockets are never for everybody, unless a part of the daemon says so. */
	umask(umask(0) | S_IRWXO);
	ret = run(&daemon, options);
	if (ret < 0)
		log_line(LOG_LEVEL_ERROR, "ending: %s", strerror(-ret));
	finish(&daemon);
	return ret < 0 ? STATUS_FAILED : STATUS_OK;
}

int main(int argc, char **argv)
{
	struct options options;
	int status = STATUS_OK;

	if (options_parse(argc, argv, &options) < 0)
		return STATUS_USAGE;
	switch (options.action) {
	case OPTIONS_RUN:
		status = serve(&options);
		break;
	case OPTIONS_PRINT_CAPABILITIES:
		status = print_capabilities();
		break;
	case OPTIONS_HELP:
		options_print_help();
		break;
	case OPTIONS_VERSION:
		puts("vhost-user-bufshare " BUFSHARE_VERSION);
		break;
	}
	options_finish(&options);
	if (fflush(stdout) != 0)
		status = STATUS_FAILED;
	return status;
}
