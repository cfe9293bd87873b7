/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The largest fixed response, or that of STREAM_QUERY with every frame in flight. */
#define MAX_RESPONSE \
	(sizeof(struct virtio_bufshare_stream_query_resp) + \
	 VIRTIO_BUFSHARE_MAX_FRAMES * sizeof(__le64))

void device_count_bytes(struct device *device)
{
	uint64_t bytes = vu_bytes_copied(device->conn);

	device->stats->control_bytes += bytes - device->bytes_counted;
	device->bytes_counted = bytes;
}

static void get_config(void *dev, uint8_t *ret_config)
{
	struct device *device = dev;
	const struct core_limits *limits = &device->limits;
	struct virtio_bufshare_config config = {
		.extent_align = htole32(DEVICE_EXTENT_ALIGN),
		.max_request = htole32(DEVICE_MAX_REQUEST),
		.max_buffers = htole32(limits->max_buffers),
		.max_extents = htole32(limits->max_extents),
		.max_bytes = htole64(limits->max_bytes),
		.max_streams = htole32(limits->max_streams),
		.max_frames = htole32(limits->max_frames),
	};

	memcpy(ret_config, &config, sizeof(config));
}

void device_resume(struct device *device)
{
	device->undecided = false;
	peer_set_suspended(device->peer, false);
	events_flush(device);
}

void device_drop(struct device *device)
{
	peer_reset(device->peer);
	events_init(&device->events);
}

static void started(void *dev, uint64_t features, bool maybe_reset)
{
	struct device *device = dev;

	device->running = true;
	device->features = features;
	device->undecided = device->active && maybe_reset;
	if (device->active && !maybe_reset)
		device_resume(device);
}

static void stopped(void *dev)
{
	struct device *device = dev;

	device->running = false;
	peer_set_suspended(device->peer, true);
}

static void reset(void *dev)
{
	struct device *device = dev;

	device->active = false;
	device->undecided = false;
	device_drop(device);
}

static void queue_ready(void *dev, unsigned int queue)
{
	struct device *device = dev;

	if (queue == VIRTIO_BUFSHARE_VQ_EVENT)
		events_flush(device);
}

static void closed(void *dev, int error)
{
	struct device *device = dev;

	device_count_bytes(device);
	device->running = false;
	device->conn = NULL;
	device->ended(device->arg, error);
}

static const struct vu_device_ops ops = {
	.features = UINT64_C(1) << VIRTIO_BUFSHARE_F_STREAM,
	.num_queues = VIRTIO_BUFSHARE_NUM_VQS,
	.config_size = sizeof(struct virtio_bufshare_config),
	.max_request = DEVICE_MAX_REQUEST,
	.max_response = MAX_RESPONSE,
	.get_config = get_config,
	.started = started,
	.stopped = stopped,
	.reset = reset,
	.request = device_request,
	.queue_ready = queue_ready,
	.request_queues = 1U << VIRTIO_BUFSHARE_VQ_CONTROL,
	.closed = closed,
};

int device_create(struct loop *loop, struct core *core, int fd,
		  const struct device_options *options, struct device **ret_device)
{
	struct device *device = calloc(1, sizeof(*device));
	int ret;

	if (!device) {
		close(fd);
		return -ENOMEM;
	}
	device->core = core;
	device->limits = *options->limits;
	device->stats = options->stats;
	device->ended = options->ended;
	device->arg = options->arg;
	events_init(&device->events);
	device->log = options->log;
	ret = peer_create(core, PEER_GUEST, options->label, false, options->limits,
			  &device_peer_ops, device, &device->peer);
	if (ret < 0) {
		close(fd);
		goto err_free;
	}
	/* No driver yet: there is nothing to get. */
	peer_set_suspended(device->peer, true);
	ret = vu_conn_create(loop, fd, options->label, &ops, device, &device->conn);
	if (ret < 0)
		goto err_peer;
	vu_conn_share_log(device->conn, device->log);
	*ret_device = device;
	return 0;

err_peer:
	peer_destroy(device->peer);
err_free:
	free(device);
	return ret;
}

void device_destroy(struct device *device)
{
	if (!device)
		return;
	vu_conn_destroy(device->conn);
	device->conn = NULL;
	device->running = false;
	peer_destroy(device->peer);
	free(device);
}
