/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * /dev/bufshare_test_exporter: makes dma-bufs whose mapping has any DMA addresses.
 *
 * For tests: memory of other devices, odd lengths and the like, without such a device.
 */
#ifndef BUFSHARE_TEST_EXPORTER_H
#define BUFSHARE_TEST_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TEST_EXPORTER_MAX_PIECES 65536

struct test_exporter_piece {
	__u64 addr;
	__u64 len;
};

struct test_exporter_create {
	__u64 size;   /* that the dma-buf claims */
	__u64 pieces; /* struct test_exporter_piece[count] */
	__u32 count;
	__s32 fd; /* out */
};

/* How many of them are mapped for somebody at this moment. */
struct test_exporter_stats {
	__u32 mapped;
	__u32 alive;
};

#define TEST_EXPORTER_CREATE _IOWR(0xbe, 0, struct test_exporter_create)
#define TEST_EXPORTER_STATS  _IOR(0xbe, 1, struct test_exporter_stats)

#endif /* BUFSHARE_TEST_EXPORTER_H */
