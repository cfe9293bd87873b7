/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* What a driver must not do, and what becomes of it: virtio 1.3, 2.7. */
static struct fixture *ready(void)
{
	struct fixture *f = fixture_ready(NULL);

	/* Not at index 0, where a restart could be a reset. */
	assert_echo(f);
	return f;
}

static struct guest_queue *requests(struct fixture *f)
{
	return &f->guest->queues[0];
}

/* Makes the chain at descriptor 0 available; the queues break with @text, until a reset. */
static void breaks(struct fixture *f, const char *text)
{
	struct guest_queue *q = requests(f);

	guest_publish(q, 0);
	guest_kick(q);
	assert_broken(f, text);
	/* One line, however often the driver kicks. */
	for (int i = 0; i < 10; i++)
		guest_kick(q);
	assert_true(vmm_alive(f->vmm));
	assert_int_equal(fixture_count_log(f, "does nothing more"), 1);
	/* A pause is no reset. */
	assert_int_equal(guest_stop(f->guest), 0);
	assert_int_equal(guest_start(f->guest), 0);
	assert_int_equal(fixture_count(f, &f->seen.started), 1);
	assert_int_equal(guest_stop(f->guest), 0);
	guest_reset(f->guest);
	assert_int_equal(guest_start(f->guest), 0);
	assert_echo(f);
	fixture_destroy(f);
}

static void test_loop_of_one(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 16, GUEST_DESC_NEXT, 0);
	breaks(f, "loops");
}

static void test_loop_of_two(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 16, GUEST_DESC_NEXT, 1);
	guest_set_desc(requests(f), 1, f->guest->scratch, 16, GUEST_DESC_NEXT, 0);
	breaks(f, "loops");
}

static void test_next_beyond_table(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 16, GUEST_DESC_NEXT, QUEUE_SIZE);
	breaks(f, "beyond the queue's size");
}

static void test_head_beyond_table(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_publish(requests(f), 65535);
	breaks(f, "beyond the queue's size");
}

static void test_index_jump(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_avail_idx(requests(f), (uint16_t)(requests(f)->avail_idx + QUEUE_SIZE));
	breaks(f, "jumped");
}

static void test_index_backwards(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_avail_idx(requests(f), (uint16_t)(requests(f)->avail_idx - 2));
	breaks(f, "jumped");
}

static void test_outside_memory(void **state)
{
	const uint64_t end = 16 << 20;
	const struct guest_part bad[] = {
		{ end, 1 },
		{ end - 8, 16 },
		{ UINT64_C(1) << 40, 64 },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX - 7, 16 },
		{ 0, UINT32_MAX },
		/* A user address is not a guest address. */
		{ UINT64_C(0x7f0000000000), 16 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct fixture *f = ready();

		guest_set_desc(requests(f), 0, bad[i].addr, bad[i].len, 0, 0);
		breaks(f, "outside of guest memory");
		f = ready();
		guest_set_desc(requests(f), 0, f->guest->scratch, 16, GUEST_DESC_NEXT, 1);
		guest_set_desc(requests(f), 1, bad[i].addr, bad[i].len, GUEST_DESC_WRITE, 0);
		breaks(f, "outside of guest memory");
	}
}

static void test_hole(void **state)
{
	const struct vmm_region regions[] = {
		{ .guest_addr = 0, .size = 16 << 20 },
		{ .guest_addr = 32 << 20, .size = 16 << 20 },
	};
	struct vmm_options options = { .regions = regions, .num_regions = 2 };
	struct fixture *f = fixture_ready(&options);

	(void)state;
	assert_echo(f);
	guest_set_desc(requests(f), 0, (16 << 20) - 8, (16 << 20) + 16, 0, 0);
	breaks(f, "outside of guest memory");
}

static void test_readable_after_writable(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 16, GUEST_DESC_WRITE | GUEST_DESC_NEXT,
		       1);
	guest_set_desc(requests(f), 1, f->guest->scratch, 16, 0, 0);
	breaks(f, "device-readable descriptor after");
}

static void test_indirect(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 32, GUEST_DESC_INDIRECT, 0);
	breaks(f, "indirect");
}

static void test_length_0(void **state)
{
	struct fixture *f = ready();

	(void)state;
	guest_set_desc(requests(f), 0, f->guest->scratch, 0, 0, 0);
	breaks(f, "length 0");
}

