/* SPDX-License-Identifier: MIT */
/* Test results in the form of the Test Anything Protocol, version 13. */
#ifndef TAP_H
#define TAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failures;

#define tap_ok(good, ...) tap_result((good), NULL, __FILE__, __LINE__, __VA_ARGS__)
#define tap_skip(why, ...) tap_result(true, (why), __FILE__, __LINE__, __VA_ARGS__)

/* The result of a call is a value that is not negative, or -1 with this errno. */
#define tap_errno(wanted, call, ...)                                                          \
	do {                                                                                  \
		errno = 0;                                                                    \
		long tap_ret = (call);                                                        \
		int tap_err = tap_ret < 0 ? errno : 0;                                        \
		if (!tap_ok(tap_err == (wanted), __VA_ARGS__))                                \
			printf("#   errno is %d (%s), not %d (%s)\n", tap_err,                \
			       strerror(tap_err), (wanted), strerror(wanted));                \
	} while (0)

__attribute__((format(printf, 5, 6))) static inline bool
tap_result(bool good, const char *skipped, const char *file, int line, const char *format, ...)
{
	char text[256];
	__builtin_va_list args;

	__builtin_va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	__builtin_va_end(args);
	tap_count++;
	printf("%sok %d - %s%s%s\n", good ? "" : "not ", tap_count, text, skipped ? " # SKIP " : "",
	       skipped ? skipped : "");
	if (!good) {
		tap_failures++;
		printf("#   at %s:%d\n", file, line);
	}
	(void)fflush(stdout);
	return good;
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The rest cannot be tested. */
__attribute__((noreturn)) static inline void tap_bail_out(const char *why)
{
	printf("Bail out! %s: %s\n", why, strerror(errno));
	(void)fflush(stdout);
	exit(EXIT_FAILURE);
}

#endif /* TAP_H */
