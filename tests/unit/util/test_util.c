/* SPDX-License-Identifier: MIT */
/* Log lines, owned descriptors, checked arithmetic. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "checked.h"
#include "fd.h"
#include "log.h"

static char last_line[LOG_LINE_MAX], last_peer[64];
static int lines;

static void capture(enum log_level level, const char *peer, const char *line)
{
	(void)level;
	(void)snprintf(last_line, sizeof(last_line), "%s", line);
	(void)snprintf(last_peer, sizeof(last_peer), "%s", peer);
	lines++;
}

static void test_log_cannot_be_forged(void **state)
{
	struct log_peer peer;

	(void)state;
	log_peer_init(&peer, "vm\n1");
	log_peer(&peer, LOG_LEVEL_ERROR, "name '%s'", "a\n<3>vm2: lie\033[2J");
	assert_string_equal(last_peer, "vm?1");
	assert_string_equal(last_line, "name 'a?<3>vm2: lie?[2J'");
}

static void test_log_cannot_be_filled(void **state)
{
	struct log_peer peer, other;

	(void)state;
	log_peer_init(&peer, "vm1");
	log_peer_init(&other, "vm2");
	lines = 0;
	for (int i = 0; i < 100000; i++)
		log_peer(&peer, LOG_LEVEL_ERROR, "again");
	/* The burst, and one for each refill of a slow machine. */
	assert_in_range(lines, LOG_PEER_BURST, LOG_PEER_BURST + 10);
	/* Another peer has its own. */
	log_peer(&other, LOG_LEVEL_ERROR, "hello");
	assert_string_equal(last_line, "hello");
	/* The next one that gets through says what is missing. */
	peer.refilled_ms -= LOG_PEER_REFILL_MS;
	lines = 0;
	log_peer(&peer, LOG_LEVEL_ERROR, "after");
	assert_int_equal(lines, 2);
	assert_string_equal(last_line, "after");
}

/* A pipe that nobody reads is stderr: lines are dropped, and counted. */
static void test_log_never_blocks(void **state)
{
	int fds[2], saved = dup(STDERR_FILENO); // NOLINT(android-cloexec-dup)
	static char text[1 << 20];
	size_t len = 0;
	ssize_t n;
	bool dropped;

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(saved >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
	log_set_sink(NULL);
	/* The signal ends the test where a line waits for room. */
	(void)alarm(5);
	for (int i = 0; i < 10000; i++)
		log_line(LOG_LEVEL_ERROR, "line %d", i);
	(void)alarm(0);
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	dropped = !strstr(text, "<3>line 9999\n") && strstr(text, "<3>line 100\n");
	/* The pipe's descriptor was left as it was. */
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	log_line(LOG_LEVEL_ERROR, "after");
	memset(text, 0, sizeof(text));
	n = read(fds[0], text, sizeof(text) - 1);
	log_set_sink(capture);
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[0]);
	close(fds[1]);
	assert_true(dropped);
	assert_true(n > 0);
	assert_non_null(strstr(text, " lines were lost\n<3>after\n"));
}

static void test_log_levels(void **state)
{
	(void)state;
	lines = 0;
	log_line(LOG_LEVEL_DEBUG, "hidden");
	assert_int_equal(lines, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_line(LOG_LEVEL_DEBUG, "shown");
	assert_int_equal(lines, 1);
	log_set_level(LOG_LEVEL_INFO);
}

static void test_fd(void **state)
{
	int fds[2] = { eventfd(0, EFD_CLOEXEC), open("/dev/null", O_RDWR | O_CLOEXEC) };
	int copy, taken;

	(void)state;
	assert_int_equal(fd_is_eventfd(fds[0]), 1);
	assert_int_equal(fd_is_eventfd(fds[1]), 0);
	assert_int_equal(fd_is_eventfd(-1), -ENOENT);
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	copy = fd_dup(fds[0]);
	assert_true(fcntl(copy, F_GETFD) & FD_CLOEXEC);
	taken = fd_take(&copy);
	assert_int_equal(copy, -1);
	errno = E2BIG;
	fd_close(&taken);
	fd_close(&taken);
	assert_int_equal(errno, E2BIG);
	assert_int_equal(taken, -1);
	fd_close_many(fds, 2);
	assert_int_equal(fds[1], -1);
}

static void test_checked(void **state)
{
	uint64_t r = 7;

	(void)state;
	assert_false(checked_add_u64(UINT64_MAX, 1, &r));
	assert_false(checked_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
	assert_false(checked_align_up(UINT64_MAX - 4094, 4096, &r));
	assert_int_equal(r, 7);
	assert_true(checked_align_up(UINT64_MAX - 4095, 4096, &r));
	assert_int_equal(r, UINT64_MAX - 4095);
	assert_true(checked_align_up(0, 4096, &r));
	assert_int_equal(r, 0);
	assert_true(range_contains(0, 0, 0, 0));
	assert_true(range_contains(4096, 4096, 8192, 0));
	assert_false(range_contains(4096, 4096, 8192, 1));
	assert_false(range_contains(4096, 4096, 4095, 1));
	assert_false(range_contains(4096, 4096, 8191, UINT64_MAX));
	assert_true(is_power_of_two(UINT64_C(1) << 63));
	assert_false(is_power_of_two(0));
	assert_false(is_power_of_two(63));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_cannot_be_forged),
		cmocka_unit_test(test_log_cannot_be_filled),
		cmocka_unit_test(test_log_never_blocks),
		cmocka_unit_test(test_log_levels),
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_checked),
	};

	log_set_sink(capture);
	return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}
