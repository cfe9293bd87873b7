/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* ---- options and errors ---- */

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common *common = state->input;

	switch (key) {
	case 'c':
		common->path = arg;
		return 0;
	case 'j':
		common->json = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option common_options[] = {
	{ "connect", 'c', "PATH", 0, "The device node or the daemon's socket", 90 },
	{ "json", 'j', NULL, 0, "Print JSON", 90 },
	{ 0 },
};

static const struct argp common_parser = { .options = common_options, .parser = parse_common };

const struct argp_child common_argp[] = { { .argp = &common_parser }, { 0 } };

static error_t parse_only_common(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

void cmd_parse_common(int argc, char **argv, const char *doc, struct common *common)
{
	const struct argp parser = {
		.parser = parse_only_common,
		.doc = doc,
		.children = common_argp,
	};

	(void)argp_parse(&parser, argc, argv, 0, NULL, common);
}

int cmd_say(const char *fmt, ...)
{
	va_list args;

	(void)fputs("bufshare: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputc('\n', stderr);
	return EXIT_FAILURE;
}

int cmd_fail(struct bufshare *handle, int error, const char *what)
{
	const char *text = bufshare_error_text(handle);

	return cmd_say("%s: %s", what, text[0] != '\0' ? text : strerror(-error));
}

struct bufshare *cmd_open(const struct common *common)
{
	const char *path = common->path;
	struct bufshare *handle;
	char words[256];
	int error = bufshare_open_explained(path, &handle, words, sizeof(words));

	if (error == 0)
		return handle;
	if (path == NULL)
		path = secure_getenv("BUFSHARE");
	if (path == NULL && error == -ENOENT)
		(void)cmd_say("there is neither /dev/bufshare0 (in a guest: modprobe "
			      "virtio_bufshare) nor /run/bufshare/client.sock (on the host: start "
			      "vhost-user-bufshare); --connect=PATH names another one");
	else
		(void)cmd_say("%s: %s%s", path != NULL ? path : "open", words,
			      error == -EACCES ? ": run as root, or as a user who may open it" : "");
	return NULL;
}

/* ---- text and JSON ---- */

void cmd_print_json(struct json_object *json, bool line)
{
	(void)puts(json_object_to_json_string_ext(
		json, (line ? JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PRETTY) |
			      JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
}

int cmd_flush(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}

struct json_object *json_uuid(const uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	char text[BUFSHARE_UUID_TEXT];

	bufshare_uuid_format(uuid, text);
	return json_object_new_string(text);
}

struct json_object *json_hex(const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;
	struct json_object *json;
	char *text = malloc(len * 2 + 1);

	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[i * 2] = digits[bytes[i] >> 4];
		text[i * 2 + 1] = digits[bytes[i] & 15];
	}
	json = json_object_new_string_len(text, (int)(len * 2));
	free(text);
	return json;
}

void format_fourcc(uint32_t fourcc, char *ret_text)
{
	for (int i = 0; i < 4; i++) {
		char c = (char)(fourcc >> (8 * i) & 0xff);

		ret_text[i] = '\0';
		if (c == '\0' || c == ' ')
			break;
		ret_text[i] = c > 0x20 && c < 0x7f ? c : '?';
		ret_text[i + 1] = '\0';
	}
}

void format_image(const struct bufshare_image *image, char *ret_text, size_t size)
{
	char fourcc[5];

	if (image->fourcc == 0) {
		(void)snprintf(ret_text, size, "-");
		return;
	}
	format_fourcc(image->fourcc, fourcc);
	(void)snprintf(ret_text, size, "%ux%u %s", image->width, image->height, fourcc);
}

struct json_object *json_image(const struct bufshare_image *image)
{
	struct json_object *json, *planes;
	char fourcc[5];

	if (image->fourcc == 0)
		return NULL;
	json = json_object_new_object();
	planes = json_object_new_array();
	format_fourcc(image->fourcc, fourcc);
	json_object_object_add(json, "width", json_object_new_int64(image->width));
	json_object_object_add(json, "height", json_object_new_int64(image->height));
	json_object_object_add(json, "fourcc", json_object_new_string(fourcc));
	json_object_object_add(json, "modifier", json_object_new_uint64(image->modifier));
	for (uint32_t i = 0; i < image->num_planes; i++) {
		struct json_object *plane = json_object_new_object();

		json_object_object_add(plane, "offset",
				       json_object_new_uint64(image->planes[i].offset));
		json_object_object_add(plane, "stride",
				       json_object_new_int64(image->planes[i].stride));
		json_object_array_add(planes, plane);
	}
	json_object_object_add(json, "planes", planes);
	json_object_object_add(json, "primaries", json_object_new_int(image->color_primaries));
	json_object_object_add(json, "transfer", json_object_new_int(image->transfer));
	json_object_object_add(json, "matrix", json_object_new_int(image->matrix));
	json_object_object_add(json, "range", json_object_new_int(image->range));
	return json;
}

struct json_object *json_buffer(const struct bufshare_buffer_info *info)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "uuid", json_uuid(info->uuid));
	json_object_object_add(json, "owner", json_object_new_string(info->owner));
	json_object_object_add(json, "state", json_object_new_string(state_name(info->state)));
	json_object_object_add(json, "size", json_object_new_uint64(info->size));
	json_object_object_add(json, "extents", json_object_new_int64(info->num_extents));
	json_object_object_add(json, "users", json_object_new_int64(info->users));
	if (info->pid != 0)
		json_object_object_add(json, "pid", json_object_new_int(info->pid));
	json_object_object_add(json, "image", json_image(&info->image));
	if (info->user_len != 0)
		json_object_object_add(json, "user_data_bytes",
				       json_object_new_int64(info->user_len));
	return json;
}

struct json_object *json_stream(const struct bufshare_stream_info *info)
{
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "owner", json_object_new_string(info->owner));
	json_object_object_add(json, "name", json_object_new_string(info->name));
	json_object_object_add(json, "listeners", json_object_new_int64(info->listeners));
	json_object_object_add(json, "in_flight", json_object_new_int64(info->in_flight));
	json_object_object_add(json, "published", json_object_new_uint64(info->published));
	json_object_object_add(json, "sequence", json_object_new_uint64(info->sequence));
	return json;
}

struct json_object *json_ranges(const struct bufshare_range *ranges, size_t num,
				enum bufshare_side side)
{
	struct json_object *json = json_object_new_array();

	for (size_t i = 0; i < num; i++) {
		struct json_object *range = json_object_new_object();

		json_object_object_add(range, side == BUFSHARE_SIDE_GUEST ? "address" : "offset",
				       json_object_new_uint64(ranges[i].start));
		json_object_object_add(range, "length", json_object_new_uint64(ranges[i].len));
		if (side == BUFSHARE_SIDE_HOST)
			json_object_object_add(range, "memfd",
					       json_object_new_int64(ranges[i].fd_index));
		json_object_array_add(json, range);
	}
	return json;
}

const char *state_name(uint32_t state)
{
	switch (state) {
	case BUFSHARE_STATE_FILLING:
		return "filling";
	case BUFSHARE_STATE_LIVE:
		return "live";
	case BUFSHARE_STATE_DETACHED:
		return "detached";
	default:
		return "unknown";
	}
}

const char *reason_name(uint32_t reason)
{
	switch (reason) {
	case BUFSHARE_REASON_DESTROYED:
		return "destroyed";
	case BUFSHARE_REASON_RESET:
		return "reset";
	case BUFSHARE_REASON_OWNER_GONE:
		return "owner-gone";
	default:
		return "unknown";
	}
}

/* ---- parsing ---- */

int parse_number(const char *text, uint64_t *ret_number)
{
	unsigned int shift = 0;
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno != 0)
		return -EINVAL;
	if (*end == 'K' || *end == 'k')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (shift != 0)
		end++;
	if (*end != '\0' || number > UINT64_MAX >> shift)
		return -EINVAL;
	*ret_number = number << shift;
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int parse_hex(const char *text, uint8_t **ret_data, size_t *ret_len)
{
	size_t len = strlen(text) / 2;
	uint8_t *data;

	if (len == 0 || strlen(text) % 2 != 0)
		return -EINVAL;
	data = malloc(len);
	if (data == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[i * 2]), low = hex_digit(text[i * 2 + 1]);

		if (high < 0 || low < 0) {
			free(data);
			return -EINVAL;
		}
		data[i] = (uint8_t)(high << 4 | low);
	}
	*ret_data = data;
	*ret_len = len;
	return 0;
}

