/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * A queue runs when it has a size, addresses and a kick, and is enabled
 * (vhost-user.rst, "Ring states"; QEMU starts a ring by SET_VRING_KICK and does not wait
 * for a first kick, and neither do we).  The device is started when all its queues run:
 * a driver sets all of them up before DRIVER_OK.
 *
 * vhost-user does not tell a reset from a pause: in both the queues stop.  What tells is
 * the index at which they start again: a driver that was reset starts at 0, a paused
 * one where it was, which may be 0 too.
 *
 * A driver that breaks the ring's rules gets no service until it may have been reset.
 * The connection stays: stock QEMU aborts when its back-end goes away, which would let
 * a bug of a guest's kernel end the VM.
 *
 * While QEMU rearranges memory regions with REM_MEM_REG and ADD_MEM_REG, a ring's place
 * can be missing for a moment; then its work waits.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#include "conn.h"
#include "fd.h"
#include "notify.h"

/*
 * What one queue may cost in one round of the loop, so that all connections get theirs.
 * Steps are vu_mem.steps: each descriptor takes one at least, and what the device asks of
 * the memory table for a request, or for an event that comes of it, counts too.
 */
#define REQUESTS_PER_ROUND 64
#define STEPS_PER_ROUND	   8192

/*
 * The longest chains: of a request, and of a buffer for events.  Drivers need 2 and 1, and
 * one for each page of a request that is not contiguous.
 */
#define MAX_REQUEST_DESCRIPTORS 128
#define MAX_EVENT_DESCRIPTORS	8

/* The most that we keep mapped of a guest's memory, apart from its rings: see vu_mem_remap(). */
#define MAX_TOUCHED_PAGES 1024

static unsigned int queue_index(const struct vu_queue *queue)
{
	return (unsigned int)(queue - queue->conn->queues);
}

static bool carries_requests(const struct vu_queue *queue)
{
	return queue->conn->ops->request_queues & (UINT32_C(1) << queue_index(queue));
}

int vu_queue_init(struct vu_queue *queue, struct vu_conn *conn)
{
	queue->conn = conn;
	queue->kick_fd = -1;
	queue->call_fd = -1;
	queue->err_fd = -1;
	return vu_chain_init(&queue->chain, carries_requests(queue) ? MAX_REQUEST_DESCRIPTORS
								    : MAX_EVENT_DESCRIPTORS);
}

static void drop_kick(struct vu_queue *queue)
{
	loop_remove(&queue->kick);
	fd_close(&queue->kick_fd);
}

void vu_queue_finish(struct vu_queue *queue)
{
	drop_kick(queue);
	fd_close(&queue->call_fd);
	fd_close(&queue->err_fd);
	vu_chain_finish(&queue->chain);
}

/* What cannot be signalled now is due in the next round. */
static void signal_call(struct vu_queue *queue)
{
	queue->call_due = vu_notify(queue->call_fd) < 0;
	if (queue->call_due)
		loop_defer(queue->conn->loop, &queue->conn->work);
}

static void signal_err(struct vu_queue *queue)
{
	queue->err_due = vu_notify(queue->err_fd) < 0;
	if (queue->err_due)
		loop_defer(queue->conn->loop, &queue->conn->work);
}

static void break_queues(struct vu_conn *conn, const struct vu_queue *culprit, const char *why)
{
	if (conn->broken)
		return;
	conn->broken = true;
	log_peer(&conn->log, LOG_LEVEL_ERROR,
		 "queue %u: %s: the device does nothing more until the driver resets it",
		 queue_index(culprit), why);
	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		signal_err(&conn->queues[i]);
}

static bool lost_memory(struct vu_queue *queue)
{
	struct vu_conn *conn = queue->conn;

	if (!conn->mem.faulted)
		return false;
	break_queues(conn, queue,
		     "a page of guest memory is gone (SIGBUS): is the host out of huge pages?");
	return true;
}

