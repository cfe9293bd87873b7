/* SPDX-License-Identifier: MIT */
/*
 * The event loop: epoll, one thread, nothing that blocks.
 *
 * A source is embedded in the structure that owns it and must stay in place while
 * it is added.  Handlers may remove and free any source, their own included: what
 * was removed is not called any more, not even for events already fetched.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_source;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR as epoll_wait(2) returned them. */
typedef void (*loop_fn)(struct loop_source *source, uint32_t events);

struct loop_source {
	struct loop *loop; /* NULL: not added */
	int fd;		   /* borrowed */
	uint32_t events;
	loop_fn fn;
	uint32_t slot; /* the loop's own */
};

/* A call made once, after the handlers of this round. */
struct loop_deferred {
	void (*fn)(struct loop_deferred *deferred);
	struct loop_deferred *next;
	bool queued;
};

int loop_create(struct loop **ret_loop);
/* All sources must have been removed.  NULL is fine. */
void loop_destroy(struct loop *loop);

/* @fd: borrowed, open until loop_remove().  Returns 0 or a negative errno. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events, loop_fn fn);
int loop_modify(struct loop_source *source, uint32_t events);
/* A source that is not added is fine. */
void loop_remove(struct loop_source *source);

/* Queuing twice is once. */
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_cancel(struct loop *loop, struct loop_deferred *deferred);

/* Runs until loop_quit(); returns its status, or a negative errno. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int status);

#endif /* LOOP_LOOP_H */
