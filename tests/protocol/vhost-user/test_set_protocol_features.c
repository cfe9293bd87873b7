/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static void test_not_offered(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		if (f->vmm->protocol_features & BIT(bit))
			continue;
		assert_refused(f, vmm_ack_u64(f->vmm, VU_SET_PROTOCOL_FEATURES, BIT(bit)),
			       "were offered");
	}
	fixture_destroy(f);
}

/* NEED_REPLY means nothing to a front-end that did not agree on REPLY_ACK. */
static void test_no_ack_without_reply_ack(void **state)
{
	struct vmm_options options = { .protocol_mask = BIT(VU_PROTOCOL_F_MQ) };
	struct fixture *f = fixture_handshake(&options);

	(void)state;
	assert_int_equal(vmm_send(f->vmm, VU_SET_OWNER, VU_NEED_REPLY, NULL, 0, NULL, 0), 0);
	/* An acknowledgement would arrive in the place of this reply. */
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_PROTOCOL_FEATURES, 8, 8, false);
	assert_fds_checked(VU_SET_PROTOCOL_FEATURES, 8, 0, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_no_ack_without_reply_ack),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_protocol_features", tests, NULL, NULL);
}
