/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* Takes the C library's place in this program: there is no memory. */
static int no_memory;

void *reallocarray(void *old, size_t n, size_t size)
{
	size_t len;

	if (__atomic_load_n(&no_memory, __ATOMIC_SEQ_CST) ||
	    __builtin_mul_overflow(n, size, &len)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, len);
}

static int push(struct fixture *f, uint32_t n)
{
	uint8_t req[5] = { OP_PUSH };
	int32_t r = 1;
	uint32_t len;

	memcpy(req + 1, &n, sizeof(n));
	assert_int_equal(guest_request(&f->guest->queues[0], req, sizeof(req), &r, sizeof(r), &len),
			 0);
	assert_int_equal(len, sizeof(r));
	return r;
}

static void post(struct fixture *f, uint32_t len, size_t num_out)
{
	const struct guest_part parts[2] = { { guest_alloc(f->guest, len, 8), len },
					     { guest_alloc(f->guest, len, 8), len } };

	assert_true(guest_submit(&f->guest->queues[1], parts, num_out, 1) >= 0);
}

static void test_none_posted(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_int_equal(push(f, 64), -EAGAIN);
	/* A kick without a buffer is not "ready"; with one it is, once. */
	guest_kick(&f->guest->queues[1]);
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(fixture_count(f, &f->seen.ready), 0);
	post(f, 64, 0);
	guest_kick(&f->guest->queues[1]);
	fixture_wait(f, &f->seen.ready, 1);
	post(f, 64, 0);
	guest_kick(&f->guest->queues[1]);
	assert_int_equal(push(f, 64), 0);
	assert_int_equal(fixture_count(f, &f->seen.ready), 1);
	fixture_destroy(f);
}

static void test_in_order(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	uint16_t head;
	uint32_t len;

	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		post(f, 64 + i, 0);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(push(f, i + 1), 0);
	assert_int_equal(push(f, 1), -EAGAIN);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(guest_wait(&f->guest->queues[1], &head, &len), 0);
		assert_int_equal(head, i);
		assert_int_equal(len, i + 1);
	}
	fixture_destroy(f);
}

static void test_too_small(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	uint16_t head;
	uint32_t len;

	(void)state;
	post(f, 63, 0);
	assert_int_equal(push(f, 64), -EMSGSIZE);
	assert_int_equal(guest_wait(&f->guest->queues[1], &head, &len), 0);
	assert_int_equal(len, 0);
	fixture_wait_log(f, "too small");
	post(f, 64, 0);
	assert_int_equal(push(f, 64), 0);
	fixture_destroy(f);
}

static void test_readable_part(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	post(f, 64, 1);
	guest_kick(&f->guest->queues[1]);
	/* The request that pushes is not answered: the queues break under it. */
	assert_true(guest_submit(&f->guest->queues[0],
				 (struct guest_part[]){ { f->guest->scratch, 5 },
							{ f->guest->scratch + 4096, 4 } },
				 1, 1) >= 0);
	memcpy(guest_ptr(f->guest, f->guest->scratch, 5), "p\1\0\0\0", 5);
	guest_kick(&f->guest->queues[0]);
	assert_broken(f, "a buffer for events has a device-readable part");
	fixture_destroy(f);
}

static void test_loop(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[1];
	const uint8_t req[5] = { OP_PUSH, 64 };
	int32_t r = 0;
	uint32_t len;

	(void)state;
	guest_set_desc(q, 0, f->guest->scratch, 64, GUEST_DESC_NEXT | GUEST_DESC_WRITE, 0);
	guest_publish(q, 0);
	memcpy(guest_ptr(f->guest, f->guest->scratch, 5), req, 5);
	assert_int_equal(guest_request(&f->guest->queues[0], req, 5, &r, sizeof(r), &len), 0);
	assert_int_equal(r, -EPROTO);
	assert_broken(f, "queue 1: a chain of more descriptors than the device takes");
	fixture_destroy(f);
}

/* A buffer of several parts is filled across them. */
static void test_scattered(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	uint64_t at = guest_alloc(f->guest, 4096, 4096);
	const struct guest_part parts[3] = { { at, 10 }, { at + 100, 20 }, { at + 200, 34 } };
	uint8_t *bytes = guest_ptr(f->guest, at, 4096);
	uint16_t head;
	uint32_t len;

	(void)state;
	memset(bytes, 0xff, 4096);
	assert_true(guest_submit(&f->guest->queues[1], parts, 0, 3) >= 0);
	assert_int_equal(push(f, 64), 0);
	assert_int_equal(guest_wait(&f->guest->queues[1], &head, &len), 0);
	assert_int_equal(len, 64);
	for (size_t i = 0; i < 300; i++) {
		bool written = i < 10 || (i >= 100 && i < 120) || (i >= 200 && i < 234);

		assert_int_equal(bytes[i], written ? 0 : 0xff);
	}
	fixture_destroy(f);
}

