/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation: a change builds the new table beside the old one and replaces
 * it only when every region of it is mapped and checked: a refused message changes
 * nothing.  Slots are allocated one by one, because the SIGBUS guard within each is
 * linked by its address.
 *
 * Only memfds that are sealed against shrinking are taken: with any other file the
 * front-end could cut it and let our next access fault, and udmabuf would refuse it.
 */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "checked.h"
#include "fd.h"
#include "guard.h"
#include "log.h"

#define HOW_TO_FIX "start QEMU with -object memory-backend-memfd,share=on (seal=on is its default)"

struct vu_mem_slot {
	struct vu_mem_region region;
	int fd;	      /* owned */
	dev_t dev;    /* of the file: */
	ino_t ino;    /* adjacent regions of one memfd arrive with an fd each */
	uint8_t *map; /* owned */
	size_t map_len; /* multiple of page_size, as is map_offset */
	uint64_t map_offset;
	size_t page_size; /* the file's */
	uint8_t *base; /* in map: where region.guest_addr is */
	struct vu_guard guard;
};

void vu_mem_init(struct vu_mem *mem, uint64_t max_mapped, struct log_peer *log)
{
	*mem = (struct vu_mem){ .max_mapped = max_mapped, .log = log };
}

static void slot_destroy(struct vu_mem_slot *slot)
{
	if (!slot)
		return;
	vu_guard_remove(&slot->guard);
	if (slot->map)
		(void)munmap(slot->map, slot->map_len);
	fd_close(&slot->fd);
	free(slot);
}

static void slots_destroy(struct vu_mem_slot **slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		slot_destroy(slots[i]);
	free(slots);
}

void vu_mem_finish(struct vu_mem *mem)
{
	slots_destroy(mem->slots, mem->num_slots);
	mem->slots = NULL;
	mem->num_slots = 0;
	mem->mapped = 0;
}

static int check_region(struct vu_mem *mem, const struct vu_mem_region *r)
{
	uint64_t end;

	if (r->size == 0 || !is_aligned(r->size | r->guest_addr | r->mmap_offset, VU_MEM_ALIGN)) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": size 0x%" PRIx64 ", offset 0x%" PRIx64
			 ": empty, or not a multiple of %d",
			 r->guest_addr, r->size, r->mmap_offset, VU_MEM_ALIGN);
		return -EINVAL;
	}
	if (!checked_add_u64(r->guest_addr, r->size, &end) ||
	    !checked_add_u64(r->user_addr, r->size, &end) ||
	    !checked_add_u64(r->mmap_offset, r->size, &end)) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64
			 ": an address plus the size 0x%" PRIx64 " wraps",
			 r->guest_addr, r->size);
		return -EINVAL;
	}
	return 0;
}

/* Whether the file can be shared, and is big enough; tells which one it is. */
static int check_file(struct vu_mem *mem, const struct vu_mem_region *r, int fd,
		      struct stat *ret_stat)
{
	int seals = fcntl(fd, F_GET_SEALS);
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 " is not a memfd with F_SEAL_SHRINK: %s",
			 r->guest_addr, HOW_TO_FIX);
		return -EACCES;
	}
	/* With the latter what is mapped stays so, but cannot be mapped anew. */
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": its memfd is sealed against writing",
			 r->guest_addr);
		return -EACCES;
	}
	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": its file is not open for read and write",
			 r->guest_addr);
		return -EACCES;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!range_contains(0, (uint64_t)st.st_size, r->mmap_offset, r->size)) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": offset 0x%" PRIx64 " plus size 0x%" PRIx64
			 " is beyond the end of its file, 0x%" PRIx64,
			 r->guest_addr, r->mmap_offset, r->size, (uint64_t)st.st_size);
		return -EFBIG;
	}
	*ret_stat = st;
	return 0;
}

/* mmap(2) and munmap(2) of hugetlb files want multiples of the huge page's size. */
static int file_page_size(int fd, uint64_t *ret_size)
{
	struct statfs fs;
	uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if ((uint64_t)fs.f_type == HUGETLBFS_MAGIC && is_power_of_two((uint64_t)fs.f_bsize))
		size = (uint64_t)fs.f_bsize;
	*ret_size = size;
	return 0;
}

