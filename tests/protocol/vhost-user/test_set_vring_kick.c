/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fixture.h"

/* Takes the C library's place in this program: the user has no watch left (epoll_ctl(2)). */
static int no_watches;

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && __atomic_load_n(&no_watches, __ATOMIC_SEQ_CST)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epfd, op, fd, event);
}

static int set(struct fixture *f, uint64_t value, int fd)
{
	return vmm_ack_vring_fd(f->vmm, VU_SET_VRING_KICK, value, fd);
}

static void test_checks(void **state)
{
	(void)state;
	assert_vring_fd_checked(VU_SET_VRING_KICK);
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

/* How often the other thread of this process went to sleep so far (proc(5), "status"). */
static unsigned long count_sleeps(void)
{
	static const char key[] = "\nvoluntary_ctxt_switches:";
	DIR *dir = opendir("/proc/self/task");
	char path[300], text[4096] = "";
	struct dirent *entry;
	const char *at = NULL;

	assert_non_null(dir);
	while (!at && (entry = readdir(dir))) {
		ssize_t n;
		int fd;

		if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == getpid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		at = strstr(text, key);
	}
	closedir(dir);
	assert_non_null(at);
	return strtoul(at + strlen(key), NULL, 10);
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
	unsigned long before;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(set(f, 0, fd), 0);
	close(q->kick_fd);
	q->kick_fd = fd;
	assert_echo(f);
	/* One that has nothing to do between kicks sleeps then; one that spins never does. */
	before = count_sleeps();
	for (int echoes = 0; count_sleeps() - before < 10; echoes++) {
		assert_true(echoes < 1000);
		assert_echo(f);
	}
	fixture_destroy(f);
}

/* A queue whose kicks nobody would hear does not run. */
static void test_cannot_wait_for_it(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	int fd = f->guest->queues[0].kick_fd;

	(void)state;
	assert_echo(f);
	__atomic_store_n(&no_watches, 1, __ATOMIC_SEQ_CST);
	assert_refused(f, set(f, 0, fd), "No space left on device");
	__atomic_store_n(&no_watches, 0, __ATOMIC_SEQ_CST);
	assert_int_equal(fixture_count(f, &f->seen.stopped), 1);
	assert_int_equal(set(f, 0, fd), 0);
	fixture_wait(f, &f->seen.started, 2);
	assert_echo(f);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_polling_is_not_supported),
		cmocka_unit_test(test_replaced_while_running),
		cmocka_unit_test(test_made_blocking),
		cmocka_unit_test(test_semaphore),
		cmocka_unit_test(test_cannot_wait_for_it),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_kick", tests, NULL, NULL);
}
