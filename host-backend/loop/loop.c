/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a source is known to epoll by the number of its slot and the
 * slot's generation, never by its address.  An event that was fetched before its
 * source was removed finds an empty slot or another generation, and is dropped: so a
 * handler may free anything.
 *
 * Deferred calls that a deferred call queues run in the next round, so that work
 * which always asks for more cannot keep the sources from being served.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fd.h"

#define EVENTS_PER_ROUND 64

struct loop_slot {
	struct loop_source *source; /* borrowed; NULL: free */
	uint32_t generation;
	uint32_t next_free;
};

struct loop {
	int epoll_fd; /* owned */
	struct loop_slot *slots;
	uint32_t num_slots;
	uint32_t first_free; /* == num_slots: none */
	struct loop_deferred *queued, **queued_tail;
	struct loop_deferred *running; /* of this round, not yet called */
	bool quit;
	int status;
};

int loop_create(struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		int r = -errno;

		free(loop);
		return r;
	}
	loop->queued_tail = &loop->queued;
	*ret_loop = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	fd_close(&loop->epoll_fd);
	free(loop->slots);
	free(loop);
}

static int grow(struct loop *loop)
{
	uint32_t n = loop->num_slots ? loop->num_slots * 2 : 16;
	struct loop_slot *slots;

	if (n <= loop->num_slots)
		return -ENOMEM;
	slots = reallocarray(loop->slots, n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = loop->num_slots; i < n; i++)
		slots[i] = (struct loop_slot){ .next_free = i + 1 };
	loop->slots = slots;
	/* first_free was num_slots, which is now the first of the new ones. */
	loop->num_slots = n;
	return 0;
}

static uint64_t slot_key(const struct loop *loop, uint32_t slot)
{
	return (uint64_t)loop->slots[slot].generation << 32 | slot;
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events, loop_fn fn)
{
	struct epoll_event event = { .events = events };
	struct loop_slot *slot;
	uint32_t index;

	if (loop->first_free == loop->num_slots) {
		int r = grow(loop);

		if (r < 0)
			return r;
	}
	index = loop->first_free;
	slot = &loop->slots[index];
	event.data.u64 = slot_key(loop, index);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	loop->first_free = slot->next_free;
	slot->source = source;
	*source = (struct loop_source){
		.loop = loop,
		.fd = fd,
		.events = events,
		.fn = fn,
		.slot = index,
	};
	return 0;
}

int loop_modify(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events };

	if (source->events == events)
		return 0;
	event.data.u64 = slot_key(source->loop, source->slot);
	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	source->events = events;
	return 0;
}

void loop_remove(struct loop_source *source)
{
	struct loop *loop = source->loop;
	struct loop_slot *slot;

	if (!loop)
		return;
	/* Explicit: closing our fd does not remove it while a peer holds the same open file. */
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	slot = &loop->slots[source->slot];
	slot->source = NULL;
	slot->generation++;
	slot->next_free = loop->first_free;
	loop->first_free = source->slot;
	source->loop = NULL;
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	*loop->queued_tail = deferred;
	loop->queued_tail = &deferred->next;
}

static bool unlink_deferred(struct loop_deferred **link, struct loop_deferred *deferred)
{
	for (; *link; link = &(*link)->next) {
		if (*link == deferred) {
			*link = deferred->next;
			return true;
		}
	}
	return false;
}

void loop_cancel(struct loop *loop, struct loop_deferred *deferred)
{
	if (!deferred->queued)
		return;
	deferred->queued = false;
	if (unlink_deferred(&loop->running, deferred))
		return;
	(void)unlink_deferred(&loop->queued, deferred);
	loop->queued_tail = &loop->queued;
	while (*loop->queued_tail)
		loop->queued_tail = &(*loop->queued_tail)->next;
}

static void run_deferred(struct loop *loop)
{
	loop->running = loop->queued;
	loop->queued = NULL;
	loop->queued_tail = &loop->queued;
	while (loop->running) {
		struct loop_deferred *deferred = loop->running;

		loop->running = deferred->next;
		deferred->queued = false;
		deferred->fn(deferred);
	}
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	uint32_t index = (uint32_t)event->data.u64;
	struct loop_source *source = loop->slots[index].source;

	if (source && slot_key(loop, index) == event->data.u64)
		source->fn(source, event->events);
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_ROUND];

	while (!loop->quit) {
		int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_ROUND, loop->queued ? 0 : -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			dispatch(loop, &events[i]);
		run_deferred(loop);
	}
	loop->quit = false;
	return loop->status;
}

void loop_quit(struct loop *loop, int status)
{
	loop->quit = true;
	loop->status = status;
}
