/* SPDX-License-Identifier: MIT */
#include "ring.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "checked.h"

/* virtio 1.3, 2.7.5 "The Virtqueue Descriptor Table" */
struct vu_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

#define VU_DESC_F_NEXT	   1
#define VU_DESC_F_WRITE	   2
#define VU_DESC_F_INDIRECT 4

/* 2.7.6 "The Virtqueue Available Ring" */
struct vu_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

#define VU_AVAIL_F_NO_INTERRUPT 1

struct vu_used_elem {
	uint32_t id;
	uint32_t len;
};

/* 2.7.8 "The Virtqueue Used Ring" */
struct vu_used {
	uint16_t flags;
	uint16_t idx;
	struct vu_used_elem ring[];
};

/* The alignments of 2.7 "Split Virtqueues". */
#define DESC_ALIGN  16
#define AVAIL_ALIGN 2
#define USED_ALIGN  4

static uint16_t load16(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

int vu_ring_resolve(struct vu_ring *ring, const struct vu_mem *mem)
{
	const struct vu_vring_addr *a = &ring->addr;
	uint64_t num = ring->num;

	vu_ring_unresolve(ring);
	if (!is_power_of_two(num) || num > VU_RING_MAX_SIZE ||
	    !is_aligned(a->descriptor, DESC_ALIGN) || !is_aligned(a->available, AVAIL_ALIGN) ||
	    !is_aligned(a->used, USED_ALIGN))
		return -EINVAL;
	ring->desc = vu_mem_from_user(mem, a->descriptor, num * sizeof(struct vu_desc));
	ring->avail = vu_mem_from_user(mem, a->available,
				       sizeof(struct vu_avail) + num * sizeof(uint16_t));
	ring->used = vu_mem_from_user(mem, a->used,
				      sizeof(struct vu_used) + num * sizeof(struct vu_used_elem));
	if (!ring->desc || !ring->avail || !ring->used) {
		vu_ring_unresolve(ring);
		return -EFAULT;
	}
	/* A region whose user address is not page-aligned would make our pointers odd. */
	if (!is_aligned((uintptr_t)ring->desc, DESC_ALIGN) ||
	    !is_aligned((uintptr_t)ring->avail, AVAIL_ALIGN) ||
	    !is_aligned((uintptr_t)ring->used, USED_ALIGN)) {
		vu_ring_unresolve(ring);
		return -EINVAL;
	}
	return 0;
}

void vu_ring_unresolve(struct vu_ring *ring)
{
	ring->desc = NULL;
	ring->avail = NULL;
	ring->used = NULL;
}

void vu_ring_start(struct vu_ring *ring)
{
	/* vhost-user tells only the available index: the used one is where we left it. */
	ring->used_idx = load16(&ring->used->idx);
}

int vu_ring_available(const struct vu_ring *ring, const char **ret_why)
{
	/*
	 * Acquire: the ring entries and descriptors that the driver wrote before it moved the
	 * index (2.7.13.3, a write barrier on its side) must not be loaded before it.
	 */
	uint16_t idx = le16toh(__atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE));
	uint16_t waiting = (uint16_t)(idx - ring->last_avail);

	if (waiting > ring->num) {
		*ret_why = "the available index jumped by more than the queue's size";
		return -EPROTO;
	}
	return waiting > 0;
}

static void load_desc(const struct vu_ring *ring, uint16_t index, struct vu_desc *ret_desc)
{
	const struct vu_desc *d = &ring->desc[index];

	ret_desc->addr = le64toh(__atomic_load_n(&d->addr, __ATOMIC_RELAXED));
	ret_desc->len = le32toh(__atomic_load_n(&d->len, __ATOMIC_RELAXED));
	ret_desc->flags = load16(&d->flags);
	ret_desc->next = load16(&d->next);
}

/* What is being done with one chain. */
struct walk {
	struct vu_mem *mem;
	struct vu_chain *chain;
	uint8_t *buf;
	size_t buf_len;
	size_t max_writable;
};

static int add_readable(struct walk *w, const struct vu_desc *desc)
{
	struct vu_chain *chain = w->chain;
	size_t room = w->buf_len - chain->copied;
	size_t n = desc->len < room ? desc->len : room;

	if (n > 0 && !vu_mem_read(w->mem, desc->addr, w->buf + chain->copied, n))
		return -EFAULT;
	chain->copied += n;
	chain->readable += desc->len;
	return 0;
}

static void add_writable(struct walk *w, const struct vu_desc *desc)
{
	struct vu_chain *chain = w->chain;
	uint64_t room = w->max_writable > chain->writable ? w->max_writable - chain->writable : 0;
	uint32_t n = desc->len < room ? desc->len : (uint32_t)room;

	chain->writable += desc->len;
	/* There is room: a descriptor has one segment at most. */
	if (n > 0)
		chain->segments[chain->num_segments++] =
			(struct vu_segment){ .addr = desc->addr, .len = n };
}

