/* SPDX-License-Identifier: MIT */
/*
 * Frames of a stream, or one buffer, into files.
 *
 * A buffer is got and mapped when its first frame comes, and kept for the frames after.  The
 * picture is read where the guest drew it; only the file is a copy.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "picture.h"

#define MAX_BUFFERS 64 /* of one stream that are kept mapped */

struct options {
	struct common common;
	char owner[BUFSHARE_LABEL_SIZE], name[BUFSHARE_LABEL_SIZE];
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	bool single; /* a buffer, not a stream */
	bool raw, wait, marker, extents;
	const char *out;
	uint64_t frames, every, timeout;
};

struct mapped {
	struct bufshare_buffer *buffer; /* owned; NULL: free */
	const struct bufshare_buffer_info *info;
	uint8_t *data;
};

struct capture {
	const struct options *options;
	struct bufshare *handle;
	int signal_fd;
	uint32_t consumer_id;
	struct mapped buffers[MAX_BUFFERS];
	unsigned int next_victim;
	uint64_t received, lost, written, first_sequence, last_sequence;
	uint64_t first_ns, last_ns;
	uint64_t *latencies; /* ns, from the daemon to here; owned */
	size_t num_latencies, room_latencies;
	struct json_object *files, *seen; /* owned; names; buffers that were mapped */
	bool ended, marker_seen;
	uint8_t marker_uuid[BUFSHARE_UUID_SIZE];
	uint8_t marker_guest[MARKER_RANDOM], marker_host[MARKER_RANDOM];
};

/* ---- options ---- */

static const struct argp_option option_list[] = {
	{ "frames", 'n', "N", 0, "End after N frames (default 1; 0: when the stream ends)", 0 },
	{ "every", 'k', "K", 0, "Write every Kth frame (default 1; 0: none)", 0 },
	{ "format", 'f', "png|raw", 0, "What to write (default png)", 0 },
	{ "out", 'o', "DIR", 0, "Where to write (default .; made if need be)", 0 },
	{ "wait", 'w', NULL, 0, "Wait for the stream if it is not there yet", 0 },
	{ "timeout", 't', "SECONDS", 0, "Give up after that long without a frame (default 60)", 0 },
	{ "marker", 'm', NULL, 0,
	  "After the last frame take one with the guest's marker in it, and answer in the same buffer "
	  "(see publish --marker)",
	  0 },
	{ "extents", 'e', NULL, 0, "With --json: also where the buffers lie in the guest's RAM", 0 },
	{ 0 },
};

