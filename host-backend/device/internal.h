/* SPDX-License-Identifier: MIT */
/* The device's own structures: for the files of this folder only. */
#ifndef DEVICE_INTERNAL_H
#define DEVICE_INTERNAL_H

#include "device.h"

#include "log.h"
#include "vhost_user.h"

struct event_queue {
	struct virtio_bufshare_event ring[DEVICE_BACKLOG];
	uint32_t first, count;
	bool resync; /* events were dropped: RESYNC is the next one, the ring is empty */
};

struct device {
	struct vu_conn *conn; /* owned; NULL after it ended */
	struct core *core;    /* borrowed */
	struct peer *peer;    /* owned */
	struct core_limits limits;
	struct device_stats *stats; /* borrowed */
	uint64_t bytes_counted;	    /* of vu_bytes_copied(), in stats */
	void (*ended)(void *arg, int error);
	void *arg;
	struct log_peer *log; /* borrowed */

	uint64_t features;
	bool running;	/* the queues do */
	bool active;	/* a driver has sent START */
	bool undecided; /* running, but whether it is that driver its first request tells */
	struct event_queue events;
};

/* The driver that sent START runs on. */
void device_resume(struct device *device);
/* Drops all that a driver left. */
void device_drop(struct device *device);
/* Adds what was copied since to the daemon's counter. */
void device_count_bytes(struct device *device);

/* ---- events.c ---- */

void events_init(struct event_queue *queue);
/* Queues @event, or RESYNC in its place, and sends what can be sent. */
void events_add(struct device *device, const struct virtio_bufshare_event *event);
/* Sends until the driver has no buffers left. */
void events_flush(struct device *device);
/* Of a stream that was destroyed nothing is reported.  @id: not 0. */
void events_forget_stream(struct device *device, uint32_t id);
extern const struct peer_ops device_peer_ops;

/* ---- extents.c ---- */

/* Memory of the guest as the core names it.  Each extent has a reference on its arena. */
struct extent_list {
	struct extent *extents;
	uint32_t num;
};

/* Sums up @count extents of the wire.  -EBADMSG: one is not aligned or empty, or a wrap. */
int extents_check(const struct virtio_bufshare_extent *extents, uint32_t count, uint64_t *ret_len);
/*
 * Translates @count extents that extents_check() found good.  Its work grows with their sum,
 * which buffer_may_add() has to have accepted.  -EFAULT: a part is not guest RAM; -EDQUOT:
 * they fall into too many pieces; -ENOMEM or an errno of arena_get().  On success
 * extent_list_finish() is due.
 */
int extent_list_init(struct extent_list *list, struct device *device,
		     const struct virtio_bufshare_extent *extents, uint32_t count);
void extent_list_finish(struct extent_list *list);

/* ---- requests ---- */

/* One request and its response. */
struct exchange {
	const void *req; /* of a length that the table in dispatch.c takes */
	size_t req_len;
	void *resp;	 /* room for what the table names, all 0 */
	size_t resp_cap; /* bytes of room there are in fact */
	size_t resp_len; /* as the table names it; a handler may change it, up to resp_cap */
};

/* Returns 0 or a negative errno; status_of() in dispatch.c says what the driver gets. */
typedef int request_fn(struct device *device, struct exchange *x);

request_fn request_start;
request_fn request_buffer_create;
request_fn request_buffer_add_extents;
request_fn request_buffer_destroy;
request_fn request_buffer_query;
request_fn request_stream_create;
request_fn request_stream_destroy;
request_fn request_stream_publish;
request_fn request_stream_query;

/* The request operation of struct vu_device_ops. */
size_t device_request(void *dev, unsigned int queue, const void *req, size_t req_len, void *resp,
		      size_t resp_cap);

#endif /* DEVICE_INTERNAL_H */
