/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

#define MIB UINT64_C(0x100000)
#define USER UINT64_C(0x600000000000)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int add(struct fixture *f, uint64_t guest, uint64_t size, uint64_t user, uint64_t offset,
	       const int *fds, size_t num_fds)
{
	struct vu_mem_region_msg msg = { .region = { guest, size, user, offset } };

	return vmm_ack(f->vmm, VU_ADD_MEM_REG, &msg, sizeof(msg), fds, num_fds);
}

static void test_many(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	const uint64_t base = UINT64_C(1) << 32;

	(void)state;
	/* One is there; backwards, so that they are sorted in. */
	for (uint64_t i = 127; i > 0; i--)
		assert_int_equal(add(f, base + i * MIB, 4096, USER + i * MIB, 0, &f->vmm->memfd, 1),
				 0);
	assert_refused(f, add(f, base, 4096, USER, 0, &f->vmm->memfd, 1), "more than 128");
	assert_echo(f);
	fixture_destroy(f);
}

static void test_overlap(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_refused(f, add(f, 0, 16 * MIB, USER, 0, &f->vmm->memfd, 1), "overlap");
	assert_refused(f, add(f, 16 * MIB - 4096, 8192, USER, 0, &f->vmm->memfd, 1), "overlap");
	assert_refused(f, add(f, MIB, 4096, USER, 0, &f->vmm->memfd, 1), "overlap");
	assert_int_equal(add(f, 16 * MIB, 4096, USER, 0, &f->vmm->memfd, 1), 0);
	assert_refused(f, add(f, 16 * MIB, 4096, USER, 0, &f->vmm->memfd, 1), "overlap");
	assert_echo(f);
	fixture_destroy(f);
}

/* All of the checks of one region are those of SET_MEM_TABLE. */
static void test_bad_file(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	int fd = vmm_memfd(MIB, 0, false);

	(void)state;
	assert_refused(f, add(f, 32 * MIB, MIB, USER, 0, &fd, 1), "memory-backend-memfd");
	assert_refused(f, add(f, 32 * MIB, 32 * MIB, USER, 0, &f->vmm->memfd, 1), "beyond the end");
	close(fd);
	fixture_destroy(f);
}

static void test_without_the_feature(void **state)
{
	struct vmm_options options = {
		.protocol_mask = BIT(VU_PROTOCOL_F_REPLY_ACK) | BIT(VU_PROTOCOL_F_MQ),
	};
	struct fixture *f = fixture_handshake(&options);

	(void)state;
	assert_refused(f, add(f, 32 * MIB, MIB, USER, 0, &f->vmm->memfd, 1),
		       "was not acknowledged");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, add(f, 32 * MIB, MIB, USER, 0, NULL, 0), "0 file descriptors");
	fixture_destroy(f);
	assert_size_checked(VU_ADD_MEM_REG, 40, 40, false);
	assert_fds_checked(VU_ADD_MEM_REG, 40, 1, false);
}

/* What was removed is room again; what was refused took none. */
static void test_too_much(void **state)
{
	const uint64_t half = DEVICE_MAX_MEMORY / 2;
	struct fixture *f = fixture_ready(NULL);
	int fd = vmm_memfd(half, F_SEAL_SHRINK, false);
	struct vu_mem_region_msg msg = { .region = { half, half, USER, 0 } };

	(void)state;
	assert_true(fd >= 0);
	for (int i = 0; i < 10; i++) {
		msg.region.guest_addr = half;
		assert_int_equal(vmm_ack(f->vmm, VU_ADD_MEM_REG, &msg, sizeof(msg), &fd, 1), 0);
		/* The VM's 16 MiB are there, too. */
		msg.region.guest_addr = 2 * half;
		assert_refused(f, vmm_ack(f->vmm, VU_ADD_MEM_REG, &msg, sizeof(msg), &fd, 1),
			       "--max-ram");
		msg.region.guest_addr = half;
		assert_int_equal(vmm_ack(f->vmm, VU_REM_MEM_REG, &msg, sizeof(msg), NULL, 0), 0);
	}
	assert_echo(f);
	close(fd);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_without_the_feature),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user add_mem_reg", tests, NULL, NULL);
}
