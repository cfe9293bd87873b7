/* SPDX-License-Identifier: MIT */
/* Memory of a dma-heap or of udmabuf, filled from a file, shared until interrupted. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "alloc.h"
#include "cmd.h"

#define PEEK_MAX (1u << 20) /* bytes */

struct options {
	struct common common;
	const char *heap; /* NULL: udmabuf */
	const char *input, *user;
	struct bufshare_image image;
	uint64_t size, seconds;
	uint64_t marker_offset, peek_offset, peek_len;
	uint8_t *marker; /* owned */
	size_t marker_len;
};

static const struct argp_option option_list[] = {
	{ "heap", 'H', "NAME", 0, "Take memory of /dev/dma_heap/NAME (default system)", 0 },
	{ "udmabuf", 'U', NULL, 0, "Take a memfd's memory by /dev/udmabuf", 0 },
	{ "size", 's', "BYTES", 0, "How much (default: that of the picture or of the input)", 0 },
	{ "width", 'w', "PIXELS", 0, "It holds a picture of that width,", 1 },
	{ "height", 'h', "PIXELS", 0, "that height", 1 },
	{ "format", 'f', "FOURCC", 0, "and that format (a DRM fourcc)", 1 },
	{ "input", 'i', "FILE", 0, "Fill it from FILE (-: standard input)", 2 },
	{ "user-data", 'u', "TEXT", 0, "Up to 1024 bytes that go with the buffer", 2 },
	{ "marker", 'm', "OFFSET:HEX", 0, "Write bytes before it is shared", 2 },
	{ "peek", 'p', "OFFSET:LENGTH", 0, "Print bytes of it at the end", 2 },
	{ "seconds", 't', "N", 0, "End after N seconds (default: when interrupted)", 2 },
	{ 0 },
};

static int parse_pair(char *arg, uint64_t *ret_offset, const char **ret_rest)
{
	char *colon = strchr(arg, ':');

	if (colon == NULL)
		return -EINVAL;
	*colon = '\0';
	*ret_rest = colon + 1;
	return parse_number(arg, ret_offset);
}

static void parse_pixels(const char *arg, struct argp_state *state, uint32_t *ret_pixels)
{
	uint64_t number;

	if (parse_number(arg, &number) < 0 || number == 0 || number > 65536)
		argp_error(state, "not a number between 1 and 65536: %s", arg);
	else
		*ret_pixels = (uint32_t)number;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;
	const char *rest = NULL;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->common;
		return 0;
	case 'H':
		options->heap = arg;
		return 0;
	case 'U':
		options->heap = NULL;
		return 0;
	case 's':
		if (parse_number(arg, &options->size) < 0 || options->size == 0 ||
		    options->size > INT64_MAX)
			argp_error(state, "not a size: %s", arg);
		return 0;
	case 'w':
		parse_pixels(arg, state, &options->image.width);
		return 0;
	case 'h':
		parse_pixels(arg, state, &options->image.height);
		return 0;
	case 'f':
		if (parse_fourcc(arg, &options->image.fourcc) < 0)
			argp_error(state, "not a fourcc: %s", arg);
		return 0;
	case 'i':
		options->input = arg;
		return 0;
	case 'u':
		if (strlen(arg) > BUFSHARE_MAX_USER_LEN)
			argp_error(state, "%zu bytes of user data, the limit is %d", strlen(arg),
				   BUFSHARE_MAX_USER_LEN);
		options->user = arg;
		return 0;
	case 'm':
		free(options->marker);
		options->marker = NULL;
		if (parse_pair(arg, &options->marker_offset, &rest) < 0 ||
		    parse_hex(rest, &options->marker, &options->marker_len) < 0)
			argp_error(state, "not OFFSET:HEX: %s", arg);
		return 0;
	case 'p':
		if (parse_pair(arg, &options->peek_offset, &rest) < 0 ||
		    parse_number(rest, &options->peek_len) < 0 || options->peek_len == 0 ||
		    options->peek_len > PEEK_MAX)
			argp_error(state, "not OFFSET:LENGTH with a length between 1 and 1M");
		return 0;
	case 't':
		if (parse_number(arg, &options->seconds) < 0 || options->seconds == 0 ||
		    options->seconds > 86400)
			argp_error(state, "not a number between 1 and 86400: %s", arg);
		return 0;
	case ARGP_KEY_END:
		if ((options->image.width != 0 || options->image.height != 0 ||
		     options->image.fourcc != 0) &&
		    (options->image.width == 0 || options->image.height == 0 ||
		     options->image.fourcc == 0))
			argp_error(state, "a picture needs --width, --height and --format");
		if (options->size == 0 && options->image.fourcc == 0 && options->input == NULL)
			argp_error(state, "--size, a picture or --input is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse,
	.doc = "Shares memory with the host until interrupted.  Prints the buffer's UUID.",
	.children = common_argp,
};

struct export {
	const struct options *options;
	struct bufshare *handle;
	int signal_fd;
	int fd; /* owned: the dma-buf */
	uint64_t size;
	uint8_t *map;
};

/* How much memory: what is asked, else the picture's, else the input's. */
static int find_size(struct export *export, struct bufshare_image *image, int input)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t needed = 0;

	if (image->fourcc != 0) {
		int error = bufshare_image_layout(image, &needed);

		if (error < 0)
			return cmd_say("export: a picture of that --format and size is not known"),
			       error;
	} else if (input >= 0) {
		off_t end = lseek(input, 0, SEEK_END);

		if (end > 0)
			needed = (uint64_t)end;
		(void)lseek(input, 0, SEEK_SET);
	}
	export->size = export->options->size != 0 ? export->options->size : needed;
	if (export->size == 0 || export->size < needed || export->size > INT64_MAX - page)
		return cmd_say("export: --size is needed, and at least %" PRIu64 " bytes", needed),
		       -EINVAL;
	export->size = (export->size + page - 1) / page * page;
	return 0;
}

