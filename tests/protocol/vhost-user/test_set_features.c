/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static void test_reaches_the_device(void **state)
{
	struct vmm_options options = { .features = BIT(0) | BIT(VU_VIRTIO_F_VERSION_1) };
	struct fixture *f = fixture_ready(&options);

	(void)state;
	assert_int_equal(f->seen.features, BIT(0) | BIT(VU_VIRTIO_F_VERSION_1) |
						   BIT(VU_F_PROTOCOL_FEATURES));
	fixture_destroy(f);
}

static void test_not_offered(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	/* Indirect descriptors, event index, packed rings, IOMMU. */
	for (int bit = 2; bit < 64; bit++) {
		if (bit == VU_VIRTIO_F_VERSION_1 || bit == VU_F_PROTOCOL_FEATURES)
			continue;
		assert_refused(f, vmm_ack_u64(f->vmm, VU_SET_FEATURES, f->vmm->features | BIT(bit)),
			       "were offered");
	}
	fixture_destroy(f);
}

static void test_change_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_refused(f, vmm_ack_u64(f->vmm, VU_SET_FEATURES, BIT(VU_VIRTIO_F_VERSION_1)),
		       "while the queues run");
	/* The same ones again are no change. */
	assert_int_equal(vmm_ack_u64(f->vmm, VU_SET_FEATURES, f->vmm->features), 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_FEATURES, 8, 8, false);
	assert_fds_checked(VU_SET_FEATURES, 8, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reaches_the_device),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_change_while_running),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_features", tests, NULL, NULL);
}
