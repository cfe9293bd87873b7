/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static int set(struct fixture *f, uint64_t value, int fd)
{
	return vmm_ack_vring_fd(f->vmm, VU_SET_VRING_ERR, value, fd);
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
	assert_size_checked(VU_SET_VRING_ERR, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_ERR, 8, 1, false);
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
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_is_signalled),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_err", tests, NULL, NULL);
}