static int sync_memory(const struct export *export, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	if (ioctl(export->fd, DMA_BUF_IOCTL_SYNC, &sync) < 0)
		return cmd_say("DMA_BUF_IOCTL_SYNC: %s", strerror(errno)), -errno;
	return 0;
}

static int fill(struct export *export, int input)
{
	const struct options *options = export->options;
	uint64_t at = 0;
	int error;

	if (options->marker != NULL && (options->marker_offset > export->size ||
					options->marker_len > export->size - options->marker_offset))
		return cmd_say("--marker is beyond the buffer's %" PRIu64 " bytes", export->size),
		       -EINVAL;
	error = sync_memory(export, DMA_BUF_SYNC_START);
	while (error == 0 && input >= 0 && at < export->size) {
		ssize_t n = read(input, export->map + at, export->size - at);

		if (n < 0 && errno != EINTR)
			error = -errno;
		if (n == 0)
			break;
		at += n > 0 ? (uint64_t)n : 0;
	}
	if (error < 0)
		return cmd_say("%s: %s", options->input, strerror(-error)), error;
	if (options->marker != NULL)
		memcpy(export->map + options->marker_offset, options->marker, options->marker_len);
	return sync_memory(export, DMA_BUF_SYNC_END);
}

static int allocate(struct export *export)
{
	const char *heap = export->options->heap;

	export->fd = heap != NULL ? alloc_heap(heap, export->size) : alloc_udmabuf(export->size);
	if (export->fd < 0)
		return cmd_say("%s%s: %" PRIu64 " bytes: %s",
			       heap != NULL ? "/dev/dma_heap/" : "/dev/udmabuf",
			       heap != NULL ? heap : "", export->size, strerror(-export->fd)),
		       export->fd;
	export->map = mmap(NULL, export->size, PROT_READ | PROT_WRITE, MAP_SHARED, export->fd, 0);
	if (export->map == MAP_FAILED) {
		export->map = NULL;
		return cmd_say("mapping the memory: %s", strerror(errno)), -errno;
	}
	return 0;
}

static void print_exported(const struct options *options, const struct bufshare_exported *exported)
{
	char uuid[BUFSHARE_UUID_TEXT];
	struct json_object *json;

	if (!options->common.json) {
		bufshare_uuid_format(exported->uuid, uuid);
		(void)printf("%s\n", uuid);
		return;
	}
	json = json_object_new_object();
	json_object_object_add(json, "uuid", json_uuid(exported->uuid));
	json_object_object_add(json, "size", json_object_new_uint64(exported->size));
	json_object_object_add(json, "extents", json_object_new_int64(exported->num_extents));
	cmd_print_json(json, true);
}

