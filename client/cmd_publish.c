/* SPDX-License-Identifier: MIT */
/*
 * A camera's frames as a stream.
 *
 * The camera's buffers are exported once.  Each frame is published where the camera wrote
 * it; its buffer goes back to the camera when the host has released it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "v4l2.h"

struct options {
	struct common common;
	const char *device, *stream;
	uint64_t width, height, frames, buffers, timeout;
	uint32_t fourcc;
	bool wait_listener, marker, extents;
};

struct publisher {
	const struct options *options;
	struct bufshare *handle;
	int signal_fd;
	struct camera camera;
	uint32_t stream_id, listeners;
	struct bufshare_exported exported[CAMERA_MAX_BUFFERS];
	uint64_t in_flight[CAMERA_MAX_BUFFERS]; /* sequence; 0: not in flight */
	uint32_t num_in_flight;
	uint64_t sequence, sent, released, unheard, dropped;
	uint64_t first_ns, last_ns;
	bool streaming, marker_seen;
	uint32_t marker_buffer;
	uint8_t marker_guest[MARKER_RANDOM], marker_host[MARKER_RANDOM];
};

/* ---- options ---- */

static const struct argp_option option_list[] = {
	{ "device", 'd', "PATH", 0, "The camera (default /dev/video0)", 0 },
	{ "width", 'w', "PIXELS", 0, "Wanted width", 0 },
	{ "height", 'h', "PIXELS", 0, "Wanted height", 0 },
	{ "format", 'f', "FOURCC", 0, "Wanted format as a DRM fourcc, e.g. YUYV, NV12, XR24", 0 },
	{ "frames", 'n', "N", 0, "End after N frames (default: when interrupted)", 0 },
	{ "stream", 's', "NAME", 0, "Name of the stream (default camera)", 0 },
	{ "buffers", 'b', "N", 0, "Buffers to ask the camera for (default 4)", 0 },
	{ "wait-listener", 'l', NULL, 0, "Begin when a consumer has joined", 0 },
	{ "timeout", 't', "SECONDS", 0, "Give up after that long without anything (default 60)", 0 },
	{ "marker", 'm', NULL, 0,
	  "After the last frame publish one with a marker in it, and wait for the host's answer in "
	  "the same buffer (see capture --marker)",
	  0 },
	{ "extents", 'e', NULL, 0, "With --json: also the addresses of the buffers' memory", 0 },
	{ 0 },
};