int parse_fourcc(const char *text, uint32_t *ret_fourcc)
{
	char padded[4] = { ' ', ' ', ' ', ' ' };
	size_t len = strlen(text);

	if (len < 2 || len > 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		padded[i] = text[i];
	*ret_fourcc = BUFSHARE_FOURCC(padded[0], padded[1], padded[2], padded[3]);
	return 0;
}

/* ---- waiting ---- */

int cmd_signalfd(void)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int cmd_interrupted(int signal_fd)
{
	struct pollfd pfd = { .fd = signal_fd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0 ? -EINTR : 0;
}

int cmd_wait(struct bufshare *handle, int signal_fd, int milliseconds)
{
	struct pollfd pfds[] = {
		{ .fd = bufshare_get_fd(handle), .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};
	int n;

	do {
		n = poll(pfds, 2, milliseconds);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (pfds[1].revents != 0)
		return -EINTR;
	return n > 0 ? 1 : 0;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the marker ---- */

void marker_write(void *at, const char *who, uint8_t ret_random[MARKER_RANDOM])
{
	/* 16 bytes at once: this cannot be short (getrandom(2)). */
	(void)!getrandom(ret_random, MARKER_RANDOM, 0);
	memcpy(at, who, MARKER_RANDOM);
	memcpy((uint8_t *)at + MARKER_RANDOM, ret_random, MARKER_RANDOM);
}

bool marker_read(const void *at, const char *who, uint8_t ret_random[MARKER_RANDOM])
{
	if (memcmp(at, who, MARKER_RANDOM) != 0)
		return false;
	memcpy(ret_random, (const uint8_t *)at + MARKER_RANDOM, MARKER_RANDOM);
	return true;
}
