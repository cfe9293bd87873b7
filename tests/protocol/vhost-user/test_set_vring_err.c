/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fixture.h"

static void test_checks(void **state)
{
	(void)state;
	assert_vring_fd_checked(VU_SET_VRING_ERR);
}

static void test_is_signalled(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	int err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count;

	(void)state;
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_ERR, 0, err), 0);
	guest_publish(q, QUEUE_SIZE);
	guest_kick(q);
	assert_broken(f, "beyond the queue's size");
	assert_int_equal(read(err, &count, sizeof(count)), sizeof(count));
	close(err);
	fixture_destroy(f);
}

static void test_none(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_ERR, VU_VRING_FD_NONE, -1), 0);
	assert_echo(f);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_is_signalled),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_err", tests, NULL, NULL);
}
