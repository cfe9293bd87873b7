/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

/* A driver can cause it at any time: it never ends the connection. */
static void test_is_read_only(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct vu_config_msg msg = { .size = 64 };

	(void)state;
	assert_refused(f, vmm_ack(f->vmm, VU_SET_CONFIG, &msg, 12 + 64, NULL, 0), "read-only");
	for (int i = 0; i < 100; i++)
		assert_int_equal(vmm_send(f->vmm, VU_SET_CONFIG, 0, &msg, 12 + 64, NULL, 0), 0);
	assert_true(vmm_alive(f->vmm));
	assert_echo(f);
	/* Nor does it fill the disk. */
	assert_true(fixture_count_log(f, "read-only") < 40);
	fixture_destroy(f);
}

static void test_without_the_feature(void **state)
{
	struct vmm_options options = {
		.protocol_mask = BIT(VU_PROTOCOL_F_MQ) | BIT(VU_PROTOCOL_F_REPLY_ACK),
	};
	struct fixture *f = fixture_handshake(&options);
	struct vu_config_msg msg = { .size = 64 };

	(void)state;
	assert_refused(f, vmm_ack(f->vmm, VU_SET_CONFIG, &msg, 12 + 64, NULL, 0),
		       "was not acknowledged");
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	struct vu_config_msg msg = { .size = 64 };

	(void)state;
	assert_refused(f, vmm_ack(f->vmm, VU_SET_CONFIG, &msg, 11, NULL, 0), "payload of 11");
	assert_refused(f, vmm_ack(f->vmm, VU_SET_CONFIG, &msg, 12 + 64, &f->wake_fd, 1),
		       "file descriptors");
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_read_only),
		cmocka_unit_test(test_without_the_feature),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_config", tests, NULL, NULL);
}
