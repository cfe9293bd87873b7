/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

/* vhost-user.rst, RESET_OWNER: "either ignore this message, or use it to disable all rings". */
static void test_both_change_nothing(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmm_ack(f->vmm, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
		assert_int_equal(vmm_ack(f->vmm, VU_RESET_OWNER, NULL, 0, NULL, 0), 0);
	}
	assert_echo(f);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_OWNER, 0, 0, false);
	assert_fds_checked(VU_SET_OWNER, 0, 0, false);
	assert_size_checked(VU_RESET_OWNER, 0, 0, false);
	assert_fds_checked(VU_RESET_OWNER, 0, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_change_nothing),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user owner", tests, NULL, NULL);
}
