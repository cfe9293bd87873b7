/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_max = LOG_LEVEL_INFO;
static void (*log_sink)(enum log_level level, const char *peer, const char *line);

void log_set_level(enum log_level max)
{
	log_max = max;
}

void log_set_sink(void (*sink)(enum log_level level, const char *peer, const char *line))
{
	log_sink = sink;
}

/* Bytes above 0x7f stay: labels may be UTF-8. */
static void defuse(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

/* Lines that stderr did not take. */
static unsigned int lost;

static bool put(const char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	/* Not O_NONBLOCK: stderr's open file is not ours alone. */
	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT &&
	       write(STDERR_FILENO, line, len) == (ssize_t)len;
}

/* A log that nobody reads must not stop the daemon. */
static void put_or_lose(const char *line, size_t len)
{
	char text[64];
	int n;

	if (lost > 0) {
		n = snprintf(text, sizeof(text), "%s%u lines were lost\n",
			     isatty(STDERR_FILENO) ? "" : "<4>", lost);
		if (n > 0 && put(text, (size_t)n))
			lost = 0;
	}
	/* In order: nothing gets past what says that something is missing. */
	if ((lost > 0 || !put(line, len)) && lost < UINT_MAX)
		lost++;
}

static void emit(enum log_level level, const char *peer, const char *fmt, va_list args)
	__attribute__((format(printf, 3, 0)));

static void emit(enum log_level level, const char *peer, const char *fmt, va_list args)
{
	char text[LOG_LINE_MAX];
	char line[LOG_LINE_MAX + 96];
	char prefix[8] = "";
	int n;

	(void)vsnprintf(text, sizeof(text), fmt, args);
	defuse(text);
	if (log_sink) {
		log_sink(level, peer, text);
		return;
	}
	if (!isatty(STDERR_FILENO))
		(void)snprintf(prefix, sizeof(prefix), "<%d>", (int)level);
	n = snprintf(line, sizeof(line), "%s%s%s%s\n", prefix, peer, *peer ? ": " : "", text);
	if (n > 0)
		put_or_lose(line, (size_t)n);
}

static void emit_suppressed(struct log_peer *peer, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void emit_suppressed(struct log_peer *peer, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	emit(LOG_LEVEL_WARNING, peer->name, fmt, args);
	va_end(args);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (level > log_max)
		return;
	va_start(args, fmt);
	emit(level, "", fmt, args);
	va_end(args);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void log_peer_init(struct log_peer *peer, const char *name)
{
	memset(peer, 0, sizeof(*peer));
	(void)snprintf(peer->name, sizeof(peer->name), "%s", name);
	defuse(peer->name);
	peer->tokens = LOG_PEER_BURST;
	peer->refilled_ms = now_ms();
}

static bool take_token(struct log_peer *peer)
{
	int64_t fresh = (now_ms() - peer->refilled_ms) / LOG_PEER_REFILL_MS;

	if (fresh > 0) {
		peer->refilled_ms += fresh * LOG_PEER_REFILL_MS;
		if (fresh > (int64_t)(LOG_PEER_BURST - peer->tokens))
			peer->tokens = LOG_PEER_BURST;
		else
			peer->tokens += (uint32_t)fresh;
	}
	if (peer->tokens == 0)
		return false;
	peer->tokens--;
	return true;
}

void log_peer(struct log_peer *peer, enum log_level level, const char *fmt, ...)
{
	struct log_peer *account = peer->account ? peer->account : peer;
	va_list args;

	if (level > log_max)
		return;
	if (!take_token(account)) {
		if (account->suppressed < UINT32_MAX)
			account->suppressed++;
		return;
	}
	if (account->suppressed) {
		uint32_t suppressed = account->suppressed;

		account->suppressed = 0;
		emit_suppressed(account, "%u lines were left out", suppressed);
	}
	va_start(args, fmt);
	emit(level, peer->name, fmt, args);
	va_end(args);
}
