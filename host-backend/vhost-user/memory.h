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
	volatile sig_atomic_t faulted; /* a page of it was lost: see guard.h */
	struct log_peer *log;	       /* borrowed */
};

void vu_mem_init(struct vu_mem *mem, struct log_peer *log);
void vu_mem_finish(struct vu_mem *mem);

/*
 * Replaces the whole table by @n regions, each with one of @fds (taken: -1 afterwards,
 * also when this fails).  On failure the table is as it was: -EINVAL (a region
 * misaligned, empty, wrapping or overlapping), -EACCES (a file that cannot be shared
 * safely), -EFBIG (the file is smaller than the region), or a negative errno of mmap(2).
 * The reason was logged.
 */
int vu_mem_set(struct vu_mem *mem, const struct vu_mem_region *regions, size_t n, int *fds);
/* One more.  As vu_mem_set(), and -ENOSPC: VU_MAX_MEM_SLOTS are there. */
int vu_mem_add(struct vu_mem *mem, const struct vu_mem_region *region, int *fd);
/* Named by guest address, user address and size.  -ENOENT: there is none. */
int vu_mem_remove(struct vu_mem *mem, const struct vu_mem_region *region);

/*
 * Where [@user_addr, + @len) is mapped; NULL: not within one region.  Valid until the
 * table changes.
 */
void *vu_mem_from_user(const struct vu_mem *mem, uint64_t user_addr, uint64_t len);

/* Whether all of [@addr, + @len) is in the table, over any number of regions. */
bool vu_mem_contains(const struct vu_mem *mem, uint64_t addr, uint64_t len);

/*
 * Copy between guest memory and @buf.  False: a part is not in the table; then nothing
 * was written.
 */
bool vu_mem_read(const struct vu_mem *mem, uint64_t addr, void *buf, size_t len);
bool vu_mem_write(const struct vu_mem *mem, uint64_t addr, const void *buf, size_t len);

/* vu_mem_walk() of vhost_user.h. */
int vu_mem_walk_files(const struct vu_mem *mem, uint64_t addr, uint64_t len, vu_mem_fn fn,
		      void *arg);

/* After pages were lost: maps the files anew and clears mem->faulted. */
int vu_mem_remap(struct vu_mem *mem);

#endif /* VHOST_USER_MEMORY_H */
