/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr: "<LEVEL>PEER: text", one write(2) a line, so that lines of
 * two processes do not mix.  The level prefix is systemd's (sd-daemon(3)), and is
 * left out on a terminal.
 *
 * A line about a peer goes through its struct log_peer, whose rate limit keeps a
 * hostile peer from filling the disk: a burst of LOG_PEER_BURST lines, then one every
 * LOG_PEER_REFILL_MS; the next line that gets through says how many were left out.
 * A line that stderr has no room for is dropped and counted, so that whoever reads it late
 * or never (a full pipe) does not hold us up; the next line that gets through says so.
 * (A terminal can be stopped by its user; a line may then wait for that.)
 * Control characters are replaced: a peer's bytes cannot forge lines.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdint.h>

/* As syslog(3). */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

#define LOG_PEER_BURST	   32
#define LOG_PEER_REFILL_MS 2000
#define LOG_LINE_MAX	   512 /* bytes; the rest of a line is cut */

struct log_peer {
	char name[64];
	int64_t refilled_ms;
	uint32_t tokens;
	uint32_t suppressed;
	/* Whose rate limit its lines count against; NULL: its own.  May be set at any time. */
	struct log_peer *account;
};

/* Lines above @max (less important) are dropped.  The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level max);

/*
 * Where lines go instead of stderr; NULL: stderr again.  @line: NUL-terminated, without
 * prefix or newline, valid during the call.
 */
void log_set_sink(void (*sink)(enum log_level level, const char *peer, const char *line));

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* @name: copied, cut to fit. */
void log_peer_init(struct log_peer *peer, const char *name);

void log_peer(struct log_peer *peer, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* UTIL_LOG_H */
