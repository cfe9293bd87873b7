/* SPDX-License-Identifier: MIT */
/* Who waits is accepted once it is possible, and until then nothing spins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "log.h"

static int failures, error; /* of the next calls of accept4() */
static int calls, lines;

int __real_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags); /* NOLINT */
int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags); /* NOLINT */

int __wrap_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) /* NOLINT */
{
	calls++;
	if (failures > 0) {
		failures--;
		errno = error;
		return -1;
	}
	return __real_accept4(fd, addr, len, flags);
}

static void count_line(enum log_level level, const char *peer, const char *line)
{
	(void)level;
	(void)peer;
	(void)line;
	lines++;
}

struct place {
	char dir[32], path[64];
	struct loop *loop;
	struct log_peer log;
	struct listener listener;
};

static void on_connection(struct listener *listener, int fd)
{
	close(fd);
	listener_stop(listener);
	loop_quit(listener->loop, 0);
}

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	memcpy(place->dir, "/tmp/bufshare-XXXXXX", sizeof("/tmp/bufshare-XXXXXX"));
	assert_non_null(mkdtemp(place->dir));
	(void)snprintf(place->path, sizeof(place->path), "%s/name", place->dir);
	assert_int_equal(loop_create(&place->loop), 0);
	log_peer_init(&place->log, "test");
	log_set_sink(count_line);
	listener_init(&place->listener, place->loop, &place->log, on_connection);
	failures = calls = lines = 0;
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	listener_finish(&place->listener);
	loop_destroy(place->loop);
	log_set_sink(NULL);
	assert_int_equal(rmdir(place->dir), 0);
	free(place);
	return 0;
}

static int connect_to(const struct place *place)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&place->listener.addr,
				 sizeof(place->listener.addr)),
			 0);
	return fd;
}

static void listen_here(struct place *place)
{
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4), 0);
	assert_int_equal(listener_start(&place->listener), 0);
}

static void test_want_of_resources(void **state)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS };
	struct place *place = *state;

	listen_here(place);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int fd = connect_to(place);

		failures = 3;
		error = errors[i];
		calls = lines = 0;
		assert_int_equal(listener_start(&place->listener), 0);
		assert_int_equal(loop_run(place->loop), 0);
		/* Each failure was one try and not a storm, and all together one line. */
		assert_int_equal(calls, 4);
		assert_int_equal(lines, 1);
		close(fd);
	}
}

static void test_interrupted(void **state)
{
	struct place *place = *state;
	int fd;

	listen_here(place);
	fd = connect_to(place);
	failures = 2;
	error = ECONNABORTED;
	assert_int_equal(loop_run(place->loop), 0);
	assert_int_equal(calls, 3);
	assert_int_equal(lines, 0);
	close(fd);
}

static void test_mode(void **state)
{
	struct place *place = *state;
	mode_t mask = umask(0077);
	struct stat st;

	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, true, 4), 0);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	listener_finish(&place->listener);
	assert_int_equal(stat(place->path, &st), -1);
	listener_init(&place->listener, place->loop, &place->log, on_connection);
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4), 0);
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(umask(mask), 0077);
}

static void test_names_of_others(void **state)
{
	struct place *place = *state;
	struct listener other;
	int fd;

	/* A file, or a name that leads to one. */
	fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4),
			 -EEXIST);
	listener_finish(&place->listener);
	assert_int_equal(unlink(place->path), 0);
	assert_int_equal(symlink("/dev/null", place->path), 0);
	listener_init(&place->listener, place->loop, &place->log, on_connection);
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4),
			 -EEXIST);
	listener_finish(&place->listener);
	assert_int_equal(unlink(place->path), 0);

	/* Somebody who listens, by whatever type of socket. */
	listener_init(&other, place->loop, &place->log, on_connection);
	assert_int_equal(listener_bind(&other, place->path, SOCK_SEQPACKET, false, 4), 0);
	listener_init(&place->listener, place->loop, &place->log, on_connection);
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4),
			 -EADDRINUSE);
	listener_finish(&place->listener);
	/* A dead one is replaced, and the one before leaves the new name alone. */
	close(other.fd);
	other.fd = -1;
	listener_init(&place->listener, place->loop, &place->log, on_connection);
	assert_int_equal(listener_bind(&place->listener, place->path, SOCK_STREAM, false, 4), 0);
	listener_finish(&other);
	assert_int_equal(access(place->path, F_OK), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_want_of_resources),
		TEST(test_interrupted),
		TEST(test_mode),
		TEST(test_names_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