/* Each event would cost as much as the driver likes. */
static void test_many_parts(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	uint64_t at = guest_alloc(f->guest, 4096, 4096);
	struct guest_part parts[9];

	(void)state;
	for (size_t i = 0; i < 9; i++)
		parts[i] = (struct guest_part){ at + i * 64, 8 };
	assert_true(guest_submit(&f->guest->queues[1], parts, 0, 8) >= 0);
	assert_true(guest_submit(&f->guest->queues[1], parts, 0, 9) >= 0);
	assert_int_equal(push(f, 64), 0);
	assert_int_equal(push(f, 64), -EPROTO);
	assert_broken(f, "queue 1: a chain of more descriptors than the device takes");
	fixture_destroy(f);
}

/* The kick is not repeated: what is taken from a queue must not wait for anything. */
static void test_needs_no_memory(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	__atomic_store_n(&no_memory, 1, __ATOMIC_SEQ_CST);
	assert_echo(f);
	post(f, 64, 0);
	assert_int_equal(push(f, 64), 0);
	__atomic_store_n(&no_memory, 0, __ATOMIC_SEQ_CST);
	fixture_destroy(f);
}

/* Requests to push 64 bytes, which one kick tells of. */
static void submit_pushes(struct fixture *f, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		const struct guest_part parts[2] = { { guest_alloc(f->guest, 64, 8), 5 },
						     { guest_alloc(f->guest, 64, 8), 4 } };

		memcpy(guest_ptr(f->guest, parts[0].addr, 5), "p\100\0\0\0", 5);
		assert_true(guest_submit(&f->guest->queues[0], parts, 1, 1) >= 0);
	}
	guest_kick(&f->guest->queues[0]);
}

static void test_one_signal_for_many(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	struct guest_queue *q = &f->guest->queues[1];
	struct pollfd call = { .fd = q->call_fd, .events = POLLIN };
	uint64_t count = 0;
	uint16_t head;
	uint32_t len;

	(void)state;
	for (int i = 0; i < 10; i++)
		post(f, 64, 0);
	submit_pushes(f, 10);
	assert_int_equal(poll(&call, 1, VMM_TIMEOUT_MS), 1);
	/* What comes later would have come before this. */
	assert_true(vmm_alive(f->vmm));
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(read(call.fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(guest_poll(q, &head, &len), 0);
	fixture_destroy(f);
}

/*
 * A pause in the same round as a push: the driver hears of the push, as it does not look for
 * itself when it goes on.  A kick of queue 1 holds the device until all of it is there.
 */
static void test_signal_before_a_stop(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		const struct vu_vring_state off = { .index = 1 };
		struct fixture *f = fixture_ready(NULL);
		struct pollfd call = { .fd = f->guest->queues[1].call_fd, .events = POLLIN };

		assert_int_equal(push(f, 64), -EAGAIN);
		pthread_mutex_lock(&f->lock);
		post(f, 64, 0);
		guest_kick(&f->guest->queues[1]);
		submit_pushes(f, 1);
		assert_int_equal(vmm_send(f->vmm, VU_SET_VRING_ENABLE, 0, &off, sizeof(off), NULL,
					  0),
				 0);
		pthread_mutex_unlock(&f->lock);
		fixture_wait(f, &f->seen.stopped, 1);
		assert_true(vmm_alive(f->vmm));
		if (fixture_count(f, &f->seen.requests) == 2)
			assert_int_equal(poll(&call, 1, 0), 1);
		fixture_destroy(f);
	}
}

/* Queues that are broken lose their place unseen: the signal must not look for it. */
static void test_signal_when_memory_is_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct fixture *f = fixture_ready(NULL);
		const struct vmm_region *ram = &f->vmm->regions[0];
		const struct vu_mem_region_msg gone = {
			.region = { ram->guest_addr, ram->size, ram->user_addr, ram->offset },
		};
		struct pollfd call = { .fd = f->guest->queues[1].call_fd, .events = POLLIN };

		assert_int_equal(push(f, 64), -EAGAIN);
		pthread_mutex_lock(&f->lock);
		post(f, 64, 0);
		guest_kick(&f->guest->queues[1]);
		submit_pushes(f, 1);
		guest_publish(&f->guest->queues[0], QUEUE_SIZE);
		guest_kick(&f->guest->queues[0]);
		assert_int_equal(vmm_send(f->vmm, VU_REM_MEM_REG, 0, &gone, sizeof(gone), NULL,
					  0),
				 0);
		pthread_mutex_unlock(&f->lock);
		assert_true(vmm_alive(f->vmm));
		if (fixture_count(f, &f->seen.requests) == 2)
			assert_int_equal(poll(&call, 1, VMM_TIMEOUT_MS), 1);
		fixture_destroy(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_posted),
		cmocka_unit_test(test_in_order),
		cmocka_unit_test(test_too_small),
		cmocka_unit_test(test_readable_part),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_scattered),
		cmocka_unit_test(test_many_parts),
		cmocka_unit_test(test_needs_no_memory),
		cmocka_unit_test(test_one_signal_for_many),
		cmocka_unit_test(test_signal_before_a_stop),
		cmocka_unit_test(test_signal_when_memory_is_gone),
	};

	return cmocka_run_group_tests_name("vhost-user push", tests, NULL, NULL);
}
