/* SPDX-License-Identifier: MIT */
/*
 * A daemon's client side in this process: the real core, loop and client server run in a
 * thread, and a guest is played by calls of the core.  Everything that touches the core
 * goes through fixture_call(), which runs it in that thread.
 */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "bufshare_client_protocol.h"
#include "core/core.h"
#include "host-clients/server.h"
#include "loop/loop.h"

#define PAGE	  4096
#define RAM_PAGES 66400

struct guest_event {
	enum { GUEST_IDLE = 1, GUEST_RELEASED, GUEST_LISTENERS } type;
	uint8_t uuid[UUID_SIZE];
	uint64_t sequence;
	uint32_t listeners;
};

struct fixture {
	char dir[64], path[128];
	struct loop *loop;
	struct core *core;
	struct client_server *server;
	struct peer *guest;
	struct arena *ram;
	int ram_fd;
	uint8_t *ram_map;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct loop_source calls;
	int call_fd;
	void (*call)(struct fixture *f, void *arg);
	void *call_arg;
	struct guest_event events[1024];
	unsigned int num_events, taken_events;
};

/* @options: path is filled in; may be NULL: uid 0 and this uid are trusted rw. */
struct fixture *fixture_start(const struct client_server_options *options);
void fixture_stop(struct fixture *f);
/* As cmocka's setup and teardown: the default options. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs @fn in the loop's thread and waits until it has returned. */
void fixture_call(struct fixture *f, void (*fn)(struct fixture *f, void *arg), void *arg);

/* A live buffer of extents of one page each at @pages of the RAM, in that order. */
void guest_make_buffer(struct fixture *f, const uint32_t *pages, uint32_t num,
		       uint8_t ret_uuid[UUID_SIZE]);
/* The same with a picture and the user's own bytes. */
void guest_make_picture(struct fixture *f, const struct virtio_bufshare_desc *desc,
			const void *user, uint32_t first_page, uint32_t num_pages,
			uint8_t ret_uuid[UUID_SIZE]);
/* Returns the number of users. */
uint32_t guest_destroy_buffer(struct fixture *f, const uint8_t uuid[UUID_SIZE]);
/* Of a buffer that is not destroyed. */
uint32_t guest_users(struct fixture *f, const uint8_t uuid[UUID_SIZE]);
uint32_t guest_make_stream(struct fixture *f, const char *name);
void guest_end_stream(struct fixture *f, uint32_t id);
int guest_publish(struct fixture *f, uint32_t id, const uint8_t uuid[UUID_SIZE], uint64_t sequence);
void guest_reset(struct fixture *f);
void guest_suspend(struct fixture *f, bool suspended);
void guest_leave(struct fixture *f);
/* The next thing that the guest was told; fails the test after ten seconds. */
struct guest_event guest_next(struct fixture *f);

struct core_stats fixture_stats(struct fixture *f);

/* ---- a client that speaks the protocol itself ---- */

int raw_connect(const struct fixture *f);
/* After HELLO. */
int raw_client(const struct fixture *f);
void raw_send(int fd, const void *data, size_t len);
/* Fills in the header; the serial is 7. */
void raw_request(int fd, uint32_t type, void *msg, size_t len);
/* Returns the length; 0 at the end of the connection.  @ret_fds: room for 16, or NULL: none. */
size_t raw_receive(int fd, void *data, size_t size, int *ret_fds, uint32_t *ret_num_fds);
/* Sends and waits for the reply's status; the reply is put to @ret_reply (64 KiB) if not NULL. */
uint32_t raw_status(int fd, uint32_t type, void *msg, size_t len, void *ret_reply);
/* A hold to read, by the RAM path, and its return; the reply's status.  What comes with it is closed. */
uint32_t raw_get(int fd, const uint8_t uuid[UUID_SIZE]);
uint32_t raw_put(int fd, const uint8_t uuid[UUID_SIZE]);
void raw_expect_end(int fd);

#endif /* TESTS_CLIENT_FIXTURE_H */
