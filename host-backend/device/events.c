/* SPDX-License-Identifier: MIT */
/*
 * Events to the guest, and the bounded backlog for a guest that posts no buffers.
 *
 * When the backlog is full it is dropped as a whole and RESYNC takes its place: the
 * driver then asks for the state of what it has, which says more than the events did.
 */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/*
 * Buffers too small for an event that are looked at in a row: a whole queue of them, as
 * large as VMMs make it.  A driver that posts more at the same time waits for the next
 * event.
 */
#define MAX_SMALL_BUFFERS 1024

void events_init(struct event_queue *queue)
{
	queue->first = 0;
	queue->count = 0;
	queue->resync = false;
}

static void overflow(struct device *device)
{
	events_init(&device->events);
	device->events.resync = true;
	device->stats->event_overflows++;
}

/*
 * -EAGAIN: no buffer, and queue_ready() follows; -EMSGSIZE: the driver posts nothing
 * but buffers that are too small; -EPROTO: the queue is broken until it is reset.
 */
static int push(struct device *device, const struct virtio_bufshare_event *event)
{
	int ret;

	for (int tries = 0; tries < MAX_SMALL_BUFFERS; tries++) {
		ret = vu_push(device->conn, VIRTIO_BUFSHARE_VQ_EVENT, event, sizeof(*event));
		if (ret != -EMSGSIZE)
			break;
	}
	if (ret == 0)
		device->stats->events++;
	return ret;
}

void events_flush(struct device *device)
{
	struct event_queue *queue = &device->events;
	const struct virtio_bufshare_event resync = {
		.type = htole32(VIRTIO_BUFSHARE_EVENT_RESYNC),
	};
	int ret = 0;

	/* Events are for the driver that sent START, and for no other. */
	if (!device->running || !device->active || device->undecided)
		return;
	if (queue->resync) {
		ret = push(device, &resync);
		if (ret == 0)
			queue->resync = false;
	}
	while (ret == 0 && queue->count) {
		ret = push(device, &queue->ring[queue->first]);
		if (ret < 0)
			break;
		queue->first = (queue->first + 1) % DEVICE_BACKLOG;
		queue->count--;
	}
	device_count_bytes(device);
}

void events_add(struct device *device, const struct virtio_bufshare_event *event)
{
	struct event_queue *queue = &device->events;

	/* What the driver asks for after RESYNC covers this one. */
	if (!queue->resync) {
		if (queue->count == DEVICE_BACKLOG) {
			overflow(device);
		} else {
			queue->ring[(queue->first + queue->count) % DEVICE_BACKLOG] = *event;
			queue->count++;
		}
	}
	events_flush(device);
}

void events_forget_stream(struct device *device, uint32_t id)
{
	struct event_queue *queue = &device->events;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < queue->count; i++) {
		struct virtio_bufshare_event *event =
			&queue->ring[(queue->first + i) % DEVICE_BACKLOG];

		if (le32toh(event->stream_id) != id)
			queue->ring[(queue->first + kept++) % DEVICE_BACKLOG] = *event;
	}
	queue->count = kept;
}

static void buffer_idle(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	struct virtio_bufshare_event event = {
		.type = htole32(VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE),
	};

	memcpy(event.uuid, uuid, UUID_SIZE);
	events_add(peer_priv(peer), &event);
}

static void frame_released(struct peer *peer, const struct stream *stream,
			   const uint8_t uuid[UUID_SIZE], uint64_t sequence)
{
	struct virtio_bufshare_event event = {
		.type = htole32(VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED),
		.stream_id = htole32(stream_id(stream)),
		.sequence = htole64(sequence),
	};

	memcpy(event.uuid, uuid, UUID_SIZE);
	events_add(peer_priv(peer), &event);
}

static void listeners_changed(struct peer *peer, const struct stream *stream, uint32_t listeners)
{
	struct virtio_bufshare_event event = {
		.type = htole32(VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS),
		.stream_id = htole32(stream_id(stream)),
		.listeners = htole32(listeners),
	};

	events_add(peer_priv(peer), &event);
}

const struct peer_ops device_peer_ops = {
	.buffer_idle = buffer_idle,
	.frame_released = frame_released,
	.listeners_changed = listeners_changed,
};
