/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"
#include "fixture.h"
#include "log.h"
#include "memory.h"

/* vu_mem_walk(): from guest addresses to files and offsets. */
#define PAGE UINT64_C(4096)
#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)
#define USER UINT64_C(0x600000000000)

/* Takes the C library's place in this program, and counts. */
static int fstats;

int fstat(int fd, struct stat *st)
{
	fstats++;
	return (int)syscall(SYS_fstat, fd, st);
}

static int walk(struct fixture *f, uint64_t addr, uint64_t len, struct walked_piece *pieces,
		size_t max)
{
	uint8_t req[17] = { OP_WALK };
	uint8_t resp[4096] = { 0 };
	uint32_t n = 0;
	int32_t r;

	memcpy(req + 1, &addr, 8);
	memcpy(req + 9, &len, 8);
	assert_int_equal(guest_request(&f->guest->queues[0], req, sizeof(req), resp, sizeof(resp),
				       &n),
			 0);
	memcpy(&r, resp, sizeof(r));
	if (r < 0)
		return r;
	n = (n - 4) / (uint32_t)sizeof(*pieces);
	assert_true(n <= max);
	memcpy(pieces, resp + 4, n * sizeof(*pieces));
	return (int)n;
}

static void test_one_region(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct walked_piece p[8];

	(void)state;
	assert_int_equal(walk(f, 0, 16 * MIB, p, 8), 1);
	assert_int_equal(p[0].offset, 0);
	assert_int_equal(p[0].len, 16 * MIB);
	assert_int_equal(walk(f, 5 * MIB, 4096, p, 8), 1);
	assert_int_equal(p[0].offset, 5 * MIB);
	assert_int_equal(walk(f, 5 * MIB, 0, p, 8), 0);
	assert_int_equal(walk(f, 16 * MIB, 1, p, 8), -EFAULT);
	assert_int_equal(walk(f, 16 * MIB - 1, 2, p, 8), -EFAULT);
	assert_int_equal(walk(f, UINT64_MAX, 2, p, 8), -EOVERFLOW);
	assert_int_equal(walk(f, 4096, UINT64_MAX, p, 8), -EOVERFLOW);
	fixture_destroy(f);
}

/* As QEMU's q35 with 3 GiB: one memfd, half of it above 4 GiB, and a hole below. */
static void test_above_4_gib(void **state)
{
	const struct vmm_region regions[] = {
		{ .guest_addr = 0, .size = 2 * GIB, .user_addr = GIB << 10, .offset = 0 },
		{ .guest_addr = 4 * GIB, .size = GIB, .user_addr = (GIB << 10) + 2 * GIB,
		  .offset = 2 * GIB },
	};
	struct vmm_options options = { .regions = regions, .num_regions = 2 };
	struct fixture *f = fixture_ready(&options);
	struct walked_piece p[8];

	(void)state;
	assert_int_equal(walk(f, 4 * GIB + MIB, MIB, p, 8), 1);
	assert_int_equal(p[0].offset, 2 * GIB + MIB);
	assert_int_equal(p[0].len, MIB);
	assert_int_equal(walk(f, 2 * GIB - 4096, 8192, p, 8), -EFAULT);
	assert_int_equal(walk(f, 3 * GIB, 4096, p, 8), -EFAULT);
	assert_int_equal(walk(f, 0, 5 * GIB, p, 8), -EFAULT);
	fixture_destroy(f);
}

/* Adjacent in both the guest and the file: one piece, though there are two regions. */
static void test_merges(void **state)
{
	const struct vmm_region regions[] = {
		{ .guest_addr = 0, .size = 2 * MIB, .user_addr = GIB << 10, .offset = 0 },
		{ .guest_addr = 2 * MIB, .size = 2 * MIB, .user_addr = (GIB << 10) + 2 * MIB,
		  .offset = 2 * MIB },
		/* Adjacent in the guest only. */
		{ .guest_addr = 4 * MIB, .size = 2 * MIB, .user_addr = GIB << 11,
		  .offset = 6 * MIB },
	};
	struct vmm_options options = { .regions = regions, .num_regions = 3 };
	struct fixture *f = fixture_ready(&options);
	struct walked_piece p[8];

	(void)state;
	assert_int_equal(walk(f, MIB, 4 * MIB, p, 8), 2);
	assert_int_equal(p[0].offset, MIB);
	assert_int_equal(p[0].len, 3 * MIB);
	assert_int_equal(p[1].offset, 6 * MIB);
	assert_int_equal(p[1].len, MIB);
	fixture_destroy(f);
}

