/* SPDX-License-Identifier: MIT */
/* Guest memory whose pages are gone: the daemon lives, that guest's queues do not. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "guard.h"

#define HUGE (UINT64_C(2) << 20)

/* The handler alone, with a file that is cut. */
static void test_guard(void **state)
{
	volatile sig_atomic_t first = 0, second = 0;
	struct vu_guard guards[2] = { { 0 } };
	int fd = vmm_memfd(8192, 0, false);
	volatile char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *other = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	(void)state;
	assert_true(map != MAP_FAILED && other != MAP_FAILED);
	assert_int_equal(vu_guard_add(&guards[0], (void *)map, 8192, 4096, &first), 0);
	assert_int_equal(vu_guard_add(&guards[1], other, 8192, 4096, &second), 0);
	map[0] = 1;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(first, 0);
	map[4096] = 7;
	assert_int_equal(first, 1);
	assert_int_equal(second, 0);
	assert_int_equal(map[4096], 7);
	assert_int_equal(map[0], 1);
	vu_guard_remove(&guards[0]);
	vu_guard_remove(&guards[0]);
	other[8191] = 1;
	assert_int_equal(second, 1);
	vu_guard_remove(&guards[1]);
	munmap((void *)map, 8192);
	munmap(other, 8192);
	close(fd);
}

/* Huge pages that nobody reserved: the file has its size, an access has no page. */
static int empty_huge_file(void)
{
	int fd = vmm_memfd(HUGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, true);
	unsigned char there = 1;
	void *map;

	if (fd < 0)
		return -1;
	/* MAP_POPULATE allocates what it can, and says nothing when it cannot. */
	map = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_POPULATE,
		   fd, 0);
	if (map != MAP_FAILED) {
		(void)mincore(map, 4096, &there);
		munmap(map, HUGE);
	}
	if (map == MAP_FAILED || there) {
		close(fd);
		return -1;
	}
	return fd;
}

static void test_no_huge_pages(void **state)
{
	int fd = empty_huge_file();
	const struct vmm_region regions[] = {
		{ .guest_addr = 0, .size = 16 << 20 },
		{ .guest_addr = 1 << 30, .size = HUGE, .fd = fd },
	};
	struct vmm_options options = { .regions = regions, .num_regions = 2 };
	struct fixture *f;

	(void)state;
	if (fd < 0) {
		print_message("the host has huge pages to spare, or none at all\n");
		skip();
	}
	f = fixture_ready(&options);
	assert_echo(f);
	guest_set_desc(&f->guest->queues[0], 0, 1 << 30, 16, 0, 0);
	guest_publish(&f->guest->queues[0], 0);
	guest_kick(&f->guest->queues[0]);
	assert_broken(f, "a page of guest memory is gone");
	/* A new driver that does not touch it works. */
	assert_int_equal(guest_stop(f->guest), 0);
	guest_reset(f->guest);
	assert_int_equal(guest_start(f->guest), 0);
	assert_echo(f);
	fixture_destroy(f);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_no_huge_pages),
	};

	return cmocka_run_group_tests_name("vhost-user sigbus", tests, NULL, NULL);
}