static int peek(struct export *export)
{
	const struct options *options = export->options;
	struct json_object *hex;
	int error;

	if (options->peek_len == 0)
		return 0;
	error = sync_memory(export, DMA_BUF_SYNC_START);
	if (error < 0)
		return error;
	hex = json_hex(export->map + options->peek_offset, options->peek_len);
	if (options->common.json) {
		struct json_object *json = json_object_new_object();

		json_object_object_add(json, "offset", json_object_new_uint64(options->peek_offset));
		json_object_object_add(json, "data", hex);
		cmd_print_json(json, true);
	} else {
		(void)printf("%s\n", json_object_get_string(hex));
		json_object_put(hex);
	}
	return sync_memory(export, DMA_BUF_SYNC_END);
}

/* Until a signal, the end of the time, or of the device. */
static int hold(struct export *export)
{
	uint64_t end = now_ns() + export->options->seconds * 1000000000u;

	for (;;) {
		struct bufshare_ev event;
		uint64_t now = now_ns();
		int left = -1, error;

		if (export->options->seconds != 0)
			left = now < end ? (int)((end - now) / 1000000u) + 1 : 0;
		error = cmd_wait(export->handle, export->signal_fd, left);
		if (error <= 0) /* cmd_wait() looks at the signals first */
			return error == -EINTR ? 0 : error;
		error = bufshare_next_event(export->handle, &event);
		if (error == 0 && event.type == BUFSHARE_EV_GONE)
			return cmd_say("the device is gone"), -ENODEV;
		if (error < 0 && error != -EAGAIN)
			return cmd_fail(export->handle, error, "export"), error;
	}
}

static int run(struct export *export, int input)
{
	const struct options *options = export->options;
	struct bufshare_image image = options->image;
	struct bufshare_exported exported;
	int error = find_size(export, &image, input);

	if (error == 0 && (options->peek_offset > export->size ||
			   options->peek_len > export->size - options->peek_offset))
		error = (cmd_say("--peek is beyond the buffer's %" PRIu64 " bytes", export->size),
			 -EINVAL);
	if (error == 0)
		error = allocate(export);
	if (error == 0)
		error = fill(export, input);
	if (error < 0)
		return error;
	/* Not before: until here a signal may end the program, also while it reads its input. */
	export->signal_fd = cmd_signalfd();
	if (export->signal_fd < 0)
		return cmd_say("signalfd: %s", strerror(-export->signal_fd)), export->signal_fd;
	error = bufshare_export(export->handle, export->fd, image.fourcc != 0 ? &image : NULL,
				options->user, options->user != NULL ? strlen(options->user) : 0,
				&exported);
	if (error < 0)
		return cmd_fail(export->handle, error, "export"), error;
	print_exported(options, &exported);
	error = cmd_flush();
	if (error == 0)
		error = hold(export);
	return error < 0 ? error : peek(export);
}

static int open_input(const char *path)
{
	int fd;

	if (path == NULL)
		return -1;
	fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		(void)cmd_say("%s: %s", path, strerror(errno));
	return fd;
}

int cmd_export(int argc, char **argv)
{
	struct options options = { .heap = "system" };
	struct export export = { .options = &options, .fd = -1, .signal_fd = -1 };
	int input, status = EXIT_FAILURE;

	(void)argp_parse(&parser, argc, argv, 0, NULL, &options);
	input = open_input(options.input);
	if (options.input == NULL || input >= 0)
		export.handle = cmd_open(&options.common);
	if (export.handle != NULL && bufshare_get_side(export.handle) != BUFSHARE_SIDE_GUEST)
		(void)cmd_say("export: only in a guest");
	else if (export.handle != NULL && run(&export, input) == 0)
		status = EXIT_SUCCESS;
	bufshare_close(export.handle);
	if (export.map != NULL)
		(void)munmap(export.map, export.size);
	if (export.fd >= 0)
		close(export.fd);
	if (export.signal_fd >= 0)
		close(export.signal_fd);
	if (input >= 0)
		close(input);
	free(options.marker);
	return status;
}
