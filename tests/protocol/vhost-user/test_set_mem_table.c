/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fixture.h"

#define MIB UINT64_C(0x100000)
#define USER UINT64_C(0x600000000000)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int set(struct fixture *f, const struct vu_mem_region *regions, uint32_t n, size_t size,
	       const int *fds, size_t num_fds)
{
	struct vu_mem_table_msg msg = { .num_regions = n };

	for (uint32_t i = 0; i < n && i < VU_MAX_REGIONS; i++)
		msg.regions[i] = regions[i];
	return vmm_ack(f->vmm, VU_SET_MEM_TABLE, &msg, size, fds, num_fds);
}

/* One region, alone. */
static int set_one(struct fixture *f, struct vu_mem_region region, int fd)
{
	return set(f, &region, 1, 8 + 32, &fd, 1);
}

static int memfd(uint64_t size, int seals)
{
	int fd = vmm_memfd(size, seals, false);

	assert_true(fd >= 0);
	return fd;
}

/* What was refused changed nothing: the table that was there still serves. */
static void refused(struct vu_mem_region region, int fd, const char *text)
{
	struct fixture *f = fixture_ready(NULL);

	assert_refused(f, set_one(f, region, fd), text);
	assert_echo(f);
	fixture_destroy(f);
	close(fd);
}

static void test_empty_region(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 0, 0, USER, 0 }, memfd(MIB, SEALS), "empty");
}

static void test_misaligned(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 512, MIB, USER, 0 }, memfd(2 * MIB, SEALS), "multiple");
	refused((struct vu_mem_region){ 0, MIB - 1, USER, 0 }, memfd(2 * MIB, SEALS), "multiple");
	refused((struct vu_mem_region){ 0, MIB, USER, 1 }, memfd(2 * MIB, SEALS), "multiple");
}

static void test_wraps(void **state)
{
	const uint64_t top = UINT64_MAX & ~UINT64_C(0xfff);

	(void)state;
	refused((struct vu_mem_region){ top, MIB, USER, 0 }, memfd(MIB, SEALS), "wraps");
	refused((struct vu_mem_region){ 0, MIB, top, 0 }, memfd(MIB, SEALS), "wraps");
	refused((struct vu_mem_region){ 0, MIB, USER, top }, memfd(MIB, SEALS), "wraps");
	refused((struct vu_mem_region){ 0, top, USER, 0 }, memfd(MIB, SEALS), "wraps");
}

static void test_file_too_small(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 0, 2 * MIB, USER, 0 }, memfd(MIB, SEALS), "beyond the end");
	refused((struct vu_mem_region){ 0, MIB, USER, 4096 }, memfd(MIB, SEALS), "beyond the end");
}

static void test_not_sealed(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 0, MIB, USER, 0 }, memfd(MIB, 0), "memory-backend-memfd");
	refused((struct vu_mem_region){ 0, MIB, USER, 0 }, memfd(MIB, F_SEAL_GROW),
		"memory-backend-memfd");
}

static void test_not_a_memfd(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 0, 4096, USER, 0 }, open("/dev/zero", O_RDWR | O_CLOEXEC),
		"memory-backend-memfd");
	refused((struct vu_mem_region){ 0, 4096, USER, 0 }, eventfd(0, EFD_CLOEXEC),
		"memory-backend-memfd");
}

static void test_read_only(void **state)
{
	char path[64];
	int fd = memfd(MIB, SEALS), ro;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	refused((struct vu_mem_region){ 0, MIB, USER, 0 }, ro, "not open for read and write");
	close(fd);
}

static void test_write_sealed(void **state)
{
	(void)state;
	refused((struct vu_mem_region){ 0, MIB, USER, 0 }, memfd(MIB, SEALS | F_SEAL_WRITE),
		"sealed against writing");
	refused((struct vu_mem_region){ 0, MIB, USER, 0 }, memfd(MIB, SEALS | F_SEAL_FUTURE_WRITE),
		"sealed against writing");
}

static void test_overlap(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	const struct vu_mem_region regions[2] = {
		{ 0, 2 * MIB, f->vmm->regions[0].user_addr, 0 },
		{ 2 * MIB - 4096, MIB, USER, 4 * MIB },
	};
	const int fds[2] = { f->vmm->memfd, f->vmm->memfd };

	(void)state;
	assert_refused(f, set(f, regions, 2, 8 + 64, fds, 2), "overlap");
	assert_echo(f);
	fixture_destroy(f);
}

