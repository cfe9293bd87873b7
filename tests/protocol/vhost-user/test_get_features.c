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
	assert_int_equal(vmm_get_u64(f->vmm, VU_GET_FEATURES, &features), 0);
	assert_int_equal(features, DEVICE_FEATURES | BIT(VU_VIRTIO_F_VERSION_1) |
					   BIT(VU_F_PROTOCOL_FEATURES));
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_GET_FEATURES, 0, 0, true);
	assert_fds_checked(VU_GET_FEATURES, 0, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user get_features", tests, NULL, NULL);
}
