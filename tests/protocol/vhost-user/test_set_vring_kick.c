/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static int set(struct fixture *f, uint64_t value, int fd)
{
	return vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, value, fd);
}

/* The bits, the queue, the number of descriptors, and what kind they are of. */
static void test_refuses(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	int pipefd[2];

	(void)state;
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_refused(f, set(f, DEVICE_QUEUES, f->wake_fd), "queue 2:");
	assert_refused(f, set(f, 255, f->wake_fd), "queue 255:");
	assert_refused(f, set(f, 512, f->wake_fd), "bits");
	assert_refused(f, set(f, BIT(32), f->wake_fd), "bits");
	assert_refused(f, set(f, 0, -1), "were announced");
	assert_refused(f, set(f, VU_VRING_FD_NONE, f->wake_fd), "were announced");
	assert_refused(f, set(f, 0, f->vmm->memfd), "not an eventfd");
	assert_refused(f, set(f, 0, f->vmm->sock), "not an eventfd");
	assert_refused(f, set(f, 0, pipefd[0]), "not an eventfd");
	assert_refused(f, set(f, 0, pipefd[1]), "not an eventfd");
	close(pipefd[0]);
	close(pipefd[1]);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_VRING_KICK, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_KICK, 8, 1, false);
}

static void test_polling_is_not_supported(void **state)
{
	struct fixture *f = fixture_handshake(NULL);

	(void)state;
	assert_refused(f, vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, VU_VRING_FD_NONE, -1),
		       "polled");
	fixture_destroy(f);
}

/* A request that was kicked on the old one is not forgotten. */
static void test_replaced_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	int fresh = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_echo(f);
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, 0, fresh), 0);
	close(q->kick_fd);
	q->kick_fd = fresh;
	assert_echo(f);
	/* It was blocking. */
	assert_true(fcntl(fresh, F_GETFL) & O_NONBLOCK);
	fixture_destroy(f);
}

/* The front-end shares the open file: what it does to its flags must not stop the loop. */
static void test_blocking_and_stolen(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t count;
		struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
		ssize_t n;

		guest_kick(q);
		n = preadv2(q->kick_fd, &iov, 1, -1, RWF_NOWAIT);
		(void)n;
		assert_int_equal(fcntl(q->kick_fd, F_SETFL, i % 2 ? O_NONBLOCK : 0), 0);
		guest_kick(q);
	}
	assert_int_equal(fcntl(q->kick_fd, F_SETFL, O_NONBLOCK), 0);
	assert_echo(f);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_polling_is_not_supported),
		cmocka_unit_test(test_replaced_while_running),
		cmocka_unit_test(test_blocking_and_stolen),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_kick", tests, NULL, NULL);
}