/* What is to be mapped of the file, in whole pages of it. */
static int slot_range(struct vu_mem_slot *slot, uint64_t *ret_skip)
{
	const struct vu_mem_region *r = &slot->region;
	uint64_t page = 0, skip, len;
	int err = file_page_size(slot->fd, &page);

	if (err < 0)
		return err;
	skip = r->mmap_offset & (page - 1);
	if (!checked_add_u64(r->size, skip, &len) || !checked_align_up(len, page, &len) ||
	    len > SIZE_MAX)
		return -EINVAL;
	slot->page_size = (size_t)page;
	slot->map_len = (size_t)len;
	slot->map_offset = r->mmap_offset - skip;
	*ret_skip = skip;
	return 0;
}

/* Maps it, in the place of what was mapped before, which stays on failure. */
static int slot_map(struct vu_mem *mem, struct vu_mem_slot *slot, size_t skip)
{
	uint8_t *map = mmap(NULL, slot->map_len, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE, slot->fd, (off_t)slot->map_offset);
	int r;

	if (map == MAP_FAILED)
		return -errno;
	/* A guest's memory is nothing for a core dump of ours. */
	if (madvise(map, slot->map_len, MADV_DONTDUMP) < 0) {
		r = -errno;
		(void)munmap(map, slot->map_len);
		return r;
	}
	vu_guard_remove(&slot->guard);
	if (slot->map)
		(void)munmap(slot->map, slot->map_len);
	slot->map = map;
	slot->base = map + skip;
	return vu_guard_add(&slot->guard, map, slot->map_len, slot->page_size, &mem->faulted);
}

/*
 * A table of files full of holes could take all of our address space, which other guests'
 * memory needs.  Adds to *@mapped.
 */
static int charge(struct vu_mem *mem, const struct vu_mem_slot *slot, uint64_t *mapped)
{
	uint64_t sum;

	if (!checked_add_u64(*mapped, slot->map_len, &sum) || sum > mem->max_mapped) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": with its 0x%" PRIx64
			 " bytes there are more than 0x%" PRIx64 " in all (--max-ram)",
			 slot->region.guest_addr, slot->region.size, mem->max_mapped);
		return -ENOSPC;
	}
	*mapped = sum;
	return 0;
}

/* @fd: taken.  @mapped: added to. */
static int slot_create(struct vu_mem *mem, const struct vu_mem_region *region, int *fd,
		       uint64_t *mapped, struct vu_mem_slot **ret_slot)
{
	FD_OWNED int owned = fd_take(fd);
	struct vu_mem_slot *slot;
	struct stat st = { 0 };
	uint64_t skip = 0;
	int r = check_region(mem, region);

	if (r == 0)
		r = check_file(mem, region, owned, &st);
	if (r < 0)
		return r;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->region = *region;
	slot->fd = fd_take(&owned);
	slot->dev = st.st_dev;
	slot->ino = st.st_ino;
	r = slot_range(slot, &skip);
	if (r == 0)
		r = charge(mem, slot, mapped);
	if (r < 0) {
		slot_destroy(slot);
		return r;
	}
	r = slot_map(mem, slot, (size_t)skip);
	if (r < 0) {
		log_peer(mem->log, LOG_LEVEL_ERROR,
			 "memory region at 0x%" PRIx64 ": cannot map 0x%" PRIx64 " bytes: %s",
			 region->guest_addr, region->size, strerror(-r));
		slot_destroy(slot);
		return r;
	}
	*ret_slot = slot;
	return 0;
}

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

/*
 * Puts @slot in its place in @slots, which has room for it.  Overlapping guest addresses
 * are refused; user addresses may be the same where a VMM shows memory to the guest twice.
 */
static int insert(struct vu_mem *mem, struct vu_mem_slot **slots, size_t n,
		  struct vu_mem_slot *slot)
{
	const struct vu_mem_region *r = &slot->region;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		const struct vu_mem_region *o = &slots[i]->region;

