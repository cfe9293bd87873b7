/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

struct options {
	struct common common;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	bool extents;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->common;
		return 0;
	case 'e':
		options->extents = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(state, "one UUID, please");
		if (bufshare_uuid_parse(arg, options->uuid) < 0)
			argp_error(state, "not a UUID: %s", arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "extents", 'e', NULL, 0,
	  "Also where the memory lies: in a guest (with CAP_SYS_ADMIN) the addresses, on the host "
	  "(for a user that the daemon trusts) the offsets in the guest's RAM",
	  0 },
	{ 0 },
};

static const struct argp parser = {
	.options = option_list,
	.parser = parse,
	.args_doc = "UUID",
	.doc = "Shows one buffer.",
	.children = common_argp,
};

static int find(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		struct bufshare_buffer_info *ret_info)
{
	struct bufshare_buffer_info *list;
	size_t num;
	int error = bufshare_list_buffers(handle, &list, &num);

	if (error < 0) {
		(void)cmd_fail(handle, error, "show");
		return error;
	}
	error = -ENOENT;
	for (size_t i = 0; i < num && error < 0; i++) {
		if (memcmp(list[i].uuid, uuid, BUFSHARE_UUID_SIZE) == 0) {
			*ret_info = list[i];
			error = 0;
		}
	}
	free(list);
	if (error < 0)
		(void)cmd_say("show: there is no such buffer");
	return error;
}

/* The user's own bytes in hex; NULL where they are not to be had: the host gets them by a hold. */
static struct json_object *get_user_data(struct bufshare *handle,
					 const struct bufshare_buffer_info *info)
{
	struct bufshare_buffer *buffer;
	struct json_object *hex;

	if (info->user_len == 0 || bufshare_get_side(handle) != BUFSHARE_SIDE_HOST ||
	    bufshare_get(handle, info->uuid, BUFSHARE_ACCESS_READ, BUFSHARE_TAKE_ANY, &buffer) < 0)
		return NULL;
	hex = json_hex(bufshare_buffer_get_user_data(buffer),
		       bufshare_buffer_get_info(buffer)->user_len);
	(void)bufshare_put(buffer);
	return hex;
}

static void print(const struct bufshare_buffer_info *info, struct json_object *user,
		  const struct bufshare_range *ranges, size_t num)
{
	char uuid[BUFSHARE_UUID_TEXT], image[48];

	bufshare_uuid_format(info->uuid, uuid);
	format_image(&info->image, image, sizeof(image));
	(void)printf("uuid     %s\nowner    %s\nstate    %s\nsize     %" PRIu64
		     "\nextents  %u\nusers    %u\nimage    %s\n",
		     uuid, info->owner, state_name(info->state), info->size, info->num_extents,
		     info->users, image);
	for (uint32_t i = 0; i < info->image.num_planes; i++)
		(void)printf("plane %u  offset %" PRIu64 " stride %u\n", i,
			     info->image.planes[i].offset, info->image.planes[i].stride);
	if (info->user_len != 0)
		(void)printf("user     %u bytes %s\n", info->user_len,
			     user != NULL ? json_object_get_string(user) : "");
	for (size_t i = 0; i < num; i++)
		(void)printf("0x%012" PRIx64 "  0x%" PRIx64 "\n", ranges[i].start, ranges[i].len);
}

int cmd_show(int argc, char **argv)
{
	struct options options = { 0 };
	struct bufshare_buffer_info info;
	struct bufshare_range *ranges = NULL;
	struct json_object *user = NULL;
	size_t num = 0;
	struct bufshare *handle;
	int error;

	(void)argp_parse(&parser, argc, argv, 0, NULL, &options);
	handle = cmd_open(&options.common);
	if (handle == NULL)
		return EXIT_FAILURE;
	error = find(handle, options.uuid, &info);
	if (error == 0 && options.extents) {
		error = bufshare_get_extents(handle, options.uuid, &ranges, &num);
		if (error < 0)
			(void)cmd_fail(handle, error, "show --extents");
	}
	if (error == 0)
		user = get_user_data(handle, &info);
	if (error == 0 && options.common.json) {
		struct json_object *json = json_buffer(&info);

		if (user != NULL)
			json_object_object_add(json, "user_data", json_object_get(user));
		if (options.extents)
			json_object_object_add(json, "ranges",
					       json_ranges(ranges, num, bufshare_get_side(handle)));
		cmd_print_json(json, false);
	} else if (error == 0) {
		print(&info, user, ranges, num);
	}
	json_object_put(user);
	free(ranges);
	bufshare_close(handle);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