static void test_many_regions(void **state)
{
	struct vmm_region regions[100];
	struct vmm_options options = { .regions = regions, .num_regions = 100 };
	struct fixture *f;
	struct walked_piece p[8];

	(void)state;
	memset(regions, 0, sizeof(regions));
	for (uint64_t i = 0; i < 100; i++) {
		regions[i].guest_addr = i * 4 * MIB;
		regions[i].size = MIB;
	}
	f = fixture_ready(&options);
	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(walk(f, i * 4 * MIB + 4096, 8192, p, 8), 1);
		assert_int_equal(p[0].offset, i * MIB + 4096);
		assert_int_equal(walk(f, i * 4 * MIB + MIB, 4096, p, 8), -EFAULT);
	}
	fixture_destroy(f);
}

static int count_piece(void *arg, const struct vu_mem_piece *piece)
{
	(void)piece;
	++*(int *)arg;
	return 0;
}

/*
 * 100 adjacent regions of one file: what is asked of them has its price, which the queues
 * stop at, and no part of it is a system call.
 */
static void test_price(void **state)
{
	struct vu_mem_region region = { 0, 4096, USER, 0 };
	struct log_peer log;
	struct vu_mem mem;
	int fd = vmm_memfd(100 * PAGE, F_SEAL_SHRINK, false), pieces = 0, before;
	uint8_t bytes[2] = { 1, 2 };

	(void)state;
	log_peer_init(&log, "vm0");
	vu_mem_init(&mem, GIB, &log);
	for (int i = 0; i < 100; i++) {
		int copy = fd_dup(fd);

		assert_int_equal(vu_mem_add(&mem, &region, &copy), 0);
		region.guest_addr += 4096;
		region.user_addr += 4096;
		region.mmap_offset += 4096;
	}
	assert_int_equal(mem.steps, 0);
	before = fstats;
	assert_int_equal(vu_mem_walk_files(&mem, 0, 100 * PAGE, count_piece, &pieces), 0);
	assert_int_equal(pieces, 1);
	assert_int_equal(mem.steps, 100);
	assert_int_equal(fstats, before);
	assert_true(vu_mem_contains(&mem, 4095, 98 * PAGE + 2));
	assert_int_equal(mem.steps, 200);
	assert_false(vu_mem_contains(&mem, 99 * PAGE, PAGE + 1));
	assert_int_equal(mem.touched, 0);
	assert_true(vu_mem_write(&mem, 4095, bytes, 2));
	assert_int_equal(mem.touched, 2);
	assert_int_equal(vu_mem_remap(&mem), 0);
	assert_int_equal(mem.touched, 0);
	assert_true(vu_mem_read(&mem, 4096, bytes, 1));
	assert_int_equal(bytes[0], 2);
	vu_mem_finish(&mem);
	close(fd);
}

/* A front-end that forbids a new mapping does not make a hole of the old one. */
static void test_remap_fails(void **state)
{
	const struct vu_mem_region region = { 0, 8192, USER, 0 };
	struct log_peer log;
	struct vu_mem mem;
	int fd = vmm_memfd(8192, F_SEAL_SHRINK, false), copy = fd_dup(fd);
	uint8_t byte = 7;
	char *end;

	(void)state;
	log_peer_init(&log, "vm0");
	vu_mem_init(&mem, GIB, &log);
	assert_int_equal(vu_mem_set(&mem, &region, 1, &copy), 0);
	assert_true(vu_mem_write(&mem, 5000, &byte, 1));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	end = vu_mem_from_user(&mem, USER + 4096, 4096);
	assert_int_equal(vu_mem_remap(&mem), -EPERM);
	/* Whoever maps something now does not get the guest's place. */
	assert_int_equal(syscall(SYS_mincore, end, 4096, &byte), 0);
	byte = 0;
	assert_true(vu_mem_read(&mem, 5000, &byte, 1));
	assert_int_equal(byte, 7);
	vu_mem_finish(&mem);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_region),
		cmocka_unit_test(test_above_4_gib),
		cmocka_unit_test(test_merges),
		cmocka_unit_test(test_many_regions),
		cmocka_unit_test(test_price),
		cmocka_unit_test(test_remap_fails),
	};

	return cmocka_run_group_tests_name("vhost-user walk", tests, NULL, NULL);
}