		if (overlap(r->guest_addr, r->size, o->guest_addr, o->size)) {
			log_peer(mem->log, LOG_LEVEL_ERROR,
				 "memory regions at 0x%" PRIx64 " and 0x%" PRIx64 " overlap",
				 o->guest_addr, r->guest_addr);
			return -EINVAL;
		}
		if (o->guest_addr < r->guest_addr)
			at = i + 1;
	}
	memmove(&slots[at + 1], &slots[at], (n - at) * sizeof(struct vu_mem_slot *));
	slots[at] = slot;
	return 0;
}

int vu_mem_set(struct vu_mem *mem, const struct vu_mem_region *regions, size_t n, int *fds)
{
	struct vu_mem_slot **slots = NULL;
	uint64_t mapped = 0;
	size_t have = 0;
	int r = 0;

	if (n > 0) {
		slots = calloc(n, sizeof(struct vu_mem_slot *));
		if (!slots)
			r = -ENOMEM;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		struct vu_mem_slot *slot;

		r = slot_create(mem, &regions[i], &fds[i], &mapped, &slot);
		if (r < 0)
			break;
		r = insert(mem, slots, have, slot);
		if (r < 0)
			slot_destroy(slot);
		else
			have++;
	}
	fd_close_many(fds, n);
	if (r < 0) {
		slots_destroy(slots, have);
		return r;
	}
	vu_mem_finish(mem);
	mem->slots = slots;
	mem->num_slots = have;
	mem->mapped = mapped;
	mem->faulted = 0;
	mem->touched = 0;
	return 0;
}

int vu_mem_add(struct vu_mem *mem, const struct vu_mem_region *region, int *fd)
{
	struct vu_mem_slot **slots;
	struct vu_mem_slot *slot;
	uint64_t mapped = mem->mapped;
	int r;

	if (mem->num_slots >= VU_MAX_MEM_SLOTS) {
		fd_close(fd);
		log_peer(mem->log, LOG_LEVEL_ERROR, "more than %d memory regions",
			 VU_MAX_MEM_SLOTS);
		return -ENOSPC;
	}
	r = slot_create(mem, region, fd, &mapped, &slot);
	if (r < 0)
		return r;
	slots = reallocarray(mem->slots, mem->num_slots + 1, sizeof(struct vu_mem_slot *));
	if (!slots) {
		slot_destroy(slot);
		return -ENOMEM;
	}
	mem->slots = slots;
	r = insert(mem, slots, mem->num_slots, slot);
	if (r < 0) {
		slot_destroy(slot);
		return r;
	}
	mem->num_slots++;
	mem->mapped = mapped;
	return 0;
}

int vu_mem_remove(struct vu_mem *mem, const struct vu_mem_region *region)
{
	for (size_t i = 0; i < mem->num_slots; i++) {
		const struct vu_mem_region *r = &mem->slots[i]->region;

		if (r->guest_addr != region->guest_addr || r->user_addr != region->user_addr ||
		    r->size != region->size)
			continue;
		mem->mapped -= mem->slots[i]->map_len;
		slot_destroy(mem->slots[i]);
		mem->num_slots--;
		memmove(&mem->slots[i], &mem->slots[i + 1],
			(mem->num_slots - i) * sizeof(struct vu_mem_slot *));
		return 0;
	}
	log_peer(mem->log, LOG_LEVEL_ERROR,
		 "no memory region at 0x%" PRIx64 " with size 0x%" PRIx64 " to remove",
		 region->guest_addr, region->size);
	return -ENOENT;
}

void *vu_mem_from_user(const struct vu_mem *mem, uint64_t user_addr, uint64_t len)
{
	for (size_t i = 0; i < mem->num_slots; i++) {
		const struct vu_mem_slot *s = mem->slots[i];

		if (range_contains(s->region.user_addr, s->region.size, user_addr, len))
			return s->base + (user_addr - s->region.user_addr);
	}
	return NULL;
}

/* The number of the region that contains @addr; num_slots: none does. */
static size_t find(const struct vu_mem *mem, uint64_t addr)
{
	size_t low = 0, high = mem->num_slots;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct vu_mem_slot *s = mem->slots[mid];

		if (addr < s->region.guest_addr)
			high = mid;
		else if (addr - s->region.guest_addr >= s->region.size)
			low = mid + 1;
		else
			return mid;
	}
	return mem->num_slots;
}