/* Every descriptor of the queue, a byte each: legal, if odd. */
static void test_longest_chain(void **state)
{
	struct fixture *f = ready();
	struct guest_queue *q = requests(f);
	struct guest_part parts[QUEUE_SIZE];
	uint8_t *in = guest_ptr(f->guest, f->guest->scratch, 4096);
	uint16_t head;
	uint32_t len;

	(void)state;
	for (size_t i = 0; i < QUEUE_SIZE; i++) {
		bool out = i < QUEUE_SIZE / 2;

		parts[i].addr = f->guest->scratch + (out ? 0 : 1024) + i * 3;
		parts[i].len = 1;
		in[i * 3] = (uint8_t)(i ? i : OP_ECHO);
	}
	assert_int_equal(guest_submit(q, parts, QUEUE_SIZE / 2, QUEUE_SIZE / 2), 0);
	guest_kick(q);
	assert_int_equal(guest_wait(q, &head, &len), 0);
	assert_int_equal(len, QUEUE_SIZE / 2);
	for (size_t i = 0; i < QUEUE_SIZE / 2; i++)
		assert_int_equal(in[1024 + (QUEUE_SIZE / 2 + i) * 3], i ? i : OP_ECHO);
	fixture_destroy(f);
}

/* A queue of @size entries, and a region of @sparse bytes at 1 TiB. */
static struct fixture *big(uint16_t size, uint64_t sparse, int fd)
{
	const struct vmm_region regions[] = {
		{ .guest_addr = 0, .size = 16 << 20 },
		{ .guest_addr = UINT64_C(1) << 40, .size = sparse, .fd = fd },
	};
	struct vmm_options options = { .regions = regions, .num_regions = sparse ? 2 : 1 };
	struct fixture *f = fixture_handshake(&options);

	assert_int_equal(guest_create(&f->guest, f->vmm, DEVICE_QUEUES, size), 0);
	assert_int_equal(guest_start(f->guest), 0);
	fixture_wait(f, &f->seen.started, 1);
	assert_echo(f);
	return f;
}

/* 128 descriptors are a request, 129 are too many. */
static void test_too_many_descriptors(void **state)
{
	struct fixture *f = big(256, 0, -1);
	struct guest_part parts[129];
	uint16_t head;
	uint32_t len;

	(void)state;
	for (size_t i = 0; i < 129; i++)
		parts[i] = (struct guest_part){ f->guest->scratch, 1 };
	assert_true(guest_submit(requests(f), parts, 127, 1) >= 0);
	guest_kick(requests(f));
	assert_int_equal(guest_wait(requests(f), &head, &len), 0);
	assert_true(guest_submit(requests(f), parts, 128, 1) >= 0);
	guest_kick(requests(f));
	assert_broken(f, "a chain of more descriptors than the device takes");
	fixture_destroy(f);
}

/* A line of /proc/self/status, in KiB. */
static long status_kib(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtol(line + strlen(name), NULL, 10);
	}
	(void)fclose(file);
	assert_true(kib >= 0);
	return kib;
}

/*
 * Bytes that are 2 MiB apart: each costs a page, and a page of page tables.  The device keeps
 * some thousand pages mapped, not as many as the guest has.
 */
static void test_pages_are_forgotten(void **state)
{
	const uint64_t base = UINT64_C(1) << 40, step = 2 << 20;
	int fd = vmm_memfd(8192 * step, F_SEAL_SHRINK, false);
	struct fixture *f = big(256, 8192 * step, fd);
	struct guest_part parts[65];
	long rss = status_kib("RssShmem:"), tables = status_kib("VmPTE:");
	uint16_t head;
	uint32_t len;

	(void)state;
	for (uint64_t at = 0; at < 8192; at += 64) {
		for (size_t i = 0; i < 64; i++)
			parts[i] = (struct guest_part){ base + (at + i) * step, 1 };
		parts[64] = (struct guest_part){ f->guest->scratch, 64 };
		assert_true(guest_submit(requests(f), parts, 64, 1) >= 0);
		guest_kick(requests(f));
		assert_int_equal(guest_wait(requests(f), &head, &len), 0);
	}
	/*
	 * 1,024 pages and a request are 4.3 MiB of each; all would be 32.  (An address
	 * sanitizer's shadow has page tables as well, which stay.)
	 */
	assert_true(status_kib("RssShmem:") - rss < 6144);
	assert_true(status_kib("VmPTE:") - tables < 12288);
	assert_echo(f);
	fixture_destroy(f);
	close(fd);
}

/* A full queue, made available at once. */
static void test_full_queue(void **state)
{
	struct fixture *f = ready();
	struct guest_queue *q = requests(f);
	const struct guest_part parts[2] = { { f->guest->scratch, 8 },
					     { f->guest->scratch + 4096, 8 } };
	uint16_t head;
	uint32_t len;

	(void)state;
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < QUEUE_SIZE / 2; i++)
			assert_true(guest_submit(q, parts, 1, 1) >= 0);
		guest_kick(q);
		for (int i = 0; i < QUEUE_SIZE / 2; i++)
			assert_int_equal(guest_wait(q, &head, &len), 0);
	}
	fixture_destroy(f);
}