/* 1: taken into queue->chain; 0: nothing to do, or not now. */
static int pop(struct vu_queue *queue, void *buf, size_t buf_len, size_t max_writable)
{
	struct vu_conn *conn = queue->conn;
	const char *why = "";
	int r = vu_ring_pop(&queue->ring, &conn->mem, &queue->chain, buf, buf_len, max_writable,
			    &why);

	if (lost_memory(queue))
		return 0;
	if (r == -EPROTO) {
		break_queues(conn, queue, why);
		return 0;
	}
	if (r > 0)
		conn->bytes_copied += queue->chain.copied;
	if (conn->mem.touched >= MAX_TOUCHED_PAGES)
		loop_defer(conn->loop, &conn->work);
	return r;
}

/* Writes the response, if any, and gives the request back. */
static void finish_request(struct vu_queue *queue, const void *data, size_t len)
{
	struct vu_conn *conn = queue->conn;

	if (!vu_ring_write(&conn->mem, &queue->chain, data, len))
		len = 0;
	conn->bytes_copied += len;
	vu_ring_push(&queue->ring, &queue->chain, (uint32_t)len);
	(void)lost_memory(queue);
}

static void call_driver(struct vu_queue *queue)
{
	if (vu_ring_wants_call(&queue->ring))
		signal_call(queue);
}

void vu_queues_tell(struct vu_conn *conn)
{
	for (unsigned int i = 0; i < conn->ops->num_queues; i++) {
		struct vu_queue *queue = &conn->queues[i];

		if (!queue->event_pushed || !vu_ring_resolved(&queue->ring))
			continue;
		queue->event_pushed = false;
		/* While the queues are broken nobody updates where the ring is. */
		if (conn->broken)
			signal_call(queue);
		else
			call_driver(queue);
	}
}

static bool can_serve(const struct vu_queue *queue)
{
	return queue->conn->told && !queue->conn->broken && vu_ring_resolved(&queue->ring);
}

static void serve_request(struct vu_queue *queue)
{
	struct vu_conn *conn = queue->conn;
	const struct vu_device_ops *ops = conn->ops;
	const struct vu_chain *chain = &queue->chain;
	size_t cap = chain->writable < ops->max_response ? (size_t)chain->writable
							 : ops->max_response;
	size_t len = ops->request(conn->dev, queue_index(queue), conn->req, chain->copied,
				  conn->resp, cap);

	if (len > cap)
		len = 0;
	if (len == 0)
		log_peer(&conn->log, LOG_LEVEL_WARNING,
			 "queue %u: a request leaves only %zu bytes for the response: no response",
			 queue_index(queue), cap);
	finish_request(queue, conn->resp, len);
}

/* Returns whether there may be more to do. */
static bool serve_requests(struct vu_queue *queue)
{
	struct vu_conn *conn = queue->conn;
	uint32_t requests = 0;
	bool more = true;

	conn->mem.steps = 0;
	while (can_serve(queue)) {
		if (requests == REQUESTS_PER_ROUND || conn->mem.steps >= STEPS_PER_ROUND ||
		    conn->mem.touched >= MAX_TOUCHED_PAGES)
			break;
		/* One byte more than allowed: that is how the device sees that it was too long. */
		if (pop(queue, conn->req, conn->ops->max_request + 1, conn->ops->max_response) <=
		    0) {
			more = false;
			break;
		}
		requests++;
		serve_request(queue);
	}
	/* One call for all of them. */
	if (requests > 0 && vu_ring_resolved(&queue->ring))
		call_driver(queue);
	return more && can_serve(queue);
}

static void tell_ready(struct vu_queue *queue)
{
	struct vu_conn *conn = queue->conn;
	const char *why = "";
	int r;

	if (!queue->want_ready || !can_serve(queue))
		return;
	r = vu_ring_available(&queue->ring, &why);
	if (lost_memory(queue))
		return;
	if (r < 0) {
		break_queues(conn, queue, why);
	} else if (r > 0) {
		queue->want_ready = false;
		conn->ops->queue_ready(conn->dev, queue_index(queue));
	}
}

