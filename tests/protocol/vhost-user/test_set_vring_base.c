/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_out_of_range(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_BASE, 0, 65536), "base 65536");
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_BASE, DEVICE_QUEUES, 0), "queue 2:");
	fixture_destroy(f);
}

static void test_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_BASE, 0, 0), "while it runs");
	assert_echo(f);
	fixture_destroy(f);
}

/* The indices are 16 bits wide and wrap. */
static void test_starts_anywhere(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct guest_queue *q;

	(void)state;
	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, QUEUE_SIZE), 0);
	q = &f->guest->queues[0];
	q->used[1] = 65530;
	q->used_seen = 65530;
	guest_set_avail_idx(q, 65530);
	assert_int_equal(guest_start(f->guest), 0);
	for (int i = 0; i < 20; i++)
		assert_echo(f);
	assert_int_equal(f->seen.resumed, 1);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_VRING_BASE, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_BASE, 8, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_while_running),
		cmocka_unit_test(test_starts_anywhere),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_base", tests, NULL, NULL);
}
