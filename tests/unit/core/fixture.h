/* SPDX-License-Identifier: MIT */
/*
 * Peers whose ops write down what they are told, and short forms of the calls that
 * most tests of the core need.
 */
#ifndef TEST_CORE_FIXTURE_H
#define TEST_CORE_FIXTURE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "core.h"

#define PAGE UINT64_C(4096)

enum told {
	TOLD_IDLE = 1,
	TOLD_RELEASED,
	TOLD_LISTENERS,
	TOLD_ADDED,
	TOLD_REMOVED,
	TOLD_STREAM_ADDED,
	TOLD_STREAM_REMOVED,
	TOLD_FRAME,
	TOLD_ENDED,
};

struct record {
	enum told what;
	uint8_t uuid[UUID_SIZE];
	uint64_t number; /* sequence, listeners or reason */
};

#define MAX_RECORDS 64

struct actor {
	struct peer *peer;
	struct record records[MAX_RECORDS];
	size_t num, seen;
};

struct fixture {
	struct core *core;
	struct arena *ram;  /* of "a" */
	struct actor a, b;  /* guests */
	struct actor c, d;  /* administrator's clients */
	struct actor other; /* a client that may see nothing */
	int ram_fd;
};

int fixture_setup(void **state);
/* Also checks that nothing is left: fds, counters. */
int fixture_teardown(void **state);
/* Ends the peer before the fixture does. */
void actor_leave(struct actor *actor);

/* The next thing that @actor was told is this; fails otherwise. */
const struct record *expect_told(struct actor *actor, enum told what);
void expect_quiet(struct actor *actor);

/* A live buffer of @pages pages of one extent at page @first of the RAM. */
struct buffer *make_buffer(struct fixture *f, struct actor *owner, uint64_t first, uint64_t pages);
struct buffer *make_filling(struct actor *owner, uint64_t size, uint32_t num_extents);
struct extent ram_extent(struct fixture *f, uint64_t first, uint64_t pages);
struct stream *make_stream(struct actor *owner, const char *name, uint32_t max_frames);
struct consumer *join(struct actor *client, struct actor *owner, const char *name);
int publish(struct stream *stream, const struct buffer *buffer, uint64_t sequence);
/* Copies the buffer's UUID, for the time after the buffer. */
void copy_uuid(uint8_t ret_uuid[UUID_SIZE], const struct buffer *buffer);

struct core_stats stats_of(struct fixture *f);
int count_open_fds(void);

extern const struct virtio_bufshare_desc no_picture;
extern const struct core_limits test_limits;

#endif /* TEST_CORE_FIXTURE_H */
