/* SPDX-License-Identifier: MIT */
/*
 * The transport with a small device behind it, in a thread of the test; the test is
 * the VMM at the other end of the socket.
 *
 * The device has queue 0 for requests and queue 1 for vu_push().  A request's first
 * byte says what it does; what follows is its argument.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"
#include "loop.h"
#include "vhost_user.h"
#include "vmm.h"

#define DEVICE_FEATURES	    UINT64_C(0x3)
#define DEVICE_QUEUES	    2
#define DEVICE_CONFIG_SIZE  64
#define DEVICE_MAX_REQUEST  4096
#define DEVICE_MAX_RESPONSE 4096
#define DEVICE_MAX_MEMORY   (UINT64_C(1) << 40)
#define QUEUE_SIZE	    64

enum {
	OP_ECHO = 'e',	/* the response is the request */
	OP_PUSH = 'p',	/* u32: vu_push() so many bytes; the response is the i32 result */
	OP_WALK = 'w',	/* u64 addr, u64 len: the response is i32 result, then pieces */
	OP_EMPTY = 'n', /* no response */
};

struct walked_piece {
	uint64_t offset, len;
};

/* What the device saw; guarded by fixture.lock, waited for with fixture_wait(). */
struct seen {
	int started, stopped, reset, ready, closed, requests;
	int resumed;   /* started() calls with maybe_reset false */
	int error;     /* of closed() */
	size_t longest; /* req_len */
	uint64_t features;
};

struct fixture {
	struct vmm *vmm;
	struct guest *guest; /* after fixture_ready() */
	/* The device's side. */
	struct loop *loop;
	struct vu_conn *conn;
	struct loop_source wake;
	int wake_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct seen seen;
	uint64_t copied; /* vu_bytes_copied() after the last request */
	char log[16384];
	size_t log_len;
	int fds_before;
};

/* A connection that nothing was said on.  @options: NULL: the defaults. */
struct fixture *fixture_create(const struct vmm_options *options);
/* With handshake and memory. */
struct fixture *fixture_handshake(const struct vmm_options *options);
/* With rings of QUEUE_SIZE entries, and the device started. */
struct fixture *fixture_ready(const struct vmm_options *options);
/* Closes, joins, and checks that no descriptor is left. */
void fixture_destroy(struct fixture *f);

/* Waits until *@counter (of f->seen) is at least @n; fails the test after VMM_TIMEOUT_MS. */
void fixture_wait(struct fixture *f, const int *counter, int n);
/* Reads a counter. */
int fixture_count(struct fixture *f, const int *counter);
/* Waits for a log line that contains @text; fails the test when none comes. */
void fixture_wait_log(struct fixture *f, const char *text);
/* How many log lines contain @text so far. */
int fixture_count_log(struct fixture *f, const char *text);

/* An echo goes through: the queues work. */
void assert_echo(struct fixture *f);
/* The transport ended the connection with @error and logged @text. */
void assert_ended(struct fixture *f, int error, const char *text);
/* It refused, and the connection lives. */
void assert_refused(struct fixture *f, int ack, const char *text);
/* The queues are broken, @text was logged, the connection lives. */
void assert_broken(struct fixture *f, const char *text);

/*
 * A payload of any length but @min to @max is refused: acknowledged so, or the connection
 * ends when there is no acknowledgement (@has_reply: never).
 */
void assert_size_checked(uint32_t request, size_t min, size_t max, bool has_reply);
/* So is any number of descriptors above @max. */
void assert_fds_checked(uint32_t request, size_t payload, size_t max, bool has_reply);
/*
 * SET_VRING_KICK, _CALL or _ERR: length, number of descriptors and what kind they are of,
 * the queue and the bits.
 */
void assert_vring_fd_checked(uint32_t request);

#endif /* FIXTURE_H */