/* The device gets at most a byte more than it allows, and the rest is never copied. */
static void test_too_long(void **state)
{
	struct fixture *f = ready();
	static char req[3 * DEVICE_MAX_REQUEST];
	uint32_t len = 1;

	(void)state;
	assert_int_equal(guest_request(requests(f), req, DEVICE_MAX_REQUEST, NULL, 0, &len), 0);
	assert_int_equal(f->seen.longest, DEVICE_MAX_REQUEST);
	assert_int_equal(guest_request(requests(f), req, sizeof(req), NULL, 0, &len), 0);
	assert_int_equal(f->seen.longest, DEVICE_MAX_REQUEST + 1);
	fixture_destroy(f);
}

static void test_no_room_for_the_response(void **state)
{
	struct fixture *f = ready();
	const char op = OP_ECHO;
	uint32_t len = 1;

	(void)state;
	assert_int_equal(guest_request(requests(f), &op, 1, NULL, 0, &len), 0);
	assert_int_equal(len, 0);
	fixture_wait_log(f, "leaves only 0 bytes");
	assert_echo(f);
	fixture_destroy(f);
}

/* More room than max_response: the device sees max_response. */
static void test_much_room(void **state)
{
	struct fixture *f = ready();
	static char req[DEVICE_MAX_REQUEST + 1], resp[8 * DEVICE_MAX_RESPONSE];
	uint32_t len = 0;

	(void)state;
	req[0] = OP_ECHO;
	assert_int_equal(guest_request(requests(f), req, sizeof(req), resp, sizeof(resp), &len), 0);
	assert_int_equal(len, DEVICE_MAX_RESPONSE);
	fixture_destroy(f);
}

static void test_copied_bytes_are_counted(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	char req[100] = { OP_EMPTY }, resp[100];
	uint64_t before;
	uint32_t len;

	(void)state;
	assert_int_equal(guest_request(requests(f), req, sizeof(req), resp, sizeof(resp), &len), 0);
	before = f->copied;
	assert_int_equal(before, 100);
	req[0] = OP_ECHO;
	assert_int_equal(guest_request(requests(f), req, sizeof(req), resp, sizeof(resp), &len), 0);
	req[0] = OP_EMPTY;
	assert_int_equal(guest_request(requests(f), req, sizeof(req), resp, sizeof(resp), &len), 0);
	assert_int_equal(f->copied - before, 300);
	fixture_destroy(f);
}

/* The ring and the payload far up, and a chain that crosses from one region to the next. */
static void test_high_memory_and_crossing(void **state)
{
	const uint64_t high = UINT64_C(5) << 32;
	const struct vmm_region regions[] = {
		{ .guest_addr = high, .size = 1 << 20 },
		{ .guest_addr = high + (1 << 20), .size = 1 << 20 },
	};
	struct vmm_options options = { .regions = regions, .num_regions = 2 };
	struct fixture *f = fixture_ready(&options);
	const uint64_t edge = high + (1 << 20);
	const struct guest_part parts[2] = { { edge - 8, 16 }, { edge - 40, 16 } };
	uint8_t *low = vmm_ptr(f->vmm, edge - 64, 64), *up = vmm_ptr(f->vmm, edge, 64);
	uint16_t head;
	uint32_t len;

	(void)state;
	assert_echo(f);
	for (uint8_t i = 0; i < 8; i++) {
		low[56 + i] = i ? i : OP_ECHO;
		up[i] = (uint8_t)(8 + i);
	}
	assert_int_equal(guest_submit(requests(f), parts, 1, 1), 0);
	guest_kick(requests(f));
	assert_int_equal(guest_wait(requests(f), &head, &len), 0);
	assert_int_equal(len, 16);
	for (uint8_t i = 0; i < 16; i++)
		assert_int_equal(low[24 + i], i ? i : OP_ECHO);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_of_one),
		cmocka_unit_test(test_loop_of_two),
		cmocka_unit_test(test_next_beyond_table),
		cmocka_unit_test(test_head_beyond_table),
		cmocka_unit_test(test_index_jump),
		cmocka_unit_test(test_index_backwards),
		cmocka_unit_test(test_outside_memory),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_readable_after_writable),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_length_0),
		cmocka_unit_test(test_longest_chain),
		cmocka_unit_test(test_too_many_descriptors),
		cmocka_unit_test(test_pages_are_forgotten),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_no_room_for_the_response),
		cmocka_unit_test(test_much_room),
		cmocka_unit_test(test_copied_bytes_are_counted),
		cmocka_unit_test(test_high_memory_and_crossing),
	};

	return cmocka_run_group_tests_name("vhost-user ring", tests, NULL, NULL);
}
