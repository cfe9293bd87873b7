/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_refuses(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, DEVICE_QUEUES, 1), "queue 2:");
	assert_refused(f, vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 0, 2), "enable 2");
	fixture_destroy(f);
}

static void test_stops_and_starts(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_echo(f);
	/* One of them is enough. */
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 1, 0), 0);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(fixture_count(f, &f->seen.started), 2);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_before_anything_else(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(vmm_ack_state(f->vmm, VU_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(fixture_count(f, &f->seen.started), 0);
	fixture_destroy(f);
}

/* "This request should be sent only when VHOST_USER_F_PROTOCOL_FEATURES has been negotiated." */
static void test_without_the_feature(void **state)
{
	struct vmm_options options = { .no_protocol_features = true };
	struct fixture *f = fixture_handshake(&options);
	struct vu_vring_state s = { .index = 0, .num = 1 };

	(void)state;
	assert_int_equal(vmm_send(f->vmm, VU_SET_VRING_ENABLE, 0, &s, sizeof(s), NULL, 0), 0);
	assert_ended(f, -EINVAL, "once VHOST_USER_F_PROTOCOL_FEATURES");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_VRING_ENABLE, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_ENABLE, 8, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_stops_and_starts),
		cmocka_unit_test(test_before_anything_else),
		cmocka_unit_test(test_without_the_feature),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_enable", tests, NULL, NULL);
}
