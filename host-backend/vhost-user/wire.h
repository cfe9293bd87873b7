/* SPDX-License-Identifier: MIT */
/*
 * The bytes of vhost-user, after QEMU's docs/interop/vhost-user.rst: "Header",
 * "Payload", "Front-end message types", "Protocol features".  All numbers are in the
 * machine's own byte order.
 */
#ifndef VHOST_USER_WIRE_H
#define VHOST_USER_WIRE_H

#include <stdint.h>

/* "Front-end message types": the ones that this back-end serves. */
enum vu_message {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_GET_CONFIG = 24,
	VU_SET_CONFIG = 25,
	VU_RESET_DEVICE = 34,
	VU_GET_MAX_MEM_SLOTS = 36,
	VU_ADD_MEM_REG = 37,
	VU_REM_MEM_REG = 38,
	VU_NUM_MESSAGES = VU_REM_MEM_REG + 1,
};

/* "Header": flags. */
#define VU_VERSION	1u
#define VU_VERSION_MASK 3u
#define VU_REPLY	(1u << 2)
#define VU_NEED_REPLY	(1u << 3)

/* Bits of GET_FEATURES. */
#define VU_F_PROTOCOL_FEATURES 30 /* vhost-user.rst, "Communication" */
#define VU_VIRTIO_F_VERSION_1  32 /* virtio 1.3, 6 Reserved Feature Bits */

/* "Protocol features". */
#define VU_PROTOCOL_F_MQ		  0
#define VU_PROTOCOL_F_REPLY_ACK		  3
#define VU_PROTOCOL_F_CONFIG		  9
#define VU_PROTOCOL_F_RESET_DEVICE	  13
#define VU_PROTOCOL_F_STATUS		  16
#define VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15

#define VU_MAX_FDS     8   /* of one message: "Memory regions description" */
#define VU_MAX_REGIONS 8   /* of one SET_MEM_TABLE: the same */
#define VU_MAX_CONFIG  256 /* bytes; QEMU's VHOST_USER_MAX_CONFIG_SIZE */

struct vu_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload, bytes */
};

/* "A vring state description" */
struct vu_vring_state {
	uint32_t index;
	uint32_t num;
};

/* "A vring address description"; the ring addresses are user addresses. */
struct vu_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t descriptor;
	uint64_t used;
	uint64_t available;
	uint64_t log;
};

#define VU_VRING_F_LOG (1u << 0)

/* SET_VRING_KICK, _CALL, _ERR: u64 */
#define VU_VRING_FD_INDEX_MASK 0xffu
#define VU_VRING_FD_NONE       (1u << 8)

struct vu_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

/* "Memory regions description" */
struct vu_mem_table_msg {
	uint32_t num_regions;
	uint32_t padding;
	struct vu_mem_region regions[VU_MAX_REGIONS];
};

/* "Single memory region description" */
struct vu_mem_region_msg {
	uint64_t padding;
	struct vu_mem_region region;
};

/* "Virtio device config space" */
struct vu_config_msg {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VU_MAX_CONFIG];
};

#define VU_CONFIG_HEADER_SIZE 12

union vu_payload {
	uint64_t u64;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table_msg mem_table;
	struct vu_mem_region_msg mem_region;
	struct vu_config_msg config;
};

_Static_assert(sizeof(struct vu_header) == 12, "no padding on the wire");
_Static_assert(sizeof(struct vu_vring_addr) == 40, "no padding on the wire");
_Static_assert(sizeof(struct vu_mem_table_msg) == 264, "no padding on the wire");
_Static_assert(sizeof(struct vu_mem_region_msg) == 40, "no padding on the wire");
_Static_assert(sizeof(struct vu_config_msg) == VU_CONFIG_HEADER_SIZE + VU_MAX_CONFIG,
	       "no padding on the wire");

#endif /* VHOST_USER_WIRE_H */
