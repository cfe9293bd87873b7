/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static void test_offers(void **state)
{
	struct fixture *f = fixture_create(NULL);
	uint64_t features = 0;

	(void)state;
	/* Before SET_FEATURES: vhost-user.rst, GET_PROTOCOL_FEATURES, note. */
	assert_int_equal(vmm_get_u64(f->vmm, VU_GET_PROTOCOL_FEATURES, &features), 0);
	assert_int_equal(features,
			 BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_REPLY_ACK) |
				 BIT(VU_PROTOCOL_F_CONFIG) | BIT(VU_PROTOCOL_F_RESET_DEVICE) |
				 BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_GET_PROTOCOL_FEATURES, 0, 0, true);
	assert_fds_checked(VU_GET_PROTOCOL_FEATURES, 0, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user get_protocol_features", tests, NULL, NULL);
}
