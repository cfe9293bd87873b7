/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

/* vu_mem_walk(): from guest addresses to files and offsets. */
#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_region),
		cmocka_unit_test(test_above_4_gib),
		cmocka_unit_test(test_merges),
		cmocka_unit_test(test_many_regions),
	};

	return cmocka_run_group_tests_name("vhost-user walk", tests, NULL, NULL);
}
