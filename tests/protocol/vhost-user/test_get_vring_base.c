/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_answers_and_stops(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	uint16_t base = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_echo(f);
	assert_int_equal(vmm_get_vring_base(f->vmm, 0, &base), 0);
	assert_int_equal(base, 5);
	/* Before the reply: nothing is served once the front-end knows the index. */
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	assert_int_equal(vmm_get_vring_base(f->vmm, 1, &base), 0);
	assert_int_equal(base, 0);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	fixture_destroy(f);
}

static void test_twice(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	uint16_t base = 1;

	(void)state;
	assert_int_equal(vmm_get_vring_base(f->vmm, 0, &base), 0);
	assert_int_equal(vmm_get_vring_base(f->vmm, 0, &base), 0);
	assert_int_equal(base, 0);
	fixture_destroy(f);
}

/* Its reply has no place for an error. */
static void test_no_such_queue(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_vring_state s = { .index = DEVICE_QUEUES };

	(void)state;
	assert_int_equal(vmm_send(f->vmm, VU_GET_VRING_BASE, VU_NEED_REPLY, &s, sizeof(s), NULL, 0),
			 0);
	assert_ended(f, -EINVAL, "queue 2:");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_GET_VRING_BASE, 8, 8, true);
	assert_fds_checked(VU_GET_VRING_BASE, 8, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_and_stops),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_no_such_queue),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user get_vring_base", tests, NULL, NULL);
}
