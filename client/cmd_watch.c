/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"

static const char doc[] =
	"Prints a line for each buffer and stream that comes or goes, until interrupted.  "
	"With --json each line is a JSON object.";

static const char *event_name(uint32_t type)
{
	switch (type) {
	case BUFSHARE_EV_BUFFER_ADDED:
		return "buffer-added";
	case BUFSHARE_EV_BUFFER_REMOVED:
		return "buffer-removed";
	case BUFSHARE_EV_STREAM_ADDED:
		return "stream-added";
	case BUFSHARE_EV_STREAM_REMOVED:
		return "stream-removed";
	case BUFSHARE_EV_RESYNC:
		return "resync";
	default:
		return "other";
	}
}

static void print_json(const struct bufshare_ev *event)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "event", json_object_new_string(event_name(event->type)));
	if (event->type == BUFSHARE_EV_BUFFER_ADDED) {
		json_object_object_add(json, "buffer", json_buffer(&event->buffer));
	} else if (event->type == BUFSHARE_EV_BUFFER_REMOVED) {
		json_object_object_add(json, "uuid", json_uuid(event->uuid));
		json_object_object_add(json, "reason",
				       json_object_new_string(reason_name(event->reason)));
	} else if (event->type != BUFSHARE_EV_RESYNC) {
		json_object_object_add(json, "stream", json_stream(&event->stream));
	}
	cmd_print_json(json, true);
}

static void print(const struct bufshare_ev *event)
{
	char uuid[BUFSHARE_UUID_TEXT], image[48];

	bufshare_uuid_format(event->uuid, uuid);
	switch (event->type) {
	case BUFSHARE_EV_BUFFER_ADDED:
		format_image(&event->buffer.image, image, sizeof(image));
		(void)printf("buffer-added %s %s %s\n", uuid, event->buffer.owner, image);
		break;
	case BUFSHARE_EV_BUFFER_REMOVED:
		(void)printf("buffer-removed %s %s\n", uuid, reason_name(event->reason));
		break;
	case BUFSHARE_EV_STREAM_ADDED:
	case BUFSHARE_EV_STREAM_REMOVED:
		(void)printf("%s %s/%s\n", event_name(event->type), event->stream.owner,
			     event->stream.name);
		break;
	default:
		(void)printf("%s\n", event_name(event->type));
		break;
	}
}

int cmd_watch(int argc, char **argv)
{
	struct common common = { 0 };
	struct bufshare *handle;
	int signal_fd, error;

	cmd_parse_common(argc, argv, doc, &common);
	handle = cmd_open(&common);
	if (handle == NULL)
		return EXIT_FAILURE;
	signal_fd = cmd_signalfd();
	error = signal_fd < 0 ? signal_fd
			      : bufshare_watch(handle, BUFSHARE_WATCH_BUFFERS | BUFSHARE_WATCH_STREAMS);
	if (error < 0)
		(void)cmd_fail(handle, error, "watch");
	while (error >= 0) {
		struct bufshare_ev event;

		error = cmd_interrupted(signal_fd);
		if (error < 0)
			break;
		error = bufshare_next_event(handle, &event);
		if (error == -EAGAIN) {
			error = cmd_wait(handle, signal_fd, -1);
			continue;
		}
		if (error < 0) {
			(void)cmd_fail(handle, error, "watch");
			break;
		}
		if (common.json)
			print_json(&event);
		else
			print(&event);
		/* Said at the end, by main.c. */
		error = cmd_flush();
	}
	if (signal_fd >= 0)
		close(signal_fd);
	bufshare_close(handle);
	return error == -EINTR ? EXIT_SUCCESS : EXIT_FAILURE;
}
