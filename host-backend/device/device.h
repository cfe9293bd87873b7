/* SPDX-License-Identifier: MIT */
/*
 * The virtio-bufshare device: include/virtio_bufshare.h on top of the sharing core.
 *
 * One device is one guest on one vhost-user connection.  It turns requests into calls
 * of core/core.h, and what the core tells the guest into events.
 *
 * Theory of operation.  A request is a private copy; its handler checks all of it, and
 * the room for its response, before it changes anything.  A driver begins with START.
 * vhost-user does not tell a pause of the VM from a reset by its driver, so when the
 * queues stop the guest is only suspended: nobody new gets at its buffers.  When they
 * start again at an index other than 0 it is the same driver; otherwise the first
 * request decides: START is a new driver, and all that the old one left is dropped.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "core.h"

struct device;
struct log_peer;
struct loop;

/* Extents are multiples of it: the smallest page of every guest and of udmabuf. */
#define DEVICE_EXTENT_ALIGN 4096
/* 4,094 extents in one BUFFER_ADD_EXTENTS. */
#define DEVICE_MAX_REQUEST 65536
/* Events kept for a guest that posts no buffers; beyond, it gets RESYNC. */
#define DEVICE_BACKLOG 256

/* Counters of all devices of a daemon. */
struct device_stats {
	uint64_t requests;
	uint64_t request_errors; /* of those, the ones with a status other than OK */
	uint64_t events;	 /* written to a guest */
	uint64_t event_overflows;
	uint64_t control_bytes; /* copied out of and into guest memory */
};

struct device_options {
	const char *label;		  /* copied; the host's name for the guest */
	const struct core_limits *limits; /* copied; max_frames at least 1 */
	struct device_stats *stats;	  /* borrowed; added to */
	/*
	 * Borrowed, and the transport logs on its account: where many devices follow each
	 * other for one label, all of them share one rate limit.
	 */
	struct log_peer *log;
	/*
	 * The connection ended by itself (@error: negative errno, 0: in good order).
	 * The device is to be destroyed in here or later, and before that its owner
	 * may do nothing else with it.
	 */
	void (*ended)(void *arg, int error);
	void *arg;
};

/*
 * @fd: a connected AF_UNIX stream socket with a vhost-user front-end; owned by the
 * device from now on, also when this fails.  @loop, @core: borrowed.
 * -EEXIST: another guest of that label is connected; -EINVAL: label or limits; -ENOMEM
 * or an errno of the transport.
 */
int device_create(struct loop *loop, struct core *core, int fd,
		  const struct device_options *options, struct device **ret_device);
/* Ends the connection without calling ended(); takes all that the guest owns. */
void device_destroy(struct device *device);

#endif /* DEVICE_DEVICE_H */
