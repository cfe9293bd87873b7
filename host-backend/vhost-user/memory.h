/* SPDX-License-Identifier: MIT */
/*
 * The memory table: which file is behind which guest address.
 *
 * vhost-user.rst, "Memory access": a region has a guest address (what the driver
 * writes into descriptors) and a user address (what the front-end writes into
 * SET_VRING_ADDR).  Regions are kept sorted by guest address, and do not overlap there.
 */
#ifndef VHOST_USER_MEMORY_H
#define VHOST_USER_MEMORY_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost_user.h"
#include "wire.h"

/*
 * What GET_MAX_MEM_SLOTS answers: each costs a file descriptor and a mapping.  More
 * than a VM with a memory backend for each of many DIMMs has.
 */
#define VU_MAX_MEM_SLOTS 128

/* All of a region are multiples of it. */
#define VU_MEM_ALIGN 4096

struct log_peer;
struct vu_mem_slot;

struct vu_mem {
	struct vu_mem_slot **slots; /* owned; sorted by guest address */
	size_t num_slots;
	uint64_t mapped, max_mapped;   /* bytes */
	volatile sig_atomic_t faulted; /* a page of it was lost: see guard.h */
	/* Regions that were looked at, in all calls: the price of a peer's request. */
	uint64_t steps;
	uint32_t touched;     /* pages that were read or written since they were mapped */
	struct log_peer *log; /* borrowed */
};

/* @max_mapped: the most that the regions of one table may take, bytes. */
void vu_mem_init(struct vu_mem *mem, uint64_t max_mapped, struct log_peer *log);
void vu_mem_finish(struct vu_mem *mem);

/*
 * Replaces the whole table by @n regions, each with one of @fds (taken: -1 afterwards,
 * also when this fails).  On failure the table is as it was: -EINVAL (a region
 * misaligned, empty, wrapping or overlapping), -EACCES (a file that cannot be shared
 * safely), -EFBIG (the file is smaller than the region), -ENOSPC (more than max_mapped
 * in all), or a negative errno of mmap(2).  The reason was logged.
 */
int vu_mem_set(struct vu_mem *mem, const struct vu_mem_region *regions, size_t n, int *fds);
/* One more.  As vu_mem_set(); -ENOSPC: VU_MAX_MEM_SLOTS are there, too. */
int vu_mem_add(struct vu_mem *mem, const struct vu_mem_region *region, int *fd);
/* Named by guest address, user address and size.  -ENOENT: there is none. */
int vu_mem_remove(struct vu_mem *mem, const struct vu_mem_region *region);

/*
 * Where [@user_addr, + @len) is mapped; NULL: not within one region.  Valid until the
 * table changes.
 */
void *vu_mem_from_user(const struct vu_mem *mem, uint64_t user_addr, uint64_t len);

/* Whether all of [@addr, + @len) is in the table, over any number of regions. */
bool vu_mem_contains(struct vu_mem *mem, uint64_t addr, uint64_t len);

/*
 * Copy between guest memory and @buf.  False: a part is not in the table; then nothing
 * was written.
 */
bool vu_mem_read(struct vu_mem *mem, uint64_t addr, void *buf, size_t len);
bool vu_mem_write(struct vu_mem *mem, uint64_t addr, const void *buf, size_t len);

/* vu_mem_walk() of vhost_user.h. */
int vu_mem_walk_files(struct vu_mem *mem, uint64_t addr, uint64_t len, vu_mem_fn fn, void *arg);

/*
 * Maps the files anew and clears mem->faulted and mem->touched: pages that were lost are
 * there again if the file has them, and the page tables of the old mapping are freed, which
 * madvise(2) does not do.  What vu_mem_from_user() returned is invalid, also after a failure
 * (a negative errno of mmap(2)), when some regions are mapped as they were.
 */
int vu_mem_remap(struct vu_mem *mem);

#endif /* VHOST_USER_MEMORY_H */
