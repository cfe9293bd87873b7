/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fd.h"

#define SCRATCH_SIZE 0x40000

/* Positions in the 16-bit words of both rings. */
#define RING_FLAGS 0
#define RING_IDX   1
#define RING_FIRST 2

static int queue_create(struct guest_queue *q, struct guest *guest, uint32_t index, uint16_t size)
{
	q->guest = guest;
	q->index = index;
	q->size = size;
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->free = calloc(size, sizeof(uint16_t));
	q->desc_addr = guest_alloc(guest, (uint64_t)size * sizeof(struct guest_desc), 16);
	q->avail_addr = guest_alloc(guest, 6 + (uint64_t)size * 2, 2);
	q->used_addr = guest_alloc(guest, 6 + (uint64_t)size * 8, 4);
	if (q->kick_fd < 0 || q->call_fd < 0 || !q->free || !q->desc_addr || !q->avail_addr ||
	    !q->used_addr)
		return -ENOMEM;
	q->desc = guest_ptr(guest, q->desc_addr, (uint64_t)size * sizeof(struct guest_desc));
	q->avail = guest_ptr(guest, q->avail_addr, 6 + (uint64_t)size * 2);
	q->used = guest_ptr(guest, q->used_addr, 6 + (uint64_t)size * 8);
	return 0;
}

int guest_create(struct guest **ret_guest, struct vmm *vmm, uint32_t num_queues,
		 uint16_t queue_size)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	int r = 0;

	if (!guest)
		return -ENOMEM;
	guest->vmm = vmm;
	guest->next = vmm->regions[0].guest_addr + GUEST_BASE;
	guest->end = vmm->regions[0].guest_addr + vmm->regions[0].size;
	for (uint32_t i = 0; i < VMM_MAX_QUEUES; i++) {
		guest->queues[i].kick_fd = -1;
		guest->queues[i].call_fd = -1;
	}
	for (uint32_t i = 0; i < num_queues && i < VMM_MAX_QUEUES && r == 0; i++) {
		r = queue_create(&guest->queues[i], guest, i, queue_size);
		guest->num_queues++;
	}
	guest->scratch_size = SCRATCH_SIZE;
	guest->scratch = guest_alloc(guest, SCRATCH_SIZE, 4096);
	if (r == 0 && !guest->scratch)
		r = -ENOMEM;
	if (r < 0) {
		guest_destroy(guest);
		return r;
	}
	guest_reset(guest);
	*ret_guest = guest;
	return 0;
}

void guest_destroy(struct guest *guest)
{
	if (!guest)
		return;
	for (uint32_t i = 0; i < guest->num_queues; i++) {
		fd_close(&guest->queues[i].kick_fd);
		fd_close(&guest->queues[i].call_fd);
		free(guest->queues[i].free);
	}
	free(guest);
}

uint64_t guest_alloc(struct guest *guest, uint64_t size, uint64_t align)
{
	uint64_t addr = (guest->next + align - 1) & ~(align - 1);

	if (addr > guest->end || size > guest->end - addr)
		return 0;
	guest->next = addr + size;
	return addr;
}

void *guest_ptr(struct guest *guest, uint64_t addr, uint64_t len)
{
	return vmm_ptr(guest->vmm, addr, len);
}

void guest_reset(struct guest *guest)
{
	for (uint32_t i = 0; i < guest->num_queues; i++) {
		struct guest_queue *q = &guest->queues[i];
		uint64_t drained;
		ssize_t n = read(q->call_fd, &drained, sizeof(drained));

		(void)n;
		memset(q->desc, 0, q->size * sizeof(struct guest_desc));
		memset(q->avail, 0, 6 + (size_t)q->size * 2);
		memset(q->used, 0, 6 + (size_t)q->size * 8);
		q->avail_idx = 0;
		q->used_seen = 0;
		q->num_free = 0;
		/* A stack: descriptor 0 is taken first. */
		for (uint16_t d = q->size; d-- > 0;)
			q->free[q->num_free++] = d;
	}
}

