/* SPDX-License-Identifier: MIT */
/*
 * The device's side of a split virtqueue: virtio 1.3, 2.7 "Split Virtqueues".
 *
 * The driver can write to all of it at any time.  So each index, ring entry and
 * descriptor is loaded exactly once, and every decision is made on the loaded copy.
 * Nothing that the driver writes makes these functions do more than one queue's worth
 * of work or touch memory outside of the memory table.
 */
#ifndef VHOST_USER_RING_H
#define VHOST_USER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "wire.h"

#define VU_RING_MAX_SIZE 32768 /* entries: virtio 1.3, 2.7 */

/* A device-writable part of a request. */
struct vu_segment {
	uint64_t addr;
	uint32_t len; /* bytes, not 0 */
};

/* A request that was taken from the available ring. */
struct vu_chain {
	uint32_t max_descriptors;
	uint16_t head;
	uint32_t num_descriptors;
	uint64_t readable, writable; /* bytes in all */
	size_t copied;		     /* of readable: what is in the caller's buffer */
	struct vu_segment *segments; /* owned; the first writable bytes, as many as asked for */
	size_t num_segments; /* room: max_descriptors */
};

struct vu_desc;
struct vu_avail;
struct vu_used;

struct vu_ring {
	uint32_t num; /* entries; 0: not set */
	bool have_addr;
	struct vu_vring_addr addr;
	/* In our mapping of guest memory; NULL when the memory table has no such place. */
	const struct vu_desc *desc;
	const struct vu_avail *avail;
	struct vu_used *used;
	uint16_t last_avail; /* next entry of the available ring to look at */
	uint16_t used_idx;
};

/*
 * Finds the ring's parts in the memory table.  0; -EINVAL: the size or an alignment is
 * not what virtio asks for; -EFAULT: a part is not in the table.  After a failure the
 * ring has no place and the functions below must not be called.
 */
int vu_ring_resolve(struct vu_ring *ring, const struct vu_mem *mem);
void vu_ring_unresolve(struct vu_ring *ring);
static inline bool vu_ring_resolved(const struct vu_ring *ring)
{
	return ring->desc != NULL;
}

/* Continues the used ring where it is.  The ring must be resolved. */
void vu_ring_start(struct vu_ring *ring);

/* 1: a request waits; 0: none does; -EPROTO: as vu_ring_pop(). */
int vu_ring_available(const struct vu_ring *ring, const char **ret_why);

/*
 * Takes the next request.  At most @buf_len of its device-readable bytes are copied to
 * @buf; segments that cover at most @max_writable of its device-writable bytes are kept.
 * A chain of more than chain->max_descriptors breaks the rules, too.
 * 1: taken; 0: there is none; -EPROTO: the driver broke the ring's rules (*@ret_why says
 * how).  It needs no memory: a request that had to wait for some would have no kick left.
 */
int vu_ring_pop(struct vu_ring *ring, struct vu_mem *mem, struct vu_chain *chain, void *buf,
		size_t buf_len, size_t max_writable, const char **ret_why);

/*
 * Writes to the device-writable part of a request; @len is at most the @max_writable that
 * vu_ring_pop() was called with, and at most chain->writable.
 */
bool vu_ring_write(struct vu_mem *mem, const struct vu_chain *chain, const void *data,
		   size_t len);

/* Gives a request back; @written bytes of its device-writable part were filled. */
void vu_ring_push(struct vu_ring *ring, const struct vu_chain *chain, uint32_t written);

/* Whether the driver wants to hear of what was pushed. */
bool vu_ring_wants_call(const struct vu_ring *ring);

/* For chains of at most @max_descriptors, not 0.  0 or -ENOMEM. */
int vu_chain_init(struct vu_chain *chain, uint32_t max_descriptors);
/* One that is all 0 is fine. */
void vu_chain_finish(struct vu_chain *chain);

#endif /* VHOST_USER_RING_H */
