/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "notify.h"

/*
 * Takes the C library's place in this program: a VMM that always wins the race between a
 * look at its eventfd and a write to it.
 */
static int racing_fd = -1;

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	const struct timespec wait = { .tv_sec = timeout / 1000,
				       .tv_nsec = timeout % 1000 * 1000000L };
	const uint64_t full = UINT64_MAX - 1;
	int r = (int)syscall(SYS_ppoll, fds, n, timeout < 0 ? NULL : &wait, NULL, 0);
	int fd = __atomic_load_n(&racing_fd, __ATOMIC_SEQ_CST);

	if (fd >= 0 && timeout == 0 && write(fd, &full, sizeof(full)) > 0)
		(void)fcntl(fd, F_SETFL, 0);
	return r;
}

/* The same for system calls: a kernel that is short of memory so many times, and how. */
static int short_times, short_error;

long syscall(long number, ...)
{
	static long (*real)(long number, ...);
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_io_submit &&
	    __atomic_fetch_sub(&short_times, 1, __ATOMIC_SEQ_CST) > 0) {
		errno = short_error;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void be_short(int times, int error)
{
	short_error = error;
	__atomic_store_n(&short_times, times, __ATOMIC_SEQ_CST);
}

static void test_checks(void **state)
{
	(void)state;
	assert_vring_fd_checked(VU_SET_VRING_CALL);
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

static void test_lost_race(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[0];
	struct guest_part parts[2] = { { f->guest->scratch, 4 }, { f->guest->scratch + 4096, 4 } };
	bool alive;

	(void)state;
	__atomic_store_n(&racing_fd, q->call_fd, __ATOMIC_SEQ_CST);
	assert_int_equal(guest_submit(q, parts, 1, 1), 0);
	guest_kick(q);
	fixture_wait(f, &f->seen.requests, 1);
	alive = vmm_alive(f->vmm);
	__atomic_store_n(&racing_fd, -1, __ATOMIC_SEQ_CST);
	assert_true(alive);
	fixture_destroy(f);
}

/* Each counts, also when there were more than the kernel keeps completions of. */
static void test_notify_counts(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(vu_notify_init(), 0);
	assert_int_equal(vu_notify_init(), 0);
	assert_int_equal(vu_notify(-1), 0);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(vu_notify(fd), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 10000);
	close(fd);
}

static void test_notify_never_blocks(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	const uint64_t full = UINT64_MAX - 1;
	uint64_t count = 0;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(vu_notify(fd), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_true(count >= full);
	assert_int_equal(vu_notify(fd), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	close(fd);
}

/* What the kernel has no memory for is signalled when it has some again. */
static void test_not_lost(void **state)
{
	static const int errors[] = { EAGAIN, ENOMEM };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fixture *f = fixture_ready(NULL);
		struct pollfd err = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				      .events = POLLIN };

		assert_int_equal(vmm_ack_vring_fd(f->vmm, VU_SET_VRING_ERR, 0, err.fd), 0);
		be_short(500, errors[i]);
		assert_echo(f);
		be_short(500, errors[i]);
		guest_publish(&f->guest->queues[0], QUEUE_SIZE);
		guest_kick(&f->guest->queues[0]);
		assert_int_equal(poll(&err, 1, VMM_TIMEOUT_MS), 1);
		close(err.fd);
		/* Short for long: everything else goes on, and the end does not wait for it. */
		be_short(INT32_MAX, errors[i]);
		assert_true(vmm_alive(f->vmm));
		fixture_destroy(f);
		be_short(0, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_suppressed_by_the_driver),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_lost_race),
		cmocka_unit_test(test_not_lost),
		cmocka_unit_test(test_notify_counts),
		cmocka_unit_test(test_notify_never_blocks),
	};

	return cmocka_run_group_tests_name("vhost-user set_vring_call", tests, NULL, NULL);
}