static int add_descriptor(struct walk *w, const struct vu_desc *desc, const char **ret_why)
{
	bool write = desc->flags & VU_DESC_F_WRITE;

	if (desc->flags & VU_DESC_F_INDIRECT) {
		*ret_why = "an indirect descriptor, which was not negotiated";
		return -EPROTO;
	}
	if (desc->len == 0) {
		*ret_why = "a descriptor of length 0";
		return -EPROTO;
	}
	if (!write && w->chain->writable > 0) {
		*ret_why = "a device-readable descriptor after a device-writable one";
		return -EPROTO;
	}
	/* All of it, also what is not going to be touched: the error must not depend on that. */
	if (!vu_mem_contains(w->mem, desc->addr, desc->len)) {
		*ret_why = "a descriptor outside of guest memory";
		return -EPROTO;
	}
	if (!write)
		return add_readable(w, desc);
	add_writable(w, desc);
	return 0;
}

int vu_ring_pop(struct vu_ring *ring, struct vu_mem *mem, struct vu_chain *chain, void *buf,
		size_t buf_len, size_t max_writable, const char **ret_why)
{
	struct walk w = {
		.mem = mem,
		.chain = chain,
		.buf = buf,
		.buf_len = buf_len,
		.max_writable = max_writable,
	};
	struct vu_desc desc;
	uint16_t index;
	int r = vu_ring_available(ring, ret_why);

	if (r <= 0)
		return r;
	index = load16(&ring->avail->ring[ring->last_avail & (ring->num - 1)]);
	chain->head = index;
	chain->num_descriptors = 0;
	chain->readable = 0;
	chain->writable = 0;
	chain->copied = 0;
	chain->num_segments = 0;
	do {
		if (index >= ring->num) {
			*ret_why = "a descriptor index beyond the queue's size";
			return -EPROTO;
		}
		/* 2.7.5: a chain has no loop, so it is never longer than the table. */
		if (chain->num_descriptors == ring->num) {
			*ret_why = "a descriptor chain that loops";
			return -EPROTO;
		}
		if (chain->num_descriptors == chain->max_descriptors) {
			*ret_why = "a chain of more descriptors than the device takes";
			return -EPROTO;
		}
		load_desc(ring, index, &desc);
		chain->num_descriptors++;
		r = add_descriptor(&w, &desc, ret_why);
		if (r < 0)
			return r;
		index = desc.next;
	} while (desc.flags & VU_DESC_F_NEXT);
	ring->last_avail++;
	return 1;
}

bool vu_ring_write(struct vu_mem *mem, const struct vu_chain *chain, const void *data,
		   size_t len)
{
	const uint8_t *from = data;

	for (size_t i = 0; i < chain->num_segments && len > 0; i++) {
		const struct vu_segment *s = &chain->segments[i];
		size_t n = s->len < len ? s->len : len;

		if (!vu_mem_write(mem, s->addr, from, n))
			return false;
		from += n;
		len -= n;
	}
	return len == 0;
}

void vu_ring_push(struct vu_ring *ring, const struct vu_chain *chain, uint32_t written)
{
	struct vu_used_elem *elem = &ring->used->ring[ring->used_idx & (ring->num - 1)];

	__atomic_store_n(&elem->id, htole32(chain->head), __ATOMIC_RELAXED);
	__atomic_store_n(&elem->len, htole32(written), __ATOMIC_RELAXED);
	ring->used_idx++;
	/*
	 * Release: the driver reads the entry and the response after it saw the index
	 * (2.7.14), so both must be visible before it.
	 */
	__atomic_store_n(&ring->used->idx, htole16(ring->used_idx), __ATOMIC_RELEASE);
}

bool vu_ring_wants_call(const struct vu_ring *ring)
{
	/*
	 * A full barrier between the store of the used index and this load: the driver does the
	 * reverse (clears the flag, then looks at the index once more), and without the barrier
	 * both could miss each other (2.7.7).
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(load16(&ring->avail->flags) & VU_AVAIL_F_NO_INTERRUPT);
}

int vu_chain_init(struct vu_chain *chain, uint32_t max_descriptors)
{
	*chain = (struct vu_chain){ .max_descriptors = max_descriptors };
	chain->segments = calloc(max_descriptors, sizeof(struct vu_segment));
	return chain->segments ? 0 : -ENOMEM;
}

void vu_chain_finish(struct vu_chain *chain)
{
	free(chain->segments);
	*chain = (struct vu_chain){ 0 };
}