static void serve(struct vu_queue *queue)
{
	queue->pending = false;
	if (!can_serve(queue))
		return;
	if (!carries_requests(queue)) {
		tell_ready(queue);
	} else if (serve_requests(queue)) {
		queue->pending = true;
		loop_defer(queue->conn->loop, &queue->conn->work);
	}
}

/*
 * A guest chooses where its requests lie, and every page of them that we touch would stay
 * in our page tables.
 */
static void forget_pages(struct vu_conn *conn)
{
	int r;

	if (conn->broken || conn->mem.faulted || conn->mem.touched < MAX_TOUCHED_PAGES)
		return;
	r = vu_mem_remap(&conn->mem);
	if (r < 0) {
		log_peer(&conn->log, LOG_LEVEL_WARNING, "cannot map guest memory anew: %s",
			 strerror(-r));
		conn->mem.touched = 0; /* and again after as many */
	}
	for (unsigned int i = 0; i < conn->ops->num_queues; i++) {
		if (vu_ring_resolved(&conn->queues[i].ring))
			(void)vu_ring_resolve(&conn->queues[i].ring, &conn->mem);
	}
}

void vu_queues_work(struct loop_deferred *deferred)
{
	struct vu_conn *conn =
		(struct vu_conn *)((char *)deferred - offsetof(struct vu_conn, work));

	forget_pages(conn);
	for (unsigned int i = 0; i < conn->ops->num_queues; i++) {
		struct vu_queue *queue = &conn->queues[i];

		if (queue->call_due)
			signal_call(queue);
		if (queue->err_due)
			signal_err(queue);
		if (queue->pending)
			serve(queue);
	}
	vu_queues_tell(conn);
}

/* All queues may have something that no kick will tell of. */
static void look_at_all(struct vu_conn *conn)
{
	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		conn->queues[i].pending = true;
	loop_defer(conn->loop, &conn->work);
}

/*
 * The kick is never read.  The front-end shares the open file and can make a read block,
 * and one of a semaphore (eventfd(2)) would leave it readable for longer than anybody
 * lives.  Edge-triggered, it wakes us once for each time that it is signalled; also both of
 * two queues that share it.
 */
static void on_kick(struct loop_source *source, uint32_t events)
{
	(void)events;
	serve((struct vu_queue *)((char *)source - offsetof(struct vu_queue, kick)));
}

int vu_queue_set_kick(struct vu_queue *queue, int *fd)
{
	int r;

	drop_kick(queue);
	queue->kick_fd = fd_take(fd);
	r = loop_add(queue->conn->loop, &queue->kick, queue->kick_fd, EPOLLIN | EPOLLET, on_kick);
	if (r < 0) {
		/* Nobody would hear the driver: without a kick the queue does not run. */
		fd_close(&queue->kick_fd);
		vu_queues_update(queue->conn);
		return r;
	}
	/* The old one may have been signalled. */
	queue->pending = true;
	loop_defer(queue->conn->loop, &queue->conn->work);
	return 0;
}

void vu_queue_stop(struct vu_queue *queue)
{
	drop_kick(queue);
}

bool vu_queue_running(const struct vu_queue *queue)
{
	/* Without the feature there is no SET_VRING_ENABLE: "Ring states". */
	bool negotiated = queue->conn->features & (UINT64_C(1) << VU_F_PROTOCOL_FEATURES);

	return queue->ring.num && queue->ring.have_addr && queue->kick_fd >= 0 &&
	       (queue->enabled || !negotiated);
}

/* Finds the ring's place; false: it has none, and the queues are broken. */
static bool locate(struct vu_queue *queue)
{
	struct vu_conn *conn = queue->conn;
	const struct vu_ring *ring = &queue->ring;
	int r = vu_ring_resolve(&queue->ring, &conn->mem);

	if (r == -EINVAL) {
		break_queues(conn, queue, "the ring's size or alignment is not valid");
	} else if (r < 0 && conn->mem.num_slots == 0) {
		break_queues(conn, queue,
			     "QEMU sent no guest memory that can be shared (share=off?): start it"
			     " with -object memory-backend-memfd,share=on and"
			     " -machine memory-backend=ID");
	} else if (r < 0) {
		log_peer(&conn->log, LOG_LEVEL_ERROR,
			 "queue %u: descriptors at user address 0x%" PRIx64 ", available ring 0x%"
			 PRIx64 ", used ring 0x%" PRIx64,
			 queue_index(queue), ring->addr.descriptor, ring->addr.available,
			 ring->addr.used);
		break_queues(conn, queue, "a part of the ring is not in the memory table");
	}
	return r == 0;
}

