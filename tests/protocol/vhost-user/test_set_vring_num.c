/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_out_of_range(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, 0, 0), "size 0");
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, 0, 32769), "size 32769");
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, 0, UINT32_MAX),
		       "size 4294967295");
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_NUM, 0, 32768), 0);
	fixture_destroy(f);
}

static void test_no_such_queue(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, DEVICE_QUEUES, 64), "queue 2:");
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, UINT32_MAX, 64), "2 queues");
	fixture_destroy(f);
}

static void test_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_NUM, 0, 128), "while it runs");
	assert_echo(f);
	fixture_destroy(f);
}

/* The driver chooses the size, and QEMU passes it on: the VM must not die of it. */
static void test_not_a_power_of_two(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	f->guest->queues[0].size = 63;
	assert_int_equal(guest_start(f->guest), 0);
	assert_broken(f, "ring's size");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_VRING_NUM, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_NUM, 8, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_no_such_queue),
		cmocka_unit_test(test_while_running),
		cmocka_unit_test(test_not_a_power_of_two),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_num", tests, NULL, NULL);
}
