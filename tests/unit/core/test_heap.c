/* SPDX-License-Identifier: MIT */
/*
 * What buffers cost: heap for each live buffer, and no allocation for a frame.
 * Counts what malloc() gave, its own rounding included.
 */
#include "fixture.h"

#include <malloc.h>
#include <stdlib.h>

#define NUM 1000
#define MALLOC_HEADER 8 /* glibc, a chunk's size field */

static size_t heap, calls;

/*
 * The linker sends the core's calls here (--wrap), so that the test's own and
 * cmocka's are not counted.
 */
void *__real_malloc(size_t size);			     /* NOLINT */
void *__real_calloc(size_t n, size_t size);		     /* NOLINT */
void *__real_reallocarray(void *old, size_t n, size_t size); /* NOLINT */
void __real_free(void *p);				     /* NOLINT */
void *__wrap_malloc(size_t size);			     /* NOLINT */
void *__wrap_calloc(size_t n, size_t size);		     /* NOLINT */
void *__wrap_reallocarray(void *old, size_t n, size_t size); /* NOLINT */
void __wrap_free(void *p);				     /* NOLINT */

static void *count(void *p)
{
	calls++;
	if (p)
		heap += malloc_usable_size(p) + MALLOC_HEADER;
	return p;
}

static void discount(void *p)
{
	if (p)
		heap -= malloc_usable_size(p) + MALLOC_HEADER;
}

void *__wrap_malloc(size_t size) /* NOLINT */
{
	return count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) /* NOLINT */
{
	return count(__real_calloc(n, size));
}

void *__wrap_reallocarray(void *old, size_t n, size_t size) /* NOLINT */
{
	discount(old);
	return count(__real_reallocarray(old, n, size));
}

void __wrap_free(void *p) /* NOLINT */
{
	discount(p);
	__real_free(p);
}

static struct core_limits roomy(void)
{
	struct core_limits limits = test_limits;

	limits.max_buffers = 2 * NUM;
	limits.max_bytes = (uint64_t)1 << 40;
	limits.max_extents = 100000;
	return limits;
}

static struct peer *roomy_peer(struct fixture *f)
{
	static const struct peer_ops none;
	struct core_limits limits = roomy();
	struct peer *peer;

	assert_int_equal(peer_create(f->core, PEER_GUEST, "roomy", false, &limits, &none, NULL,
				     &peer),
			 0);
	return peer;
}

static void test_heap_for_a_buffer_of_one_extent(void **state)
{
	struct fixture *f = *state;
	struct actor owner = { .peer = roomy_peer(f) };
	size_t before = heap, each;

	for (uint64_t i = 0; i < NUM; i++)
		make_buffer(f, &owner, i, 1);
	each = (heap - before) / NUM;
	print_message("%zu bytes of heap for a live buffer of one extent\n", each);
	assert_true(each > sizeof(struct virtio_bufshare_desc));
	assert_true(each < 512);
	peer_destroy(owner.peer);
}

/* 33,177 pages in no order: an 8K picture of single pages. */
static void test_heap_for_many_extents(void **state)
{
	enum { PAGES = 33177, CHUNK = 4000 };
	struct fixture *f = *state;
	struct actor owner = { .peer = roomy_peer(f) };
	struct buffer *buffer = make_filling(&owner, (uint64_t)PAGES * PAGE, PAGES);
	static struct extent chunk[CHUNK];
	size_t before = heap;
	uint32_t num;

	for (uint32_t first = 0; first < PAGES; first += CHUNK) {
		uint32_t n = PAGES - first < CHUNK ? PAGES - first : CHUNK;

		for (uint32_t i = 0; i < n; i++)
			chunk[i] = ram_extent(f, (uint64_t)2 * (first + i), 1);
		assert_int_equal(buffer_add_extents(buffer, first, n, chunk, n), 0);
	}
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_LIVE);
	(void)buffer_extents(buffer, &num);
	assert_int_equal(num, PAGES);
	assert_true(heap - before < PAGES * sizeof(struct extent) + 4096);
	peer_destroy(owner.peer);
}

/* Held by a client, and charged to nobody: little must be left of it. */
static void test_heap_for_orphans(void **state)
{
	enum { EXTENTS = 1000 };
	struct fixture *f = *state;
	struct actor owner = { .peer = roomy_peer(f) };
	static struct extent extents[EXTENTS];
	size_t before = heap;
	struct buffer *got;

	for (uint64_t i = 0; i < EXTENTS; i++)
		extents[i] = ram_extent(f, 2 * i, 1);
	for (uint32_t i = 0; i < test_limits.max_holds; i++) {
		struct buffer *buffer = make_filling(&owner, EXTENTS * PAGE, EXTENTS);

		assert_int_equal(buffer_add_extents(buffer, 0, EXTENTS, extents, EXTENTS), 0);
		assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
		peer_reset(owner.peer);
	}
	print_message("%zu bytes of heap for a held buffer whose owner reset\n",
		      (heap - before) / test_limits.max_holds);
	assert_true((heap - before) / test_limits.max_holds < 768);
	peer_destroy(owner.peer);
}

static void test_coming_and_going_costs_nothing(void **state)
{
	struct fixture *f = *state;
	size_t before = 0;
	uint32_t users;

	for (int i = 0; i < NUM; i++) {
		buffer_destroy(make_buffer(f, &f->a, 0, 1), &users);
		stream_destroy(make_stream(&f->a, "s", 4));
		if (i == 0)
			before = heap;
	}
	assert_int_equal(heap, before);
}

static void test_frames_allocate_nothing(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 4);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1);
	struct consumer *c = join(&f->c, &f->a, "s");
	size_t before = calls;

	for (uint64_t i = 1; i < 20; i++) {
		assert_int_equal(publish(s, buffer, i), 0);
		assert_int_equal(consumer_release(c, i), 0);
	}
	assert_int_equal(calls, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_heap_for_a_buffer_of_one_extent, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_heap_for_many_extents, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_heap_for_orphans, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_coming_and_going_costs_nothing, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_frames_allocate_nothing, fixture_setup,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