/* Whether the queues can be served now that all of them run. */
static bool prepare(struct vu_conn *conn)
{
	if (!(conn->features & (UINT64_C(1) << VU_VIRTIO_F_VERSION_1))) {
		break_queues(conn, &conn->queues[0],
			     "the driver did not accept VIRTIO_F_VERSION_1");
		return false;
	}
	if (conn->mem.faulted && vu_mem_remap(&conn->mem) < 0)
		(void)lost_memory(&conn->queues[0]);
	for (unsigned int i = 0; i < conn->ops->num_queues && !conn->broken; i++) {
		if (locate(&conn->queues[i]))
			vu_ring_start(&conn->queues[i].ring);
		(void)lost_memory(&conn->queues[i]);
	}
	return !conn->broken;
}

static void start(struct vu_conn *conn)
{
	bool maybe_reset = true;

	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		maybe_reset = maybe_reset && conn->queues[i].ring.last_avail == 0;
	conn->started = true;
	if (maybe_reset)
		conn->broken = false;
	if (conn->broken || !prepare(conn))
		return;
	conn->told = true;
	conn->ops->started(conn->dev, conn->features, maybe_reset);
	look_at_all(conn);
}

static void stop(struct vu_conn *conn)
{
	conn->started = false;
	/* A driver that is only paused does not look for itself when it goes on. */
	vu_queues_tell(conn);
	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		vu_ring_unresolve(&conn->queues[i].ring);
	if (!conn->told)
		return;
	conn->told = false;
	conn->ops->stopped(conn->dev);
}

void vu_queues_update(struct vu_conn *conn)
{
	bool all = true;

	for (unsigned int i = 0; i < conn->ops->num_queues; i++)
		all = all && vu_queue_running(&conn->queues[i]);
	if (all && !conn->started)
		start(conn);
	else if (!all && conn->started)
		stop(conn);
}

void vu_queues_relocate(struct vu_conn *conn, bool final)
{
	if (!conn->told || conn->broken)
		return;
	for (unsigned int i = 0; i < conn->ops->num_queues; i++) {
		struct vu_queue *queue = &conn->queues[i];

		if (final)
			(void)locate(queue);
		else
			(void)vu_ring_resolve(&queue->ring, &conn->mem);
	}
	look_at_all(conn);
}

int vu_push(struct vu_conn *conn, unsigned int index, const void *data, size_t len)
{
	struct vu_queue *queue;
	bool fits;

	if (index >= conn->ops->num_queues)
		return -EINVAL;
	queue = &conn->queues[index];
	if (conn->broken)
		return -EPROTO;
	if (!can_serve(queue) || pop(queue, NULL, 0, len) <= 0) {
		queue->want_ready = true;
		return conn->broken ? -EPROTO : -EAGAIN;
	}
	if (queue->chain.readable > 0) {
		break_queues(conn, queue, "a buffer for events has a device-readable part");
		return -EPROTO;
	}
	fits = queue->chain.writable >= len;
	finish_request(queue, data, fits ? len : 0);
	/* One signal, at the end of the round, for all that this round pushes. */
	queue->event_pushed = true;
	loop_defer(conn->loop, &conn->work);
	if (conn->broken)
		return -EPROTO;
	if (!fits)
		log_peer(&conn->log, LOG_LEVEL_WARNING,
			 "queue %u: a buffer of %" PRIu64 " bytes is too small for %zu", index,
			 queue->chain.writable, len);
	return fits ? 0 : -EMSGSIZE;
}
