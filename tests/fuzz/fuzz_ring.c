/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue whose memory is the input: descriptor table, available ring and used ring
 * of eight entries, at the start of a region of 16 KiB with a second one far above it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "memory.h"
#include "ring.h"

#define SIZE	  UINT64_C(0x4000)
#define USER	  UINT64_C(0x700000)
#define HIGH	  (UINT64_C(1) << 40)
#define AVAIL	  0x100
#define USED	  0x200
#define MAX_CHAIN 6
#define MAX_READ  300
#define MAX_WRITE 200

static struct vu_mem mem;
static uint8_t *map;

static void quiet(enum log_level level, const char *peer, const char *line)
{
	(void)level;
	(void)peer;
	(void)line;
}

static void prepare(void)
{
	static struct log_peer log;
	const struct vu_mem_region regions[2] = {
		{ 0, SIZE, USER, 0 },
		{ HIGH, SIZE, USER + SIZE, SIZE },
	};
	int fd, fds[2];

	if (map)
		return;
	log_set_sink(quiet);
	log_peer_init(&log, "fuzz");
	vu_mem_init(&mem, 2 * SIZE, &log);
	fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fds[0] = dup(fd); // NOLINT(android-cloexec-dup)
	fds[1] = dup(fd); // NOLINT(android-cloexec-dup)
	if (fd < 0 || ftruncate(fd, 2 * SIZE) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0 ||
	    vu_mem_set(&mem, regions, 2, fds) < 0)
		abort();
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t answer[MAX_WRITE];
	uint8_t buf[MAX_READ];
	struct vu_chain chain;
	struct vu_ring ring = {
		.num = 8,
		.addr = { .descriptor = USER, .available = USER + AVAIL, .used = USER + USED },
	};
	const char *why = NULL;
	int r = 1;

	prepare();
	if (vu_chain_init(&chain, MAX_CHAIN) < 0)
		abort();
	memset(map, 0, SIZE);
	memcpy(map, data, size < SIZE ? size : SIZE);
	if (vu_ring_resolve(&ring, &mem) < 0)
		abort();
	vu_ring_start(&ring);
	/* What is written may change the ring itself: the driver may do that to itself. */
	for (int i = 0; i < 64 && r > 0; i++) {
		uint32_t n;

		r = vu_ring_pop(&ring, &mem, &chain, buf, sizeof(buf), MAX_WRITE, &why);
		if (r == -EPROTO && !why)
			abort();
		if (r <= 0)
			break;
		if (chain.head >= ring.num || chain.num_descriptors > MAX_CHAIN ||
		    chain.copied > sizeof(buf) || chain.copied > chain.readable ||
		    chain.num_segments > MAX_CHAIN)
			abort();
		n = chain.writable < MAX_WRITE ? (uint32_t)chain.writable : MAX_WRITE;
		if (!vu_ring_write(&mem, &chain, answer, n))
			abort();
		vu_ring_push(&ring, &chain, n);
		(void)vu_ring_wants_call(&ring);
	}
	vu_chain_finish(&chain);
	return 0;
}

static void put_desc(uint8_t *buf, size_t index, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	memcpy(buf + index * 16, &addr, 8);
	memcpy(buf + index * 16 + 8, &len, 4);
	memcpy(buf + index * 16 + 12, &flags, 2);
	memcpy(buf + index * 16 + 14, &next, 2);
}

size_t fuzz_seed(unsigned int n, uint8_t *buf)
{
	const uint16_t avail[4][10] = { { 0, 1, 0 }, { 0, 3, 0, 2, 4 }, { 1, 8, 0, 0, 0, 0 } };

	if (n > 2)
		return 0;
	memset(buf, 0, AVAIL + 32);
	put_desc(buf, 0, 0x1000, 64, 1, 1);
	put_desc(buf, 1, 0x2000, 64, 2, 0);
	put_desc(buf, 2, HIGH, SIZE, 1, 3);
	put_desc(buf, 3, HIGH + 0x1000, 128, 2, 0);
	put_desc(buf, 4, 0x800, 8, 1, 5);
	put_desc(buf, 5, 0x900, 8, 3, 6);
	put_desc(buf, 6, 0xa00, 8, 3, 7);
	put_desc(buf, 7, 0xb00, 8, 2, 0);
	memcpy(buf + AVAIL, avail[n], sizeof(avail[n]));
	return AVAIL + sizeof(avail[n]);
}
