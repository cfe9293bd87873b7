/* SPDX-License-Identifier: MIT */
/* The bufshare command: what its verbs share. */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bufshare/bufshare.h>
#include <json-c/json.h>

/* Each verb returns an exit status; argv[0] is "bufshare VERB". */
int cmd_capture(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_peek(int argc, char **argv);
int cmd_poke(int argc, char **argv);
int cmd_publish(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_watch(int argc, char **argv);

/* The options of every verb; a child of its parser, whose child_inputs[0] is this. */
struct common {
	const char *path; /* --connect; NULL: the default */
	bool json;
};
extern const struct argp_child common_argp[];

/* Parses a verb's command line that has no options of its own. */
void cmd_parse_common(int argc, char **argv, const char *doc, struct common *common);

/* Opens the node or the socket; NULL after having said why not. */
struct bufshare *cmd_open(const struct common *common);

/* Says "bufshare: @what: why" and returns EXIT_FAILURE. */
int cmd_fail(struct bufshare *handle, int error, const char *what);
int cmd_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Prints and frees; a whole document or, with @line, one on a line of its own. */
void cmd_print_json(struct json_object *json, bool line);
/* Writes out what was printed; -EIO, without words, when it or something before it failed. */
int cmd_flush(void);

struct json_object *json_uuid(const uint8_t uuid[BUFSHARE_UUID_SIZE]);
struct json_object *json_hex(const void *data, size_t len);
struct json_object *json_image(const struct bufshare_image *image);
struct json_object *json_buffer(const struct bufshare_buffer_info *info);
struct json_object *json_stream(const struct bufshare_stream_info *info);
struct json_object *json_ranges(const struct bufshare_range *ranges, size_t num,
				enum bufshare_side side);

/* Writes e.g. "1280x720 YUYV", or "-" for no picture; @ret_text: at least 40 bytes. */
void format_image(const struct bufshare_image *image, char *ret_text, size_t size);
/* "YUYV"; @ret_text: 5 bytes. */
void format_fourcc(uint32_t fourcc, char *ret_text);
const char *state_name(uint32_t state);
const char *reason_name(uint32_t reason);

/* A number with an optional suffix K, M or G; -EINVAL. */
int parse_number(const char *text, uint64_t *ret_number);
/* An even number of hex digits; *@ret_data: owned by the caller, free(3). */
int parse_hex(const char *text, uint8_t **ret_data, size_t *ret_len);
/* Four characters, e.g. YUYV. */
int parse_fourcc(const char *text, uint32_t *ret_fourcc);

/*
 * SIGINT and SIGTERM no longer end the program, but become readable here and stay so; owned by
 * the caller; a negative errno.
 */
int cmd_signalfd(void);
/* For each round of a loop that may always find something to do: 0, or -EINTR: a signal. */
int cmd_interrupted(int signal_fd);
/* Like poll(2) on the handle and @signal_fd: 1: events, 0: the time is over, -EINTR: a signal. */
int cmd_wait(struct bufshare *handle, int signal_fd, int milliseconds);

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

/*
 * The proof that two machines see the same page: the guest writes MARKER_GUEST and 16 random
 * bytes at the start of a buffer, the host MARKER_HOST and its own 16 behind that.
 */
#define MARKER_GUEST "bufshare guest:"
#define MARKER_HOST  "bufshare host: "
#define MARKER_SIZE  32
#define MARKER_RANDOM 16 /* the offset of the random bytes, and how many they are */
void marker_write(void *at, const char *who, uint8_t ret_random[MARKER_RANDOM]);
/* Returns whether @who wrote its marker there. */
bool marker_read(const void *at, const char *who, uint8_t ret_random[MARKER_RANDOM]);

#endif /* CLIENT_CMD_H */
