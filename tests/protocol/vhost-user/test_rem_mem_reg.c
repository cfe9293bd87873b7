/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"

#define MIB UINT64_C(0x100000)
#define USER UINT64_C(0x600000000000)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int change(struct fixture *f, uint32_t request, struct vu_mem_region region, int fd)
{
	struct vu_mem_region_msg msg = { .region = region };

	return vmm_ack(f->vmm, request, &msg, sizeof(msg), &fd, fd >= 0);
}

static struct vu_mem_region ram(struct fixture *f)
{
	return (struct vu_mem_region){ 0, 16 * MIB, f->vmm->regions[0].user_addr, 0 };
}

static void test_not_there(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct vu_mem_region r = ram(f);

	(void)state;
	r.guest_addr += 4096;
	assert_refused(f, change(f, VU_REM_MEM_REG, r, -1), "no memory region");
	r = ram(f);
	r.size -= 4096;
	assert_refused(f, change(f, VU_REM_MEM_REG, r, -1), "no memory region");
	r = ram(f);
	r.user_addr += 4096;
	assert_refused(f, change(f, VU_REM_MEM_REG, r, -1), "no memory region");
	assert_echo(f);
	fixture_destroy(f);
}

/* "The mmap offset is ignored", and a descriptor is closed. */
static void test_with_offset_and_descriptor(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_mem_region r = ram(f);

	(void)state;
	r.mmap_offset = 12345;
	assert_int_equal(change(f, VU_REM_MEM_REG, r, f->vmm->memfd), 0);
	assert_refused(f, change(f, VU_REM_MEM_REG, r, -1), "no memory region");
	fixture_destroy(f);
}

/*
 * What QEMU does when it rearranges regions: the rings have no place for a moment.  What
 * the driver asked for meanwhile is served when the memory is back.
 */
static void test_and_back_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2] = { { f->guest->scratch, 4 }, { f->guest->scratch + 4096, 4 } };
	struct vu_mem_region low = ram(f), high = ram(f);
	uint16_t head;
	uint32_t len;

	(void)state;
	low.size = 8 * MIB;
	high.size = 8 * MIB;
	high.guest_addr += 8 * MIB;
	high.user_addr += 8 * MIB;
	high.mmap_offset += 8 * MIB;
	assert_echo(f);
	assert_int_equal(change(f, VU_REM_MEM_REG, ram(f), -1), 0);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(guest_poll(q, &head, &len), -EAGAIN);
	assert_int_equal(change(f, VU_ADD_MEM_REG, high, f->vmm->memfd), 0);
	assert_int_equal(guest_poll(q, &head, &len), -EAGAIN);
	assert_int_equal(change(f, VU_ADD_MEM_REG, low, f->vmm->memfd), 0);
	assert_int_equal(guest_wait(q, &head, &len), 0);
	assert_echo(f);
	assert_int_equal(fixture_count_log(f, "does nothing more"), 0);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_REM_MEM_REG, 40, 40, false);
	assert_fds_checked(VU_REM_MEM_REG, 40, 1, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_with_offset_and_descriptor),
		cmocka_unit_test(test_and_back_while_running),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user rem_mem_reg", tests, NULL, NULL);
}