static void parse_count(const char *arg, struct argp_state *state, uint64_t max, uint64_t *ret)
{
	if (parse_number(arg, ret) < 0 || *ret == 0 || *ret > max)
		argp_error(state, "not a number between 1 and %" PRIu64 ": %s", max, arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->common;
		return 0;
	case 'd':
		options->device = arg;
		return 0;
	case 'w':
		parse_count(arg, state, 65536, &options->width);
		return 0;
	case 'h':
		parse_count(arg, state, 65536, &options->height);
		return 0;
	case 'f':
		if (parse_fourcc(arg, &options->fourcc) < 0)
			argp_error(state, "not a fourcc: %s", arg);
		return 0;
	case 'n':
		parse_count(arg, state, UINT64_MAX, &options->frames);
		return 0;
	case 's':
		options->stream = arg;
		return 0;
	case 'b':
		parse_count(arg, state, CAMERA_MAX_BUFFERS, &options->buffers);
		return 0;
	case 'l':
		options->wait_listener = true;
		return 0;
	case 't':
		parse_count(arg, state, 86400, &options->timeout);
		return 0;
	case 'm':
		options->marker = true;
		return 0;
	case 'e':
		options->extents = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.options = option_list,
	.parser = parse,
	.doc = "Publishes a V4L2 camera's frames, without copying them.",
	.children = common_argp,
};

/* ---- frames ---- */

static int give_back(struct publisher *pub, uint32_t index)
{
	int error = pub->streaming ? camera_queue(&pub->camera, index) : 0;

	if (error < 0)
		(void)cmd_say("%s: VIDIOC_QBUF: %s", pub->options->device, strerror(-error));
	return error;
}

static int on_released(struct publisher *pub, const struct bufshare_ev *event)
{
	for (uint32_t i = 0; i < pub->camera.num_buffers; i++) {
		if (pub->in_flight[i] != event->sequence || event->sequence == 0 ||
		    memcmp(pub->exported[i].uuid, event->uuid, BUFSHARE_UUID_SIZE) != 0)
			continue;
		pub->in_flight[i] = 0;
		pub->num_in_flight--;
		pub->released++;
		return give_back(pub, i);
	}
	/* A frame that nobody heard was taken back when it was published. */
	return 0;
}

/* Takes all events that are there; returns 0 or a negative errno. */
static int take_events(struct publisher *pub)
{
	for (;;) {
		struct bufshare_ev event;
		int error = cmd_interrupted(pub->signal_fd);

		if (error < 0)
			return error;
		error = bufshare_next_event(pub->handle, &event);
		if (error == -EAGAIN)
			return 0;
		if (error < 0)
			return cmd_fail(pub->handle, error, "publish"), error;
		if (event.type == BUFSHARE_EV_GONE)
			return cmd_say("the device is gone"), -ENODEV;
		if (event.type == BUFSHARE_EV_LISTENERS && event.stream_id == pub->stream_id)
			pub->listeners = event.listeners;
		if (event.type == BUFSHARE_EV_FRAME_RELEASED)
			error = on_released(pub, &event);
		if (error < 0)
			return error;
	}
}

/* Waits for the host, and for the camera if @camera; 0 when there is something. */
static int wait_for(struct publisher *pub, bool camera)
{
	struct pollfd pfds[] = {
		{ .fd = bufshare_get_fd(pub->handle), .events = POLLIN },
		{ .fd = pub->signal_fd, .events = POLLIN },
		/* Without a queued buffer the camera would say nothing but "error". */
		{ .fd = camera && pub->camera.num_queued > 0 ? pub->camera.fd : -1,
		  .events = POLLIN },
	};
	int n;

	do {
		n = poll(pfds, 3, (int)pub->options->timeout * 1000);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (pfds[1].revents != 0)
		return -EINTR;
	if (n == 0)
		return cmd_say("nothing happened for %" PRIu64 " s: %u frames are with the host, %u "
			       "buffers with the camera",
			       pub->options->timeout, pub->num_in_flight, pub->camera.num_queued),
		       -ETIMEDOUT;
	return 0;
}

static int publish(struct publisher *pub, uint32_t index, uint64_t timestamp, uint32_t clock)
{
	struct bufshare_frame frame = {
		.sequence = pub->sequence + 1,
		.timestamp = timestamp,
		.clock = clock,
	};
	uint32_t listeners;
	int error;

	memcpy(frame.uuid, pub->exported[index].uuid, sizeof(frame.uuid));
	error = bufshare_publish(pub->handle, pub->stream_id, &frame, &listeners);
	if (error == -EAGAIN) {
		pub->dropped++;
		return give_back(pub, index);
	}
	if (error < 0)
		return cmd_fail(pub->handle, error, "publish"), error;
	pub->sequence++;
	if (listeners == 0) {
		pub->unheard++;
		return give_back(pub, index);
	}
	pub->in_flight[index] = frame.sequence;
	pub->num_in_flight++;
	return 0;
}

static int take_frames(struct publisher *pub)
{
	uint64_t wanted = pub->options->frames;

	while (pub->camera.num_queued > 0 && (wanted == 0 || pub->sent < wanted)) {
		struct camera_frame frame;
		uint64_t before = pub->sequence;
		int error = cmd_interrupted(pub->signal_fd);

		if (error < 0)
			return error;
		error = camera_dequeue(&pub->camera, &frame);
		if (error == -EAGAIN)
			return 0;
		if (error < 0)
			return cmd_say("%s: VIDIOC_DQBUF: %s", pub->options->device,
				       strerror(-error)),
			       error;
		if (frame.damaged) {
			pub->dropped++;
			error = give_back(pub, frame.index);
			if (error < 0)
				return error;
			continue;
		}
		error = publish(pub, frame.index, frame.monotonic ? frame.timestamp : 0,
				frame.monotonic ? BUFSHARE_FRAME_CLOCK_MONOTONIC
						: BUFSHARE_FRAME_CLOCK_NONE);
		if (error < 0)
			return error;
		if (pub->sequence == before)
			continue;
		pub->last_ns = now_ns();
		if (pub->sent++ == 0)
			pub->first_ns = pub->last_ns;
	}
	return 0;
}

/* ---- the marker ---- */

static int exchange_marker(struct publisher *pub)
{
	struct camera_buffer *buffer;
	uint64_t sequence, dropped = pub->dropped;
	int error;

	pub->marker_buffer = 0;
	buffer = &pub->camera.buffers[0];
	if (buffer->size < (uint64_t)2 * MARKER_SIZE)
		return cmd_say("the buffer is too small for a marker"), -EINVAL;
	memset(buffer->map, 0, (size_t)2 * MARKER_SIZE);
	marker_write(buffer->map, MARKER_GUEST, pub->marker_guest);
	error = publish(pub, 0, 0, BUFSHARE_FRAME_CLOCK_NONE);
	if (error < 0)
		return error;
	sequence = pub->in_flight[0];
	if (pub->dropped > dropped)
		return cmd_say("the host has all the frames that it takes at once: there is no room "
			       "for the marker's"),
		       -EAGAIN;
	if (sequence == 0)
		return cmd_say("nobody listens for the marker"), -ENOTCONN;
	while (error == 0 && pub->in_flight[0] == sequence) {
		error = wait_for(pub, false);
		if (error == 0)
			error = take_events(pub);
	}
	if (error < 0)
		return error;
	pub->released--; /* it was none of the camera's frames */
	pub->marker_seen = marker_read((uint8_t *)buffer->map + MARKER_SIZE, MARKER_HOST,
				       pub->marker_host);
	if (!pub->marker_seen)
		return cmd_say("the host's marker is not in the buffer"), -EBADMSG;
	return 0;
}

/* ---- report ---- */

static double seconds(const struct publisher *pub)
{
	return (double)(pub->last_ns - pub->first_ns) / 1e9;
}

static double fps(const struct publisher *pub)
{
	return pub->sent > 1 ? (double)(pub->sent - 1) / seconds(pub) : 0;
}

static struct json_object *json_exported(struct publisher *pub, uint32_t index)
{
	struct json_object *json = json_object_new_object();
	const struct bufshare_exported *exported = &pub->exported[index];
	struct bufshare_range *ranges;
	size_t num;

	json_object_object_add(json, "uuid", json_uuid(exported->uuid));
	json_object_object_add(json, "size", json_object_new_uint64(exported->size));
	json_object_object_add(json, "extents", json_object_new_int64(exported->num_extents));
	if (pub->options->extents) {
		int error = bufshare_get_extents(pub->handle, exported->uuid, &ranges, &num);

		if (error < 0) {
			(void)cmd_fail(pub->handle, error, "publish --extents");
		} else {
			json_object_object_add(json, "ranges",
					       json_ranges(ranges, num, BUFSHARE_SIDE_GUEST));
			free(ranges);
		}
	}
	return json;
}

static void report(struct publisher *pub)
{
	struct json_object *json, *buffers;

	if (!pub->options->common.json) {
		(void)printf("%" PRIu64 " frames sent, %" PRIu64 " released, %" PRIu64
			     " not heard, %" PRIu64 " dropped; %.2f frames/s\n",
			     pub->sent, pub->released, pub->unheard, pub->dropped, fps(pub));
		if (pub->marker_seen)
			(void)printf("the host's marker is in the same buffer\n");
		return;
	}
	json = json_object_new_object();
	buffers = json_object_new_array();
	json_object_object_add(json, "stream", json_object_new_string(pub->options->stream));
	json_object_object_add(json, "device", json_object_new_string(pub->options->device));
	json_object_object_add(json, "image", json_image(&pub->camera.image));
	json_object_object_add(json, "frames_sent", json_object_new_uint64(pub->sent));
	json_object_object_add(json, "frames_released", json_object_new_uint64(pub->released));
	json_object_object_add(json, "frames_unheard", json_object_new_uint64(pub->unheard));
	json_object_object_add(json, "frames_dropped", json_object_new_uint64(pub->dropped));
	json_object_object_add(json, "seconds", json_object_new_double(seconds(pub)));
	json_object_object_add(json, "fps", json_object_new_double(fps(pub)));
	for (uint32_t i = 0; i < pub->camera.num_buffers; i++)
		json_object_array_add(buffers, json_exported(pub, i));
	json_object_object_add(json, "buffers", buffers);
	if (pub->marker_seen) {
		struct json_object *marker = json_object_new_object();

		json_object_object_add(marker, "uuid",
				       json_uuid(pub->exported[pub->marker_buffer].uuid));
		json_object_object_add(marker, "guest", json_hex(pub->marker_guest, MARKER_RANDOM));
		json_object_object_add(marker, "host", json_hex(pub->marker_host, MARKER_RANDOM));
		json_object_object_add(json, "marker", marker);
	}
	cmd_print_json(json, false);
}

/* ---- the verb ---- */

static int export_buffers(struct publisher *pub)
{
	for (uint32_t i = 0; i < pub->camera.num_buffers; i++) {
		int error = bufshare_export(pub->handle, pub->camera.buffers[i].dmabuf,
					    &pub->camera.image, NULL, 0, &pub->exported[i]);

		if (error < 0)
			return cmd_fail(pub->handle, error, "publish"), error;
	}
	return 0;
}

static int stream(struct publisher *pub)
{
	uint64_t wanted = pub->options->frames;
	int error = 0;

	while (error == 0 && pub->options->wait_listener && pub->listeners == 0) {
		error = wait_for(pub, false);
		if (error == 0)
			error = take_events(pub);
	}
	if (error < 0)
		return error;
	error = camera_start(&pub->camera);
	if (error < 0)
		return cmd_say("%s: starting: %s", pub->options->device, strerror(-error)), error;
	pub->streaming = true;
	while (error == 0 && (wanted == 0 || pub->sent < wanted)) {
		error = wait_for(pub, true);
		if (error == 0)
			error = take_events(pub);
		if (error == 0)
			error = take_frames(pub);
	}
	/* A buffer is released to this program from here on, not to the camera. */
	pub->streaming = false;
	(void)camera_stop(&pub->camera);
	while ((error == 0 || error == -EINTR) && pub->num_in_flight > 0) {
		int waited = wait_for(pub, false);

		if (waited == 0)
			waited = take_events(pub);
		if (waited < 0)
			return waited;
	}
	return error;
}

static int run(struct publisher *pub)
{
	int error;

	if (bufshare_get_side(pub->handle) != BUFSHARE_SIDE_GUEST)
		return cmd_say("publish: only in a guest"), -EOPNOTSUPP;
	error = camera_open(&pub->camera, pub->options->device, (uint32_t)pub->options->width,
			    (uint32_t)pub->options->height, pub->options->fourcc,
			    (uint32_t)pub->options->buffers);
	if (error == 0)
		error = export_buffers(pub);
	if (error < 0)
		return error;
	error = bufshare_stream_create(pub->handle, pub->options->stream, 0, &pub->stream_id);
	if (error < 0)
		return cmd_fail(pub->handle, error, "publish"), error;
	error = stream(pub);
	if (error == 0 && pub->options->marker)
		error = exchange_marker(pub);
	report(pub);
	/* Interrupted without a number of frames to reach: that is how it ends. */
	return error == -EINTR && pub->options->frames == 0 ? 0 : error;
}

int cmd_publish(int argc, char **argv)
{
	struct options options = {
		.device = "/dev/video0",
		.stream = "camera",
		.buffers = 4,
		.timeout = 60,
	};
	struct publisher pub = { .options = &options, .camera = { .fd = -1 } };
	int error;

	(void)argp_parse(&parser, argc, argv, 0, NULL, &options);
	pub.handle = cmd_open(&options.common);
	if (pub.handle == NULL)
		return EXIT_FAILURE;
	pub.signal_fd = cmd_signalfd();
	if (pub.signal_fd < 0) {
		bufshare_close(pub.handle);
		return cmd_say("signalfd: %s", strerror(-pub.signal_fd));
	}
	error = run(&pub);
	bufshare_close(pub.handle);
	camera_close(&pub.camera);
	close(pub.signal_fd);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
