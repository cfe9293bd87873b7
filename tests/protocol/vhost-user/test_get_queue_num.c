/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

static void test_answers(void **state)
{
	struct fixture *f = fixture_create(NULL);
	uint64_t n = 0;

	(void)state;
	assert_int_equal(vmm_get_u64(f->vmm, VU_GET_QUEUE_NUM, &n), 0);
	assert_int_equal(n, DEVICE_QUEUES);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_GET_QUEUE_NUM, 0, 0, true);
	assert_fds_checked(VU_GET_QUEUE_NUM, 0, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user get_queue_num", tests, NULL, NULL);
}
