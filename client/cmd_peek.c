/* SPDX-License-Identifier: MIT */
/* peek and poke: bytes of a buffer, read or written in place through its mapping. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

struct options {
	struct common common;
	bool poke;
	unsigned int num_args;
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t offset;
	uint64_t len;
	uint8_t *data; /* owned; poke */
};

static void parse_arg(struct options *options, char *arg, struct argp_state *state)
{
	size_t len;

	switch (options->num_args++) {
	case 0:
		if (bufshare_uuid_parse(arg, options->uuid) < 0)
			argp_error(state, "not a UUID: %s", arg);
		break;
	case 1:
		if (parse_number(arg, &options->offset) < 0)
			argp_error(state, "not an offset: %s", arg);
		break;
	case 2:
		if (options->poke) {
			if (parse_hex(arg, &options->data, &len) < 0)
				argp_error(state, "not hex digits: %s", arg);
			else
				options->len = len;
		} else if (parse_number(arg, &options->len) < 0 || options->len == 0 ||
			   options->len > 1 << 20) {
			argp_error(state, "not a length between 1 and 1M: %s", arg);
		}
		break;
	default:
		argp_usage(state);
		break;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->common;
		return 0;
	case ARGP_KEY_ARG:
		parse_arg(options, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (options->num_args != 3)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp peek_parser = {
	.parser = parse,
	.args_doc = "UUID OFFSET LENGTH",
	.doc = "Prints bytes of a buffer in hex, read where they are.",
	.children = common_argp,
};

static const struct argp poke_parser = {
	.parser = parse,
	.args_doc = "UUID OFFSET HEX",
	.doc = "Writes bytes into a buffer: the guest sees them at once.",
	.children = common_argp,
};

static int access_bytes(struct options *options, struct bufshare *handle,
			struct bufshare_buffer *buffer)
{
	uint32_t access = options->poke ? BUFSHARE_ACCESS_WRITE : BUFSHARE_ACCESS_READ;
	uint64_t size = bufshare_buffer_get_info(buffer)->size;
	void *data;
	int error;

	if (options->offset > size || options->len > size - options->offset) {
		(void)cmd_say("the buffer has %llu bytes only", (unsigned long long)size);
		return -EINVAL;
	}
	error = bufshare_buffer_map(buffer, &data);
	if (error == 0)
		error = bufshare_buffer_begin(buffer, access);
	if (error < 0) {
		(void)cmd_fail(handle, error, "mapping the buffer");
		return error;
	}
	if (options->poke) {
		memcpy((uint8_t *)data + options->offset, options->data, options->len);
	} else {
		struct json_object *hex = json_hex((uint8_t *)data + options->offset, options->len);

		if (options->common.json) {
			struct json_object *json = json_object_new_object();

			json_object_object_add(json, "uuid", json_uuid(options->uuid));
			json_object_object_add(json, "offset",
					       json_object_new_uint64(options->offset));
			json_object_object_add(json, "data", hex);
			cmd_print_json(json, false);
		} else {
			(void)puts(json_object_get_string(hex));
			json_object_put(hex);
		}
	}
	error = bufshare_buffer_end(buffer, access);
	if (error < 0)
		(void)cmd_fail(handle, error, "leaving the buffer");
	return error;
}

static int run(int argc, char **argv, bool poke)
{
	struct options options = { .poke = poke };
	struct bufshare_buffer *buffer;
	struct bufshare *handle;
	int error;

	(void)argp_parse(poke ? &poke_parser : &peek_parser, argc, argv, 0, NULL, &options);
	handle = cmd_open(&options.common);
	if (handle == NULL) {
		free(options.data);
		return EXIT_FAILURE;
	}
	error = bufshare_get(handle, options.uuid,
			     BUFSHARE_ACCESS_READ | (poke ? BUFSHARE_ACCESS_WRITE : 0),
			     BUFSHARE_TAKE_ANY, &buffer);
	if (error < 0) {
		(void)cmd_fail(handle, error, poke ? "poke" : "peek");
	} else {
		error = access_bytes(&options, handle, buffer);
		(void)bufshare_put(buffer);
	}
	free(options.data);
	bufshare_close(handle);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int cmd_peek(int argc, char **argv)
{
	return run(argc, argv, false);
}

int cmd_poke(int argc, char **argv)
{
	return run(argc, argv, true);
}