static int parse_source(const char *arg, struct options *options)
{
	const char *slash = strchr(arg, '/');

	if (slash == NULL) {
		options->single = true;
		return bufshare_uuid_parse(arg, options->uuid);
	}
	if (slash == arg || slash[1] == '\0' || (size_t)(slash - arg) >= sizeof(options->owner) ||
	    strlen(slash + 1) >= sizeof(options->name))
		return -EINVAL;
	memcpy(options->owner, arg, (size_t)(slash - arg));
	memcpy(options->name, slash + 1, strlen(slash + 1));
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->common;
		return 0;
	case 'n':
		if (parse_number(arg, &options->frames) < 0)
			argp_error(state, "not a number: %s", arg);
		return 0;
	case 'k':
		if (parse_number(arg, &options->every) < 0)
			argp_error(state, "not a number: %s", arg);
		return 0;
	case 'f':
		if (strcmp(arg, "png") != 0 && strcmp(arg, "raw") != 0)
			argp_error(state, "neither png nor raw: %s", arg);
		options->raw = strcmp(arg, "raw") == 0;
		return 0;
	case 'o':
		options->out = arg;
		return 0;
	case 'w':
		options->wait = true;
		return 0;
	case 't':
		if (parse_number(arg, &options->timeout) < 0 || options->timeout == 0 ||
		    options->timeout > 86400)
			argp_error(state, "not a number between 1 and 86400: %s", arg);
		return 0;
	case 'm':
		options->marker = true;
		return 0;
	case 'e':
		options->extents = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_usage(state);
		if (parse_source(arg, options) < 0)
			argp_error(state, "neither VM/STREAM nor a UUID: %s", arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse,
	.args_doc = "VM/STREAM\nUUID",
	.doc = "Writes frames of a stream, or one buffer, as PNG or raw files.",
	.children = common_argp,
};

/* ---- buffers ---- */

static void forget(struct mapped *mapped)
{
	(void)bufshare_put(mapped->buffer);
	*mapped = (struct mapped){ 0 };
}

static struct mapped *find_mapped(struct capture *cap, const uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	for (unsigned int i = 0; i < MAX_BUFFERS; i++)
		if (cap->buffers[i].buffer != NULL &&
		    memcmp(cap->buffers[i].info->uuid, uuid, BUFSHARE_UUID_SIZE) == 0)
			return &cap->buffers[i];
	return NULL;
}

static struct mapped *free_mapped(struct capture *cap)
{
	struct mapped *victim;

	for (unsigned int i = 0; i < MAX_BUFFERS; i++)
		if (cap->buffers[i].buffer == NULL)
			return &cap->buffers[i];
	victim = &cap->buffers[cap->next_victim];
	cap->next_victim = (cap->next_victim + 1) % MAX_BUFFERS;
	forget(victim);
	return victim;
}

static void note_buffer(struct capture *cap, const struct mapped *mapped)
{
	struct json_object *json = json_buffer(mapped->info);
	struct bufshare_range *ranges;
	size_t num;

	json_object_object_add(
		json, "path",
		json_object_new_string(bufshare_buffer_get_path(mapped->buffer) ==
						       BUFSHARE_VIA_DMABUF
					       ? "dma-buf"
					       : "ram"));
	if (mapped->info->user_len != 0)
		json_object_object_add(json, "user_data",
				       json_hex(bufshare_buffer_get_user_data(mapped->buffer),
						mapped->info->user_len));
	if (cap->options->extents) {
		int error = bufshare_get_extents(cap->handle, mapped->info->uuid, &ranges, &num);

		if (error < 0) {
			(void)cmd_fail(cap->handle, error, "capture --extents");
		} else {
			json_object_object_add(json, "ranges",
					       json_ranges(ranges, num, BUFSHARE_SIDE_HOST));
			free(ranges);
		}
	}
	json_object_array_add(cap->seen, json);
}

/* The buffer, mapped; NULL after having said why not. */
static struct mapped *map(struct capture *cap, const uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	uint32_t access = BUFSHARE_ACCESS_READ |
			  (cap->options->marker ? BUFSHARE_ACCESS_WRITE : 0);
	struct mapped *mapped = find_mapped(cap, uuid);
	struct bufshare_buffer *buffer;
	void *data;
	int error;

	if (mapped != NULL)
		return mapped;
	error = bufshare_get(cap->handle, uuid, access, BUFSHARE_TAKE_ANY, &buffer);
	if (error < 0) {
		(void)cmd_fail(cap->handle, error, "getting the buffer");
		return NULL;
	}
	error = bufshare_buffer_map(buffer, &data);
	if (error < 0) {
		(void)cmd_fail(cap->handle, error, "mapping the buffer");
		(void)bufshare_put(buffer);
		return NULL;
	}
	mapped = free_mapped(cap);
	mapped->buffer = buffer;
	mapped->info = bufshare_buffer_get_info(buffer);
	mapped->data = data;
	note_buffer(cap, mapped);
	return mapped;
}

/* ---- files ---- */

static int write_file(struct capture *cap, const struct mapped *mapped, const char *path)
{
	const struct bufshare_image *image = &mapped->info->image;
	int error = cap->options->raw ? 0 : bufshare_image_check(image, mapped->info->size);
	int end;

	if (error < 0)
		return cmd_say("the buffer is no picture that can become a PNG (use --format=raw)"),
		       error;
	if (!cap->options->raw && (image->width > PICTURE_PNG_MAX || image->height > PICTURE_PNG_MAX))
		return cmd_say("a picture of %ux%u cannot become a PNG: %u is the limit (use "
			       "--format=raw)",
			       image->width, image->height, PICTURE_PNG_MAX),
		       -EFBIG;
	error = bufshare_buffer_begin(mapped->buffer, BUFSHARE_ACCESS_READ);
	if (error < 0)
		return cmd_fail(cap->handle, error, "capture"), error;
	error = cap->options->raw ? picture_write_raw(path, mapped->data, mapped->info->size)
				  : picture_write_png(path, image, mapped->data);
	end = bufshare_buffer_end(mapped->buffer, BUFSHARE_ACCESS_READ);
	if (error < 0)
		return cmd_say("%s: %s", path, strerror(-error)), error;
	if (end < 0)
		return cmd_fail(cap->handle, end, "capture"), end;
	cap->written++;
	json_object_array_add(cap->files, json_object_new_string(path));
	return 0;
}

static int file_path(const struct capture *cap, const char *name, uint64_t number, char *ret_path)
{
	int len = snprintf(ret_path, PATH_MAX, "%s/%s-%06" PRIu64 ".%s", cap->options->out, name,
			   number, cap->options->raw ? "raw" : "png");

	return len < PATH_MAX ? 0 : (cmd_say("the path is too long"), -ENAMETOOLONG);
}

/* ---- frames ---- */

static int note_latency(struct capture *cap, const struct bufshare_ev *event, uint64_t now)
{
	if (cap->num_latencies == cap->room_latencies) {
		size_t room = cap->room_latencies != 0 ? cap->room_latencies * 2 : 256;
		uint64_t *more = reallocarray(cap->latencies, room, sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		cap->latencies = more;
		cap->room_latencies = room;
	}
	cap->latencies[cap->num_latencies++] = now > event->received ? now - event->received : 0;
	return 0;
}

static int take_marker(struct capture *cap, const struct bufshare_ev *event)
{
	struct mapped *mapped = map(cap, event->uuid);
	uint32_t access = BUFSHARE_ACCESS_READ | BUFSHARE_ACCESS_WRITE;
	int error;

	if (mapped == NULL)
		return -EIO;
	if (mapped->info->size < (uint64_t)2 * MARKER_SIZE)
		return cmd_say("the buffer is too small for a marker"), -EINVAL;
	error = bufshare_buffer_begin(mapped->buffer, access);
	if (error < 0)
		return cmd_fail(cap->handle, error, "capture --marker"), error;
	cap->marker_seen = marker_read(mapped->data, MARKER_GUEST, cap->marker_guest);
	if (cap->marker_seen)
		marker_write(mapped->data + MARKER_SIZE, MARKER_HOST, cap->marker_host);
	memcpy(cap->marker_uuid, event->uuid, sizeof(cap->marker_uuid));
	error = bufshare_buffer_end(mapped->buffer, access);
	if (error < 0)
		return cmd_fail(cap->handle, error, "capture --marker"), error;
	if (!cap->marker_seen)
		return cmd_say("the guest's marker is not in the buffer"), -EBADMSG;
	return 0;
}

static bool all_frames(const struct capture *cap)
{
	return cap->options->frames != 0 && cap->received >= cap->options->frames;
}

static int take_frame(struct capture *cap, const struct bufshare_ev *event)
{
	uint64_t now = now_ns();
	char path[PATH_MAX];
	struct mapped *mapped;
	int error;

	if (cap->received == 0) {
		cap->first_ns = now;
		cap->first_sequence = event->sequence;
	} else {
		cap->lost += event->sequence - cap->last_sequence - 1;
	}
	cap->last_ns = now;
	cap->last_sequence = event->sequence;
	cap->received++;
	error = note_latency(cap, event, now);
	if (error < 0)
		return error;
	/* Also a frame that is not written is looked up: that is what a consumer does. */
	mapped = map(cap, event->uuid);
	if (mapped == NULL)
		return -EIO;
	if (cap->options->every == 0 || (cap->received - 1) % cap->options->every != 0)
		return 0;
	error = file_path(cap, cap->options->name, event->sequence, path);
	return error < 0 ? error : write_file(cap, mapped, path);
}

static int on_frame(struct capture *cap, const struct bufshare_ev *event)
{
	int error, released;

	if (!all_frames(cap))
		error = take_frame(cap, event);
	else if (cap->options->marker && !cap->marker_seen)
		error = take_marker(cap, event);
	else
		return 0; /* the leave gives it back */
	released = bufshare_frame_release(cap->handle, cap->consumer_id, event->sequence);
	if (released < 0)
		return cmd_fail(cap->handle, released, "releasing a frame"), released;
	return error;
}

/* Takes the next event or waits for one.  Returns 0 or a negative errno. */
static int step(struct capture *cap, struct bufshare_ev *ret_event)
{
	for (;;) {
		/* First: with a producer that is ahead there is always an event. */
		int error = cmd_interrupted(cap->signal_fd);

		if (error < 0)
			return error;
		error = bufshare_next_event(cap->handle, ret_event);
		if (error == 0)
			return 0;
		if (error != -EAGAIN)
			return cmd_fail(cap->handle, error, "capture"), error;
		error = cmd_wait(cap->handle, cap->signal_fd, (int)cap->options->timeout * 1000);
		if (error == 0)
			return cmd_say("no frame for %" PRIu64 " s", cap->options->timeout),
			       -ETIMEDOUT;
		if (error < 0)
			return error;
	}
}

/* Joins; with --wait when the stream has come. */
static int join(struct capture *cap)
{
	const struct options *options = cap->options;
	int error;

	if (options->wait) {
		error = bufshare_watch(cap->handle, BUFSHARE_WATCH_STREAMS);
		if (error < 0)
			return cmd_fail(cap->handle, error, "capture"), error;
	}
	for (;;) {
		struct bufshare_ev event;

		error = bufshare_stream_join(cap->handle, options->owner, options->name,
					     &cap->consumer_id);
		if (error == 0)
			break;
		if (error != -ENOENT || !options->wait)
			return cmd_fail(cap->handle, error, "capture"), error;
		do {
			error = step(cap, &event);
			if (error < 0)
				return error;
		} while (event.type != BUFSHARE_EV_STREAM_ADDED && event.type != BUFSHARE_EV_RESYNC);
	}
	return options->wait ? bufshare_watch(cap->handle, 0) : 0;
}

static int consume(struct capture *cap)
{
	int error = join(cap);

	if (error < 0)
		return error;
	while (error == 0 && !cap->ended &&
	       (!all_frames(cap) || (cap->options->marker && !cap->marker_seen))) {
		struct bufshare_ev event;
		struct mapped *mapped;

		error = step(cap, &event);
		if (error < 0)
			break;
		switch (event.type) {
		case BUFSHARE_EV_FRAME:
			error = on_frame(cap, &event);
			break;
		case BUFSHARE_EV_STREAM_ENDED:
			cap->ended = true;
			break;
		case BUFSHARE_EV_BUFFER_REMOVED:
			mapped = find_mapped(cap, event.uuid);
			if (mapped != NULL)
				forget(mapped);
			break;
		default:
			break;
		}
	}
	(void)bufshare_stream_leave(cap->handle, cap->consumer_id);
	if (error == 0 && cap->options->frames != 0 && !all_frames(cap))
		return cmd_say("the stream ended after %" PRIu64 " frames", cap->received), -EPIPE;
	if (error == 0 && cap->options->marker && !cap->marker_seen)
		return cmd_say("the stream ended without a marker"), -EPIPE;
	return error;
}

static int capture_single(struct capture *cap)
{
	struct mapped *mapped = map(cap, cap->options->uuid);
	char text[BUFSHARE_UUID_TEXT], path[PATH_MAX];
	int error;

	if (mapped == NULL)
		return -EIO;
	bufshare_uuid_format(cap->options->uuid, text);
	error = file_path(cap, text, 1, path);
	return error < 0 ? error : write_file(cap, mapped, path);
}

/* ---- report ---- */

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static struct json_object *json_latencies(struct capture *cap)
{
	struct json_object *json = json_object_new_object();
	size_t n = cap->num_latencies, median = n / 2, high = n * 99 / 100;

	if (n == 0)
		return json;
	qsort(cap->latencies, n, sizeof(*cap->latencies), compare);
	json_object_object_add(json, "p50",
			       json_object_new_double((double)cap->latencies[median] / 1e3));
	json_object_object_add(json, "p99",
			       json_object_new_double((double)cap->latencies[high] / 1e3));
	json_object_object_add(json, "max",
			       json_object_new_double((double)cap->latencies[n - 1] / 1e3));
	return json;
}

static void report(struct capture *cap)
{
	double seconds = (double)(cap->last_ns - cap->first_ns) / 1e9;
	double fps = cap->received > 1 ? (double)(cap->received - 1) / seconds : 0;
	struct json_object *json;

	if (!cap->options->common.json) {
		if (!cap->options->single)
			(void)printf("%" PRIu64 " frames received, %" PRIu64
				     " lost; %.2f frames/s\n",
				     cap->received, cap->lost, fps);
		(void)printf("%" PRIu64 " files in %s\n", cap->written, cap->options->out);
		if (cap->marker_seen)
			(void)printf("the guest's marker is in the same buffer\n");
		return;
	}
	json = json_object_new_object();
	if (!cap->options->single) {
		json_object_object_add(json, "owner", json_object_new_string(cap->options->owner));
		json_object_object_add(json, "stream", json_object_new_string(cap->options->name));
		json_object_object_add(json, "frames_received",
				       json_object_new_uint64(cap->received));
		json_object_object_add(json, "frames_lost", json_object_new_uint64(cap->lost));
		json_object_object_add(json, "first_sequence",
				       json_object_new_uint64(cap->first_sequence));
		json_object_object_add(json, "last_sequence",
				       json_object_new_uint64(cap->last_sequence));
		json_object_object_add(json, "seconds", json_object_new_double(seconds));
		json_object_object_add(json, "fps", json_object_new_double(fps));
		json_object_object_add(json, "latency_us", json_latencies(cap));
	}
	json_object_object_add(json, "buffers", json_object_get(cap->seen));
	json_object_object_add(json, "files", json_object_get(cap->files));
	if (cap->marker_seen) {
		struct json_object *marker = json_object_new_object();

		json_object_object_add(marker, "uuid", json_uuid(cap->marker_uuid));
		json_object_object_add(marker, "guest", json_hex(cap->marker_guest, MARKER_RANDOM));
		json_object_object_add(marker, "host", json_hex(cap->marker_host, MARKER_RANDOM));
		json_object_object_add(json, "marker", marker);
	}
	cmd_print_json(json, false);
}

int cmd_capture(int argc, char **argv)
{
	struct options options = { .out = ".", .frames = 1, .every = 1, .timeout = 60 };
	struct capture cap = { .options = &options, .signal_fd = -1 };
	int error;

	(void)argp_parse(&parser, argc, argv, 0, NULL, &options);
	if (mkdir(options.out, 0777) < 0 && errno != EEXIST)
		return cmd_say("%s: %s", options.out, strerror(errno));
	cap.handle = cmd_open(&options.common);
	if (cap.handle == NULL)
		return EXIT_FAILURE;
	/* A single buffer leaves no report: there a signal may end the program at once. */
	if (!options.single)
		cap.signal_fd = cmd_signalfd();
	if (!options.single && cap.signal_fd < 0) {
		bufshare_close(cap.handle);
		return cmd_say("signalfd: %s", strerror(-cap.signal_fd));
	}
	cap.files = json_object_new_array();
	cap.seen = json_object_new_array();
	error = options.single ? capture_single(&cap) : consume(&cap);
	/* Interrupted without a number of frames to reach: that is how it ends. */
	if (error == -EINTR && options.frames == 0)
		error = 0;
	report(&cap);
	for (unsigned int i = 0; i < MAX_BUFFERS; i++)
		if (cap.buffers[i].buffer != NULL)
			forget(&cap.buffers[i]);
	json_object_put(cap.files);
	json_object_put(cap.seen);
	free(cap.latencies);
	bufshare_close(cap.handle);
	if (cap.signal_fd >= 0)
		close(cap.signal_fd);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
