/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static int get(struct fixture *f, uint32_t offset, uint32_t size, uint32_t payload,
	       struct vu_config_msg *reply)
{
	struct vu_config_msg msg = { .offset = offset, .size = size };
	int r = vmm_send(f->vmm, VU_GET_CONFIG, 0, &msg, payload, NULL, 0);

	return r < 0 ? r : vmm_receive(f->vmm, VU_GET_CONFIG, reply, sizeof(*reply));
}

static void test_whole_and_parts(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_config_msg reply;

	(void)state;
	assert_int_equal(get(f, 0, 64, 12 + 64, &reply), 12 + 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(reply.data[i], i + 1);
	assert_int_equal(get(f, 17, 1, 12 + 1, &reply), 12 + 1);
	assert_int_equal(reply.offset, 17);
	assert_int_equal(reply.size, 1);
	assert_int_equal(reply.data[0], 18);
	assert_int_equal(get(f, 5, 0, 12, &reply), 12);
	fixture_destroy(f);
}

/* QEMU's config_size= may be more than there is. */
static void test_beyond_is_zero(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_config_msg reply;

	(void)state;
	assert_int_equal(get(f, 0, 256, 12 + 256, &reply), 12 + 256);
	assert_int_equal(reply.data[63], 64);
	for (int i = 64; i < 256; i++)
		assert_int_equal(reply.data[i], 0);
	fixture_destroy(f);
}

/* "zero length of payload to indicate an error" */
static void test_bad_ranges(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_config_msg reply;

	(void)state;
	assert_int_equal(get(f, 1, 256, 12 + 256, &reply), 0);
	assert_int_equal(get(f, 256, 1, 12 + 1, &reply), 0);
	assert_int_equal(get(f, UINT32_MAX, 1, 12 + 1, &reply), 0);
	assert_int_equal(get(f, 0, UINT32_MAX, 12 + 64, &reply), 0);
	assert_int_equal(get(f, 0, 63, 12 + 64, &reply), 0);
	assert_int_equal(get(f, 0, 65, 12 + 64, &reply), 0);
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

static void test_without_the_feature(void **state)
{
	struct vmm_options options = { .protocol_mask = BIT(VU_PROTOCOL_F_MQ) };
	struct fixture *f = fixture_handshake(&options);
	struct vu_config_msg msg = { .size = 64 };

	(void)state;
	assert_int_equal(vmm_send(f->vmm, VU_GET_CONFIG, 0, &msg, 12 + 64, NULL, 0), 0);
	assert_ended(f, -EOPNOTSUPP, "was not acknowledged");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_GET_CONFIG, 12, 268, true);
	assert_fds_checked(VU_GET_CONFIG, 12 + 64, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_and_parts),
		cmocka_unit_test(test_beyond_is_zero),
		cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_without_the_feature),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user get_config", tests, NULL, NULL);
}
