/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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

/* A request whose kick went to the old one, unread, is not forgotten. */
static void test_replaced_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	const struct guest_part parts[2] = { { f->guest->scratch, 4 },
					     { f->guest->scratch + 4096, 4 } };
	int fresh = eventfd(0, EFD_CLOEXEC);
	uint16_t head;
	uint32_t len;

	(void)state;
	assert_echo(f);
	assert_true(guest_submit(q, parts, 1, 1) >= 0);
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, 0, fresh), 0);
	assert_int_equal(guest_wait(q, &head, &len), 0);
	close(q->kick_fd);
	q->kick_fd = fresh;
	assert_echo(f);
	fixture_destroy(f);
}

/*
 * The front-end shares the open file and can make it blocking again, and one eventfd can be
 * that of both queues: neither must wait for it.
 */
static void test_made_blocking(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	int fd = f->guest->queues[0].kick_fd;

	(void)state;
	assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, 1, fd), 0);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	for (int i = 0; i < 10; i++)
		assert_echo(f);
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

/* The state of the other thread of this process, as in proc(5). */
static char thread_state(void)
{
	DIR *dir = opendir("/proc/self/task");
	char path[300], text[512] = "";
	struct dirent *entry;
	const char *paren;
	char found = '?';

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		ssize_t n;
		int fd;

		if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == getpid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		paren = strrchr(text, ')');
		if (paren && paren[1] == ' ')
			found = paren[2];
	}
	closedir(dir);
	return found;
}

/*
 * A semaphore with the largest count stays readable for 2^64 reads: that must not keep the
 * daemon awake, and kicks must still come through.
 */
static void test_semaphore(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	const uint64_t full = UINT64_MAX - 1000;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	int tries = 0;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(set(f, 0, fd), 0);
	/* One that has nothing to do sleeps; one that spins is found to run. */
	for (int asleep = 0; asleep < 20; tries++) {
		asleep = thread_state() == 'S' ? asleep + 1 : 0;
		assert_true(tries < 100000);
	}
	close(q->kick_fd);
	q->kick_fd = fd;
	for (int i = 0; i < 10; i++)
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
		cmocka_unit_test(test_made_blocking),
		cmocka_unit_test(test_semaphore),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_kick", tests, NULL, NULL);
}
