/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_stops_everything(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_echo(f);
	assert_int_equal(vmm_ack(f->vmm, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	assert_int_equal(fixture_count(f, &f->seen.reset), 1);
	guest_reset(f->guest);
	assert_int_equal(guest_start(f->guest), 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_mends_broken_queues(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_echo(f);
	guest_publish(&f->guest->queues[0], QUEUE_SIZE);
	guest_kick(&f->guest->queues[0]);
	assert_broken(f, "beyond the queue's size");
	assert_int_equal(vmm_ack(f->vmm, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	/* Also when the queues go on at another index than 0, which alone would say "paused". */
	guest_set_avail_idx(&f->guest->queues[0], 1);
	assert_int_equal(guest_start(f->guest), 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_before_anything_else(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_int_equal(vmm_ack(f->vmm, VU_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 0);
	assert_int_equal(fixture_count(f, &f->seen.reset), 1);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_RESET_DEVICE, 0, 0, false);
	assert_fds_checked(VU_RESET_DEVICE, 0, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stops_everything),
		cmocka_unit_test(test_mends_broken_queues),
		cmocka_unit_test(test_before_anything_else),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user reset_device", tests, NULL, NULL);
}
