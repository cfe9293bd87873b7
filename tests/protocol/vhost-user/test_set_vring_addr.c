/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static int set(struct fixture *f, uint32_t index, uint32_t flags, uint64_t desc, uint64_t avail,
	       uint64_t used)
{
	struct vu_vring_addr addr = {
		.index = index,
		.flags = flags,
		.descriptor = desc,
		.available = avail,
		.used = used,
	};

	return vmm_ack(f->vmm, VU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static void test_no_such_queue(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, set(f, DEVICE_QUEUES, 0, 0, 0, 0), "queue 2:");
	assert_refused(f, set(f, UINT32_MAX, 0, 0, 0, 0), "2 queues");
	fixture_destroy(f);
}

static void test_flags(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, set(f, 0, VU_VRING_F_LOG, 0, 0, 0), "no dirty logging");
	assert_refused(f, set(f, 0, 1u << 31, 0, 0, 0), "flags 0x80000000");
	fixture_destroy(f);
}

/* What the driver chose is not the front-end's fault: the queues break, the connection stays. */
static void bad_address(const char *text, int which, uint64_t addr, int64_t plus)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	uint64_t at[3] = {
		vmm_user_addr(f->vmm, q->desc_addr),
		vmm_user_addr(f->vmm, q->avail_addr),
		vmm_user_addr(f->vmm, q->used_addr),
	};

	at[which] = addr ? addr : at[which] + (uint64_t)plus;
	assert_int_equal(guest_stop(f->guest), 0);
	guest_reset(f->guest);
	for (uint32_t i = 0; i < DEVICE_QUEUES; i++)
		assert_int_equal(guest_setup_queue(&f->guest->queues[i]), 0);
	assert_int_equal(set(f, 0, 0, at[0], at[1], at[2]), 0);
	for (uint32_t i = 0; i < DEVICE_QUEUES; i++)
		assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, i, 1), 0);
	assert_broken(f, text);
	assert_int_equal(fixture_count(f, &f->seen.started), 1);
	/* A reset mends it. */
	assert_int_equal(guest_stop(f->guest), 0);
	guest_reset(f->guest);
	assert_int_equal(guest_start(f->guest), 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_outside_of_memory(void **state)
{
	(void)state;
	for (int which = 0; which < 3; which++) {
		bad_address("not in the memory table", which, 4096, 0);
		bad_address("not in the memory table", which, UINT64_MAX & ~UINT64_C(15), 0);
		/* It begins in the region and goes beyond its end. */
		bad_address("not in the memory table", which,
			    UINT64_C(0x7f0000000000) + (16 << 20) - 16, 0);
	}
}

static void test_misaligned(void **state)
{
	(void)state;
	bad_address("alignment", 0, 0, 8);
	bad_address("alignment", 1, 0, 1);
	bad_address("alignment", 2, 0, 2);
}

/* On the fly: "Ring states", last paragraph. */
static void test_same_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];

	(void)state;
	assert_int_equal(set(f, 0, 0, vmm_user_addr(f->vmm, q->desc_addr),
			     vmm_user_addr(f->vmm, q->avail_addr),
			     vmm_user_addr(f->vmm, q->used_addr)),
			 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_elsewhere_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_int_equal(set(f, 0, 0, 4096, 8192, 12288), 0);
	assert_broken(f, "not in the memory table");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_VRING_ADDR, 40, 40, false);
	assert_fds_checked(VU_SET_VRING_ADDR, 40, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_such_queue),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_outside_of_memory),
		cmocka_unit_test(test_misaligned),
		cmocka_unit_test(test_same_while_running),
		cmocka_unit_test(test_elsewhere_while_running),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_addr", tests, NULL, NULL);
}
