/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"

static const char doc[] =
	"Lists the buffers and, on the host, the streams.";

static void print_buffers(const struct bufshare_buffer_info *list, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		char uuid[BUFSHARE_UUID_TEXT], image[48];

		bufshare_uuid_format(list[i].uuid, uuid);
		format_image(&list[i].image, image, sizeof(image));
		(void)printf("%s  %-12s %-8s %12" PRIu64 " bytes %6u extents %3u users  %s\n", uuid,
			     list[i].owner, state_name(list[i].state), list[i].size,
			     list[i].num_extents, list[i].users, image);
	}
}

static void print_streams(const struct bufshare_stream_info *list, size_t num)
{
	for (size_t i = 0; i < num; i++)
		(void)printf("stream %s/%s  %u listeners  %u in flight  %" PRIu64 " frames\n",
			     list[i].owner, list[i].name, list[i].listeners, list[i].in_flight,
			     list[i].published);
}

int cmd_list(int argc, char **argv)
{
	struct common common = { 0 };
	struct bufshare_buffer_info *buffers = NULL;
	struct bufshare_stream_info *streams = NULL;
	size_t num_buffers = 0, num_streams = 0;
	struct bufshare *handle;
	int error;

	cmd_parse_common(argc, argv, doc, &common);
	handle = cmd_open(&common);
	if (handle == NULL)
		return EXIT_FAILURE;
	error = bufshare_list_buffers(handle, &buffers, &num_buffers);
	if (error == 0 && bufshare_get_side(handle) == BUFSHARE_SIDE_HOST)
		error = bufshare_list_streams(handle, &streams, &num_streams);
	if (error < 0) {
		(void)cmd_fail(handle, error, "list");
	} else if (common.json) {
		struct json_object *json = json_object_new_object();
		struct json_object *array = json_object_new_array();

		for (size_t i = 0; i < num_buffers; i++)
			json_object_array_add(array, json_buffer(&buffers[i]));
		json_object_object_add(json, "buffers", array);
		array = json_object_new_array();
		for (size_t i = 0; i < num_streams; i++)
			json_object_array_add(array, json_stream(&streams[i]));
		if (bufshare_get_side(handle) == BUFSHARE_SIDE_HOST)
			json_object_object_add(json, "streams", array);
		else
			json_object_put(array);
		cmd_print_json(json, false);
	} else {
		print_buffers(buffers, num_buffers);
		print_streams(streams, num_streams);
	}
	free(buffers);
	free(streams);
	bufshare_close(handle);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
