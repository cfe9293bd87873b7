/* SPDX-License-Identifier: MIT */
/*
 * Inside of the transport: what one connection is.  conn.c moves messages and owns the
 * life cycle, messages.c says what each message does, queue.c runs the virtqueues.
 */
#ifndef VHOST_USER_CONN_H
#define VHOST_USER_CONN_H

#include "log.h"
#include "loop.h"
#include "memory.h"
#include "ring.h"
#include "sock.h"
#include "vhost_user.h"

struct vu_queue {
	struct vu_conn *conn;
	struct vu_ring ring;
	struct vu_chain chain; /* the request in work; kept for its allocation */
	struct loop_source kick;
	int kick_fd, call_fd, err_fd; /* owned, -1: none */
	bool enabled;		      /* SET_VRING_ENABLE 1 */
	bool pending;		      /* may have requests that nobody looked at */
	bool event_pushed;	      /* by vu_push(); the driver does not know yet */
	bool call_due, err_due;	      /* to be signalled when the kernel can */
	bool want_ready;	      /* vu_push() found no buffer: tell when there is one */
};

struct vu_conn {
	struct loop *loop;
	const struct vu_device_ops *ops;
	void *dev;
	struct log_peer log;
	struct vu_sock sock;
	struct loop_source source;
	struct loop_deferred work;
	struct vu_mem mem;
	uint64_t features, protocol_features; /* acknowledged by the front-end */
	bool started;			      /* all queues run */
	bool told;			      /* the device knows it */
	/* The driver broke a rule: nothing is served until it may have been reset. */
	bool broken;
	uint8_t *req, *resp; /* owned; max_request + 1 and max_response bytes */
	uint64_t bytes_copied;
	struct vu_queue queues[]; /* ops->num_queues */
};

/* Front-end features that this transport and device offer. */
uint64_t vu_offered_features(const struct vu_conn *conn);
uint64_t vu_offered_protocol_features(void);

/* messages.c: handles conn->sock.in.  0, or a negative errno that ends the connection. */
int vu_handle_message(struct vu_conn *conn);

/* queue.c */
/* 0 or -ENOMEM; vu_queue_finish() is due in both cases. */
int vu_queue_init(struct vu_queue *queue, struct vu_conn *conn);
void vu_queue_finish(struct vu_queue *queue);
/* @fd: a checked eventfd, taken.  0, or a negative errno: the queue has no kick and stopped. */
int vu_queue_set_kick(struct vu_queue *queue, int *fd);
/* GET_VRING_BASE: the ring needs a new kick before it runs again. */
void vu_queue_stop(struct vu_queue *queue);
bool vu_queue_running(const struct vu_queue *queue);
/* After anything that may start or stop the queues. */
void vu_queues_update(struct vu_conn *conn);
/* After the memory table changed.  @final: what is gone now does not come back. */
void vu_queues_relocate(struct vu_conn *conn, bool final);
/* Signals what vu_push() left for the end of the round: nothing more can be done then. */
void vu_queues_tell(struct vu_conn *conn);
/* The deferred call: signals what is due, serves queues that have more than a round may take. */
void vu_queues_work(struct loop_deferred *deferred);

#endif /* VHOST_USER_CONN_H */