static void test_counts(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	const struct vu_mem_region regions[VU_MAX_REGIONS] = { { 0, MIB, USER, 0 } };
	int fds[VU_MAX_FDS];

	(void)state;
	for (size_t i = 0; i < VU_MAX_FDS; i++)
		fds[i] = f->vmm->memfd;
	/* More regions than fit, than came, than descriptors; fewer than descriptors. */
	assert_refused(f, set(f, regions, 9, 264, fds, 8), "at most 8");
	assert_refused(f, set(f, regions, UINT32_MAX, 264, fds, 8), "at most 8");
	assert_refused(f, set(f, regions, 1, 8, fds, 1), "1 memory regions in 8 bytes");
	assert_refused(f, set(f, regions, 1, 8 + 32, fds, 0), "with 0 descriptors");
	assert_refused(f, set(f, regions, 1, 8 + 32, fds, 2), "with 2 descriptors");
	assert_refused(f, set(f, regions, 0, 8, fds, 1), "with 1 descriptors");
	assert_echo(f);
	fixture_destroy(f);
}

/* The rings are found anew when the same memory comes again, elsewhere or in pieces. */
static void test_again_while_running(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	const uint64_t user = f->vmm->regions[0].user_addr;
	const struct vu_mem_region halves[2] = {
		{ 0, 8 * MIB, user, 0 },
		{ 8 * MIB, 8 * MIB, user + 8 * MIB, 8 * MIB },
	};
	const int fds[2] = { f->vmm->memfd, f->vmm->memfd };

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(set(f, halves, 2, 8 + 64, fds, 2), 0);
		assert_echo(f);
		assert_int_equal(set_one(f, (struct vu_mem_region){ 0, 16 * MIB, user, 0 },
					 f->vmm->memfd),
				 0);
		assert_echo(f);
	}
	fixture_destroy(f);
}

/* Without the rings in it: they are gone for good. */
static void test_rings_gone(void **state)
{
	struct fixture *f = fixture_ready(NULL);

	(void)state;
	assert_int_equal(set_one(f, (struct vu_mem_region){ 0, MIB, USER, 0 }, f->vmm->memfd), 0);
	assert_broken(f, "not in the memory table");
	assert_int_equal(set(f, NULL, 0, 8, NULL, 0), 0);
	assert_true(vmm_alive(f->vmm));
	fixture_destroy(f);
}

/* Files of holes cost a VMM nothing, but our address space, which all VMs share. */
static void test_too_much(void **state)
{
	struct fixture *f = fixture_ready(NULL);
	const uint64_t user = f->vmm->regions[0].user_addr;
	const uint64_t top = DEVICE_MAX_MEMORY + 4096;
	const struct vu_mem_region parts[2] = {
		{ 0, 16 * MIB, user, 0 },
		{ 16 * MIB, DEVICE_MAX_MEMORY - 16 * MIB, USER, 0 },
	};
	int fds[2] = { f->vmm->memfd, memfd(top, SEALS) };

	(void)state;
	assert_refused(f, set_one(f, (struct vu_mem_region){ 0, top, USER, 0 }, fds[1]),
		       "--max-ram");
	assert_echo(f);
	/* Exactly as much is possible, again and again: a new table replaces the old one. */
	for (int i = 0; i < 200; i++)
		assert_int_equal(set(f, parts, 2, 8 + 64, fds, 2), 0);
	assert_echo(f);
	close(fds[1]);
	fixture_destroy(f);
}

/* No page of a guest may be found in a core dump of the daemon: proc(5), VmFlags "dd". */
static void test_not_dumped(void **state)
{
	struct fixture *f = fixture_handshake(NULL);
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool ours = false;
	char line[512];
	int without = 0;

	(void)state;
	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		/* The first line of a mapping is the only one that starts with an address. */
		if (strcspn(line, "-") < strcspn(line, ": "))
			ours = strstr(line, "memfd:guest-ram");
		if (ours && strncmp(line, "VmFlags:", 8) == 0)
			without += !strstr(line, " dd");
	}
	(void)fclose(smaps);
	/* The VMM of this test has mapped it as well. */
	assert_int_equal(without, 1);
	fixture_destroy(f);
}

static void test_shape(void **state)
{
	(void)state;
	assert_size_checked(VU_SET_MEM_TABLE, 8, 264, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty_region),
		cmocka_unit_test(test_misaligned),
		cmocka_unit_test(test_wraps),
		cmocka_unit_test(test_file_too_small),
		cmocka_unit_test(test_not_sealed),
		cmocka_unit_test(test_not_a_memfd),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_write_sealed),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_again_while_running),
		cmocka_unit_test(test_rings_gone),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_not_dumped),
		cmocka_unit_test(test_shape),
	};

	return cmocka_run_group_tests_name("vhost-user set_mem_table", tests, NULL, NULL);
}
