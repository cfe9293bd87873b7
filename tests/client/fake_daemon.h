/* SPDX-License-Identifier: MIT */
/*
 * A daemon that lies: a thread that answers one client what the test wants, in the right form
 * but with wrong numbers.
 */
#ifndef TESTS_CLIENT_FAKE_DAEMON_H
#define TESTS_CLIENT_FAKE_DAEMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <bufshare/bufshare.h>

#include "bufshare_client_protocol.h"

#define PAGE 4096

/* What the daemon sends for the request after HELLO, and for the one after that. */
struct answer {
	uint64_t data[1024];
	size_t len;
	int fd; /* sent num_fds times */
	uint32_t num_fds;
	bool keep_serial; /* as in @data; else that of the request */
	unsigned int events_before;
	bool silent; /* but for the events */
};

struct fake_daemon {
	char dir[64], path[128];
	int listen_fd;
	_Atomic int fd; /* the connection; -1: none yet */
	pthread_t thread;
	bool serving;
	struct answer answers[4];
	unsigned int num_answers;
};
extern struct fake_daemon fake;

/* cmocka's setup and teardown. */
int fake_setup(void **state);
int fake_teardown(void **state);

/* The next answer: @len bytes of 0. */
struct answer *add_answer(size_t len);
/* A good reply to BUFFER_GET for a buffer of two pages in two extents; @fd: borrowed. */
struct answer *add_get(int fd, uint32_t path);
/* A good reply to BUFFER_EXTENTS, of the pages 1 and 0; returns the two extents in it. */
struct bufshare_msg_extent *add_extents(void);

/* Starts to serve, and connects. */
struct bufshare *open_fake(void);
/* A protocol error, and after it only that the connection has ended; closes @handle. */
void expect_broken(struct bufshare *handle, int error);

extern const uint8_t fake_uuid[BUFSHARE_UUID_SIZE];
int make_memfd(size_t size, unsigned int seals);
/* bufshare_get() of that buffer. */
int get_fake(struct bufshare *handle, uint32_t take, struct bufshare_buffer **ret_buffer);

#endif /* TESTS_CLIENT_FAKE_DAEMON_H */
