/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "fixture.h"

/* Messages that vhost-user.rst has and this back-end did not offer, and some that nobody has. */
static const uint32_t requests[] = { 0,	 6,  7,	 19, 20, 21, 22, 23, 26, 27, 28,	29,
				     30, 31, 32, 33, 35, 39, 40, 41, 42, 43, 44,	1000,
				     UINT32_MAX };

static void test_is_refused(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_refused(f, vmm_ack_u64(f->vmm, requests[i], 0), "not known");
	assert_echo(f);
	fixture_destroy(f);
}

static void test_ends_the_connection_without_ack(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct fixture *f = fixture_handshake(NULL);

		assert_int_equal(vmm_send(f->vmm, requests[i], 0, NULL, 0, NULL, 0), 0);
		assert_ended(f, -EOPNOTSUPP, "not known");
		fixture_destroy(f);
	}
}

static void test_its_descriptors_are_closed(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	int fds[VU_MAX_FDS];

	(void)state;
	for (size_t i = 0; i < VU_MAX_FDS; i++)
		fds[i] = f->vmm->memfd;
	assert_refused(f, vmm_ack(f->vmm, 21, NULL, 0, fds, VU_MAX_FDS), "not known");
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_refused),
		cmocka_unit_test(test_ends_the_connection_without_ack),
		cmocka_unit_test(test_its_descriptors_are_closed),
	};

	return cmocka_run_group_tests_name("vhost-user unknown", tests, NULL, NULL);
}
