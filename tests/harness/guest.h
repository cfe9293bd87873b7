/* SPDX-License-Identifier: MIT */
/*
 * Plays a guest's driver: real split virtqueues in the VMM's memory, well-formed chains
 * by guest_submit(), any other kind by guest_set_desc() and guest_publish().
 *
 * Rings and buffers are laid out from GUEST_BASE upwards in the first region.
 */
#ifndef HARNESS_GUEST_H
#define HARNESS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm.h"

#define GUEST_BASE 0x10000 /* bytes into the first region */

#define GUEST_DESC_NEXT	    1
#define GUEST_DESC_WRITE    2
#define GUEST_DESC_INDIRECT 4

struct guest_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* Part of a chain. */
struct guest_part {
	uint64_t addr;
	uint32_t len;
};

struct guest_queue {
	struct guest *guest;
	uint32_t index;
	uint16_t size;
	uint64_t desc_addr, avail_addr, used_addr; /* guest addresses */
	struct guest_desc *desc;
	uint16_t *avail; /* flags, idx, ring[] */
	uint16_t *used;	 /* flags, idx, then {u32 id, u32 len}[] */
	uint16_t avail_idx, used_seen;
	uint16_t *free; /* stack of free descriptors */
	uint16_t num_free;
	int kick_fd, call_fd; /* owned */
};

struct guest {
	struct vmm *vmm; /* borrowed */
	struct guest_queue queues[VMM_MAX_QUEUES];
	uint32_t num_queues;
	uint64_t next; /* of the allocator: a guest address */
	uint64_t end;
	uint64_t scratch; /* of guest_request() */
	uint32_t scratch_size;
};

/* Lays out empty rings of @queue_size entries. */
int guest_create(struct guest **ret_guest, struct vmm *vmm, uint32_t num_queues,
		 uint16_t queue_size);
/* NULL is fine; @vmm stays. */
void guest_destroy(struct guest *guest);

/* A guest address; 0: no room.  Never freed. */
uint64_t guest_alloc(struct guest *guest, uint64_t size, uint64_t align);
void *guest_ptr(struct guest *guest, uint64_t addr, uint64_t len);

/*
 * What QEMU does when the driver sets DRIVER_OK or the VM goes on: SET_VRING_NUM, BASE,
 * ADDR, KICK, CALL, and ENABLE where protocol features were negotiated.
 */
int guest_start(struct guest *guest);
/* ENABLE 0 and GET_VRING_BASE: a pause, or the first half of a reset. */
int guest_stop(struct guest *guest);
/* Empties the rings as a new driver finds them; between guest_stop() and guest_start(). */
void guest_reset(struct guest *guest);
/* The messages of guest_start() for one queue, without ENABLE. */
int guest_setup_queue(struct guest_queue *queue);

/*
 * Makes a chain available: first @num_out device-readable parts, then @num_in
 * device-writable ones.  Returns its head or -ENOSPC.
 */
int guest_submit(struct guest_queue *queue, const struct guest_part *parts, size_t num_out,
		 size_t num_in);
void guest_kick(struct guest_queue *queue);
/*
 * The next used chain: waits on the call eventfd, frees the chain's descriptors.
 * -ETIMEDOUT: none came.
 */
int guest_wait(struct guest_queue *queue, uint16_t *ret_head, uint32_t *ret_len);
/* Like guest_wait(), but does not wait: -EAGAIN. */
int guest_poll(struct guest_queue *queue, uint16_t *ret_head, uint32_t *ret_len);

/*
 * A whole request: copies @req into guest memory, submits, kicks, waits, copies the
 * response out.  @resp_cap 0: a chain without a device-writable part.
 */
int guest_request(struct guest_queue *queue, const void *req, uint32_t req_len, void *resp,
		  uint32_t resp_cap, uint32_t *ret_len);

/* For chains that no driver would make. */
void guest_set_desc(struct guest_queue *queue, uint16_t index, uint64_t addr, uint32_t len,
		    uint16_t flags, uint16_t next);
void guest_publish(struct guest_queue *queue, uint16_t head);
void guest_set_avail_idx(struct guest_queue *queue, uint16_t idx);
void guest_suppress_calls(struct guest_queue *queue, bool suppress);

#endif /* HARNESS_GUEST_H */
