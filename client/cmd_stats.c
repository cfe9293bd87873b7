/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static const char doc[] =
	"Prints the daemon's counters (on the host) or this machine's quotas (in a guest).";

struct counter {
	const char *name;
	size_t offset; /* of a uint64_t */
};

#define COUNTER(name) { #name, offsetof(struct bufshare_stats, name) }

static const struct counter counters[] = {
	COUNTER(guests),	   COUNTER(clients),	      COUNTER(buffers),
	COUNTER(extents),	   COUNTER(bytes_shared),     COUNTER(streams),
	COUNTER(frames_published), COUNTER(frames_delivered), COUNTER(frames_released),
	COUNTER(requests),	   COUNTER(request_errors),   COUNTER(events),
	COUNTER(event_overflows),  COUNTER(control_bytes),
};

static int show_stats(struct bufshare *handle, struct json_object *json)
{
	struct bufshare_stats stats;
	int error = bufshare_get_stats(handle, &stats);

	if (error < 0)
		return error;
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)&stats + counters[i].offset, sizeof(value));
		json_object_object_add(json, counters[i].name, json_object_new_uint64(value));
	}
	return 0;
}

static int show_limits(struct bufshare *handle, struct json_object *json)
{
	struct bufshare_limits limits;
	int error = bufshare_get_limits(handle, &limits);

	if (error < 0)
		return error;
	json_object_object_add(json, "label", json_object_new_string(limits.label));
	json_object_object_add(json, "max_bytes", json_object_new_uint64(limits.max_bytes));
	json_object_object_add(json, "max_buffers", json_object_new_int64(limits.max_buffers));
	json_object_object_add(json, "max_extents", json_object_new_int64(limits.max_extents));
	json_object_object_add(json, "max_streams", json_object_new_int64(limits.max_streams));
	json_object_object_add(json, "max_frames", json_object_new_int64(limits.max_frames));
	return 0;
}

int cmd_stats(int argc, char **argv)
{
	struct common common = { 0 };
	struct json_object *json;
	struct bufshare *handle;
	int error;

	cmd_parse_common(argc, argv, doc, &common);
	handle = cmd_open(&common);
	if (handle == NULL)
		return EXIT_FAILURE;
	json = json_object_new_object();
	error = bufshare_get_side(handle) == BUFSHARE_SIDE_HOST ? show_stats(handle, json)
								: show_limits(handle, json);
	if (error < 0) {
		(void)cmd_fail(handle, error, "stats");
		json_object_put(json);
	} else if (common.json) {
		cmd_print_json(json, false);
	} else {
		json_object_object_foreach(json, key, value)
			(void)printf("%-18s %s\n", key, json_object_get_string(value));
		json_object_put(json);
	}
	bufshare_close(handle);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
