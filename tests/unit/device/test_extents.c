/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/internal.h"
#include "memory.h"

#define PAGE	    UINT64_C(4096)
#define NUM_REGIONS 64
#define NUM_EXTENTS 4080

/* Named as the linker's --wrap asks. */
int __real_arena_get(struct peer *owner, int fd, struct arena **ret_arena);
int __wrap_arena_get(struct peer *owner, int fd, struct arena **ret_arena);

static int lookups;

int __wrap_arena_get(struct peer *owner, int fd, struct arena **ret_arena)
{
	lookups++;
	return __real_arena_get(owner, fd, ret_arena);
}

/* The memory table of the test, in the place of a connection's. */
static struct vu_mem mem;

int vu_mem_walk(struct vu_conn *conn, uint64_t addr, uint64_t len, vu_mem_fn fn, void *arg)
{
	(void)conn;
	return vu_mem_walk_files(&mem, addr, len, fn, arg);
}

/* One file, opened anew for each region: each is an arena of its own, of the same number. */
static void make_memory(struct log_peer *log)
{
	int memfd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[32];

	assert_true(memfd >= 0);
	assert_int_equal(ftruncate(memfd, PAGE), 0);
	assert_int_equal(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	vu_mem_init(&mem, NUM_REGIONS * PAGE, log);
	for (uint64_t i = 0; i < NUM_REGIONS; i++) {
		const struct vu_mem_region region = {
			.guest_addr = i * 2 * PAGE,
			.user_addr = i * PAGE,
			.size = PAGE,
		};
		int fd = open(path, O_RDWR | O_CLOEXEC);

		assert_int_equal(vu_mem_add(&mem, &region, &fd), 0);
	}
	close(memfd);
}

/*
 * To find a file's arena takes system calls, as many as the guest has arenas: extents that
 * jump between regions cost them once for each region, and not once for each extent.
 */
static void test_one_lookup_for_each_region(void **state)
{
	static const struct core_limits limits = { .max_arenas = NUM_REGIONS };
	static const struct peer_ops ops;
	static struct virtio_bufshare_extent extents[NUM_EXTENTS];
	struct device device = { .conn = NULL };
	struct extent_list list;
	struct log_peer log;
	struct core *core;

	(void)state;
	log_peer_init(&log, "vm");
	make_memory(&log);
	assert_int_equal(core_create(&core), 0);
	assert_int_equal(peer_create(core, PEER_GUEST, "vm", false, &limits, &ops, NULL,
				     &device.peer),
			 0);
	for (uint64_t i = 0; i < NUM_EXTENTS; i++) {
		extents[i].addr = htole64(i % NUM_REGIONS * 2 * PAGE);
		extents[i].len = htole64(PAGE);
	}
	lookups = 0;
	assert_int_equal(extent_list_init(&list, &device, extents, NUM_EXTENTS), 0);
	assert_int_equal(lookups, NUM_REGIONS);
	assert_int_equal(list.num, NUM_EXTENTS);
	for (uint32_t i = 0; i < NUM_EXTENTS; i++) {
		assert_ptr_equal(list.extents[i].arena, list.extents[i % NUM_REGIONS].arena);
		assert_int_equal(list.extents[i].len, PAGE);
	}
	for (uint32_t i = 1; i < NUM_REGIONS; i++)
		assert_ptr_not_equal(list.extents[i].arena, list.extents[0].arena);
	extent_list_finish(&list);
	/* What fails half-way leaves none behind. */
	extents[NUM_EXTENTS - 1].addr = htole64(PAGE);
	assert_int_equal(extent_list_init(&list, &device, extents, NUM_EXTENTS), -EFAULT);
	peer_destroy(device.peer);
	core_destroy(core);
	vu_mem_finish(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_lookup_for_each_region),
	};

	return cmocka_run_group_tests_name("device extents", tests, NULL, NULL);
}