/* Where one is in a range of guest addresses, region by region. */
struct span {
	uint64_t addr, len; /* what is left of the range */
	size_t index;
	/* The next part, in one region. */
	const struct vu_mem_slot *slot;
	uint64_t offset, part;
};

static void span_init(struct span *span, const struct vu_mem *mem, uint64_t addr, uint64_t len)
{
	*span = (struct span){ .addr = addr, .len = len, .index = find(mem, addr) };
}

/* Finds the next part of a range that is not at its end; false: there is no memory. */
static bool span_next(struct span *span, struct vu_mem *mem)
{
	const struct vu_mem_slot *s;
	uint64_t left;

	mem->steps++;
	if (span->index == mem->num_slots)
		return false;
	s = mem->slots[span->index++];
	/* The region after the one before need not be adjacent. */
	if (!range_contains(s->region.guest_addr, s->region.size, span->addr, 1))
		return false;
	span->slot = s;
	span->offset = span->addr - s->region.guest_addr;
	left = s->region.size - span->offset;
	span->part = span->len < left ? span->len : left;
	span->addr += span->part;
	span->len -= span->part;
	return true;
}

bool vu_mem_contains(struct vu_mem *mem, uint64_t addr, uint64_t len)
{
	struct span span;
	uint64_t end;

	if (!checked_add_u64(addr, len, &end))
		return false;
	span_init(&span, mem, addr, len);
	while (span.len > 0) {
		if (!span_next(&span, mem))
			return false;
	}
	return true;
}

static void count_touched(struct vu_mem *mem, const struct span *span)
{
	uint64_t pages = (span->offset % VU_MEM_ALIGN + span->part + VU_MEM_ALIGN - 1) /
			 VU_MEM_ALIGN;

	if (pages > UINT32_MAX - mem->touched)
		mem->touched = UINT32_MAX;
	else
		mem->touched += (uint32_t)pages;
}

bool vu_mem_read(struct vu_mem *mem, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;
	struct span span;

	if (!vu_mem_contains(mem, addr, len))
		return false;
	span_init(&span, mem, addr, len);
	while (span.len > 0 && span_next(&span, mem)) {
		memcpy(to, span.slot->base + span.offset, (size_t)span.part);
		to += span.part;
		count_touched(mem, &span);
	}
	return true;
}

bool vu_mem_write(struct vu_mem *mem, uint64_t addr, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	struct span span;

	if (!vu_mem_contains(mem, addr, len))
		return false;
	span_init(&span, mem, addr, len);
	while (span.len > 0 && span_next(&span, mem)) {
		memcpy(span.slot->base + span.offset, from, (size_t)span.part);
		from += span.part;
		count_touched(mem, &span);
	}
	return true;
}

static bool same_file(const struct vu_mem_slot *a, const struct vu_mem_slot *b)
{
	return a == b || (a->dev == b->dev && a->ino == b->ino);
}

int vu_mem_walk_files(struct vu_mem *mem, uint64_t addr, uint64_t len, vu_mem_fn fn, void *arg)
{
	const struct vu_mem_slot *first = NULL; /* of the piece */
	struct vu_mem_piece piece = { .fd = -1 };
	struct span span;
	uint64_t end;

	if (!checked_add_u64(addr, len, &end))
		return -EOVERFLOW;
	span_init(&span, mem, addr, len);
	while (span.len > 0) {
		uint64_t offset;

		if (!span_next(&span, mem))
			return -EFAULT;
		offset = span.offset + span.slot->region.mmap_offset;
		if (first && piece.offset + piece.len == offset && same_file(first, span.slot)) {
			piece.len += span.part;
		} else {
			int r = first ? fn(arg, &piece) : 0;

			if (r < 0)
				return r;
			first = span.slot;
			piece = (struct vu_mem_piece){
				.fd = first->fd,
				.offset = offset,
				.len = span.part,
			};
		}
	}
	return first ? fn(arg, &piece) : 0;
}

int vu_mem_remap(struct vu_mem *mem)
{
	for (size_t i = 0; i < mem->num_slots; i++) {
		struct vu_mem_slot *s = mem->slots[i];
		int r = slot_map(mem, s, (size_t)(s->base - s->map));

		if (r < 0)
			return r;
	}
	mem->faulted = 0;
	mem->touched = 0;
	return 0;
}
