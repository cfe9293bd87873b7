/* SPDX-License-Identifier: MIT */
/*
 * Plays a VMM towards a vhost-user back-end: a real socket, a real sealed memfd, the
 * messages of QEMU 11.1 or of an older front-end, and any wrong ones that a test makes.
 *
 * Nothing here waits longer than VMM_TIMEOUT_MS: a back-end that does not answer makes
 * a call return -ETIMEDOUT.  The back-end must run elsewhere (a process or a thread).
 * Functions return 0 or a negative errno unless they say otherwise.
 */
#ifndef HARNESS_VMM_H
#define HARNESS_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h" /* host-backend/vhost-user: the messages' bytes */

#define VMM_TIMEOUT_MS	5000
#define VMM_MAX_REGIONS 160
#define VMM_MAX_QUEUES	8

struct vmm_region {
	uint64_t guest_addr;
	uint64_t size;	    /* bytes */
	uint64_t user_addr; /* 0: chosen by vmm_create() */
	uint64_t offset;    /* in the memfd; with user_addr 0: chosen by vmm_create() */
	int fd;		    /* 0: the VMM's own memfd; else borrowed until vmm_destroy() */
};

struct vmm_options {
	const struct vmm_region *regions; /* NULL: 16 MiB at guest address 0 */
	size_t num_regions;
	/* Without any: an old front-end, whose rings start enabled. */
	bool no_protocol_features;
	/* Of those offered; 0: all.  QEMU 10 without memory slots: clear bit 15. */
	uint64_t protocol_mask;
	uint64_t features; /* the driver's, of those offered; 0: all */
	bool no_memory;	   /* as QEMU with share=off: sends no memory table */
};

struct vmm {
	int sock;  /* owned */
	int memfd; /* owned; sealed as QEMU seals it */
	struct vmm_options options;
	struct vmm_region regions[VMM_MAX_REGIONS];
	uint8_t *maps[VMM_MAX_REGIONS]; /* of each region; NULL: one with its own fd */
	size_t num_regions;
	uint64_t features, protocol_features; /* acknowledged, after vmm_handshake() */
};

/* @fd: the connected socket, owned from now on.  @options: NULL: the defaults. */
int vmm_create(struct vmm **ret_vmm, int fd, const struct vmm_options *options);
int vmm_create_path(struct vmm **ret_vmm, const char *path, const struct vmm_options *options);
/* Closes the socket, as a VMM that ends.  NULL is fine. */
void vmm_destroy(struct vmm *vmm);

/* Features, protocol features, number of queues and of memory slots, SET_OWNER. */
int vmm_handshake(struct vmm *vmm);
/* SET_MEM_TABLE, or ADD_MEM_REG for each region when memory slots were agreed on. */
int vmm_send_memory(struct vmm *vmm);

/*
 * One message.  @flags: VU_NEED_REPLY or 0; the version is added.  @fds: borrowed.
 */
int vmm_send(struct vmm *vmm, uint32_t request, uint32_t flags, const void *payload, size_t size,
	     const int *fds, size_t num_fds);
/* Bytes as they are, with or without descriptors. */
int vmm_send_raw(struct vmm *vmm, const void *data, size_t size, const int *fds, size_t num_fds);
/* A reply to @request; returns the payload's size.  -EPROTO: it is another one or too long. */
int vmm_receive(struct vmm *vmm, uint32_t request, void *payload, size_t capacity);
/* Sends without payload and receives a u64. */
int vmm_get_u64(struct vmm *vmm, uint32_t request, uint64_t *ret_value);
/*
 * Sends and has it acknowledged: 0, a positive number (what the back-end answered: refused),
 * or a negative errno.  Without REPLY_ACK: GET_FEATURES tells that the connection lives.
 */
int vmm_ack(struct vmm *vmm, uint32_t request, const void *payload, size_t size, const int *fds,
	    size_t num_fds);
int vmm_ack_u64(struct vmm *vmm, uint32_t request, uint64_t value);
int vmm_ack_state(struct vmm *vmm, uint32_t request, uint32_t index, uint32_t num);
/* SET_VRING_KICK, _CALL, _ERR; @fd -1: none. */
int vmm_ack_vring_fd(struct vmm *vmm, uint32_t request, uint64_t value, int fd);
int vmm_get_vring_base(struct vmm *vmm, uint32_t index, uint16_t *ret_base);

/* 0: the back-end closed the connection; -ETIMEDOUT: it did not; -EPROTO: it sent something. */
int vmm_wait_closed(struct vmm *vmm);
/* Whether the back-end still answers. */
bool vmm_alive(struct vmm *vmm);

/* Our mapping of guest memory; NULL: not within one region that has one. */
void *vmm_ptr(const struct vmm *vmm, uint64_t guest_addr, uint64_t len);
/* The user address of a guest address; 0: there is none. */
uint64_t vmm_user_addr(const struct vmm *vmm, uint64_t guest_addr);
/* The region's offset in the memfd plus the address's in the region. */
uint64_t vmm_file_offset(const struct vmm *vmm, uint64_t guest_addr);

/* A memfd of @size bytes with @seals (fcntl(2)); the caller owns it.  @huge: of huge pages. */
int vmm_memfd(uint64_t size, int seals, bool huge);

#endif /* HARNESS_VMM_H */