int guest_setup_queue(struct guest_queue *q)
{
	struct vmm *vmm = q->guest->vmm;
	struct vu_vring_addr addr = {
		.index = q->index,
		.descriptor = vmm_user_addr(vmm, q->desc_addr),
		.used = vmm_user_addr(vmm, q->used_addr),
		.available = vmm_user_addr(vmm, q->avail_addr),
	};
	int r = vmm_ack_state(vmm, VU_SET_VRING_NUM, q->index, q->size);

	/* All requests that were made were given back: the base is what the driver used. */
	if (r == 0)
		r = vmm_ack_state(vmm, VU_SET_VRING_BASE, q->index, q->used[RING_IDX]);
	if (r == 0)
		r = vmm_ack(vmm, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	if (r == 0)
		r = vmm_ack_vring_fd(vmm, VU_SET_VRING_KICK, q->index, q->kick_fd);
	if (r == 0)
		r = vmm_ack_vring_fd(vmm, VU_SET_VRING_CALL, q->index, q->call_fd);
	return r;
}

static bool has_enable(const struct guest *guest)
{
	return guest->vmm->features & (UINT64_C(1) << VU_F_PROTOCOL_FEATURES);
}

int guest_start(struct guest *guest)
{
	int r = 0;

	for (uint32_t i = 0; i < guest->num_queues && r == 0; i++)
		r = guest_setup_queue(&guest->queues[i]);
	for (uint32_t i = 0; i < guest->num_queues && r == 0 && has_enable(guest); i++)
		r = vmm_ack_state(guest->vmm, VU_SET_VRING_ENABLE, i, 1);
	return r;
}

int guest_stop(struct guest *guest)
{
	uint16_t base;
	int r = 0;

	for (uint32_t i = 0; i < guest->num_queues && r == 0 && has_enable(guest); i++)
		r = vmm_ack_state(guest->vmm, VU_SET_VRING_ENABLE, i, 0);
	for (uint32_t i = 0; i < guest->num_queues && r == 0; i++)
		r = vmm_get_vring_base(guest->vmm, i, &base);
	return r;
}

void guest_set_desc(struct guest_queue *q, uint16_t index, uint64_t addr, uint32_t len,
		    uint16_t flags, uint16_t next)
{
	q->desc[index] = (struct guest_desc){
		.addr = addr,
		.len = len,
		.flags = flags,
		.next = next,
	};
}

void guest_set_avail_idx(struct guest_queue *q, uint16_t idx)
{
	q->avail_idx = idx;
	/* Release: descriptors and ring entries before the index. */
	__atomic_store_n(&q->avail[RING_IDX], idx, __ATOMIC_RELEASE);
}

void guest_publish(struct guest_queue *q, uint16_t head)
{
	q->avail[RING_FIRST + q->avail_idx % q->size] = head;
	guest_set_avail_idx(q, (uint16_t)(q->avail_idx + 1));
}

void guest_suppress_calls(struct guest_queue *q, bool suppress)
{
	__atomic_store_n(&q->avail[RING_FLAGS], suppress ? 1 : 0, __ATOMIC_SEQ_CST);
}

int guest_submit(struct guest_queue *q, const struct guest_part *parts, size_t num_out,
		 size_t num_in)
{
	size_t n = num_out + num_in;
	uint16_t head;

	if (n == 0 || n > q->num_free)
		return -ENOSPC;
	head = q->free[q->num_free - 1];
	for (size_t i = 0; i < n; i++) {
		uint16_t index = q->free[--q->num_free];
		bool last = i + 1 == n;
		uint16_t flags = (uint16_t)((last ? 0 : GUEST_DESC_NEXT) |
					    (i < num_out ? 0 : GUEST_DESC_WRITE));

		guest_set_desc(q, index, parts[i].addr, parts[i].len, flags,
			       last ? 0 : q->free[q->num_free - 1]);
	}
	guest_publish(q, head);
	return head;
}

void guest_kick(struct guest_queue *q)
{
	const uint64_t one = 1;
	ssize_t n = write(q->kick_fd, &one, sizeof(one));

	(void)n;
}

static void free_chain(struct guest_queue *q, uint16_t head)
{
	uint16_t chain[32768];
	uint16_t n = 0;

	/* Back in reverse, so that the same chain is made of the same descriptors again. */
	for (uint16_t index = head; n < q->size; index = q->desc[index].next) {
		chain[n++] = index;
		if (!(q->desc[index].flags & GUEST_DESC_NEXT))
			break;
	}
	while (n > 0 && q->num_free < q->size)
		q->free[q->num_free++] = chain[--n];
}

int guest_poll(struct guest_queue *q, uint16_t *ret_head, uint32_t *ret_len)
{
	uint16_t idx = __atomic_load_n(&q->used[RING_IDX], __ATOMIC_ACQUIRE);
	uint32_t elem[2];

	if (idx == q->used_seen)
		return -EAGAIN;
	memcpy(elem, &q->used[RING_FIRST + 4 * (q->used_seen % q->size)], sizeof(elem));
	q->used_seen++;
	if (elem[0] >= q->size)
		return -EPROTO;
	free_chain(q, (uint16_t)elem[0]);
	*ret_head = (uint16_t)elem[0];
	*ret_len = elem[1];
	return 0;
}

int guest_wait(struct guest_queue *q, uint16_t *ret_head, uint32_t *ret_len)
{
	for (;;) {
		struct pollfd p = { .fd = q->call_fd, .events = POLLIN };
		uint64_t count;
		ssize_t n;
		int r = guest_poll(q, ret_head, ret_len);

		if (r != -EAGAIN)
			return r;
		r = poll(&p, 1, VMM_TIMEOUT_MS);
		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
		n = read(q->call_fd, &count, sizeof(count));
		(void)n;
	}
}

int guest_request(struct guest_queue *q, const void *req, uint32_t req_len, void *resp,
		  uint32_t resp_cap, uint32_t *ret_len)
{
	struct guest *guest = q->guest;
	struct guest_part parts[2] = { { .addr = guest->scratch, .len = req_len } };
	uint16_t done;
	uint32_t len;
	int head, r;

	if ((uint64_t)req_len + resp_cap > guest->scratch_size)
		return -EMSGSIZE;
	if (req_len > 0)
		memcpy(guest_ptr(guest, guest->scratch, req_len), req, req_len);
	parts[req_len > 0 ? 1 : 0].addr = guest->scratch + req_len;
	if (req_len == 0)
		parts[0].len = resp_cap;
	else
		parts[1].len = resp_cap;
	head = guest_submit(q, parts, req_len > 0, resp_cap > 0);
	if (head < 0)
		return head;
	guest_kick(q);
	r = guest_wait(q, &done, &len);
	if (r < 0)
		return r;
	if (done != head || len > resp_cap)
		return -EPROTO;
	if (len > 0)
		memcpy(resp, guest_ptr(guest, guest->scratch + req_len, len), len);
	*ret_len = len;
	return 0;
}
