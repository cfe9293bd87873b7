/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define BIT(n) (UINT64_C(1) << (n))

static int set(struct fixture *f, uint64_t value, int fd)
{
	return vmm_ack_vring_fd(f->vmm, VU_SET_VRING_CALL, value, fd);
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
	assert_size_checked(VU_SET_VRING_CALL, 8, 8, false);
	assert_fds_checked(VU_SET_VRING_CALL, 8, 1, false);
}

/* "polling will be used instead": requests are served, nobody is called. */
static void test_none(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2] = { { f->guest->scratch, 4 }, { f->guest->scratch + 4096, 4 } };
	uint64_t count;
	uint16_t head;
	uint32_t len;

	(void)state;
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_CALL, VU_VRING_FD_NONE, -1), 0);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	fixture_wait(f, &f->seen.requests, 1);
	/* The reply comes after the request was given back. */
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(guest_poll(q, &head, &len), 0);
	assert_int_equal(read(q->call_fd, &count, sizeof(count)), -1);
	fixture_destroy(f);
}

static void test_suppressed_by_the_driver(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2] = { { f->guest->scratch, 4 }, { f->guest->scratch + 4096, 4 } };
	uint64_t count;
	uint16_t head;
	uint32_t len;

	(void)state;
	guest_suppress_calls(q, true);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	fixture_wait(f, &f->seen.requests, 1);
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(guest_poll(q, &head, &len), 0);
	assert_int_equal(read(q->call_fd, &count, sizeof(count)), -1);
	guest_suppress_calls(q, false);
	assert_echo(f);
	fixture_destroy(f);
}

/* A counter that is full must not block the daemon. */
static void test_full(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2] = { { f->guest->scratch, 4 }, { f->guest->scratch + 4096, 4 } };
	const uint64_t full = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(q->call_fd, &full, sizeof(full)), sizeof(full));
	/* Blocking again: the front-end shares the open file. */
	assert_int_equal(fcntl(q->call_fd, F_SETFL, 0), 0);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	fixture_wait(f, &f->seen.requests, 1);
	/* Without a read of the counter, which would let a blocked daemon go on. */
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_shape),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_suppressed_by_the_driver),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_call", tests, NULL, NULL);
}
