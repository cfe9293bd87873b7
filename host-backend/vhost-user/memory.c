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
	int fd;		   /* owned */
	uint8_t *map;	   /* owned */
	size_t map_len;	   /* multiple of the file's page size, as is map_offset */
	uint64_t map_offset;
	uint8_t *base; /* in map: where region.guest_addr is */
	struct vu_guard guard;
};

void vu_mem_init(struct vu_mem *mem, struct log_peer *log)
{
	*mem = (struct vu_mem){ .log = log };
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

/* Whether the file can be shared, and is big enough. */
static int check_file(struct vu_mem *mem, const struct vu_mem_region *r, int fd)
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

static int slot_map(struct vu_mem *mem, struct vu_mem_slot *slot)
{
	const struct vu_mem_region *r = &slot->region;
	uint64_t page = 0, skip, len;
	void *map;
	int err = file_page_size(slot->fd, &page);

	if (err < 0)
		return err;
	skip = r->mmap_offset & (page - 1);
	if (!checked_add_u64(r->size, skip, &len) || !checked_align_up(len, page, &len) ||
	    len > SIZE_MAX)
		return -EINVAL;
	slot->map_offset = r->mmap_offset - skip;
	map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, slot->fd,
		   (off_t)slot->map_offset);
	if (map == MAP_FAILED)
		return -errno;
	slot->map = map;
	slot->map_len = (size_t)len;
	slot->base = slot->map + skip;
	return vu_guard_add(&slot->guard, map, slot->map_len, (size_t)page, &mem->faulted);
}

/* @fd: taken. */
static int slot_create(struct vu_mem *mem, const struct vu_mem_region *region, int *fd,
		       struct vu_mem_slot **ret_slot)
{
	FD_OWNED int owned = fd_take(fd);
	struct vu_mem_slot *slot;
	int r = check_region(mem, region);

	if (r == 0)
		r = check_file(mem, region, owned);
	if (r < 0)
		return r;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->region = *region;
	slot->fd = fd_take(&owned);
	r = slot_map(mem, slot);
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
	size_t have = 0;
	int r = 0;

	if (n > 0) {
		slots = calloc(n, sizeof(struct vu_mem_slot *));
		if (!slots)
			r = -ENOMEM;
	}
	for (size_t i = 0; i < n && r == 0; i++) {
		struct vu_mem_slot *slot;

		r = slot_create(mem, &regions[i], &fds[i], &slot);
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
	mem->faulted = 0;
	return 0;
}

int vu_mem_add(struct vu_mem *mem, const struct vu_mem_region *region, int *fd)
{
	struct vu_mem_slot **slots;
	struct vu_mem_slot *slot;
	int r;

	if (mem->num_slots >= VU_MAX_MEM_SLOTS) {
		fd_close(fd);
		log_peer(mem->log, LOG_LEVEL_ERROR, "more than %d memory regions",
			 VU_MAX_MEM_SLOTS);
		return -ENOSPC;
	}
	r = slot_create(mem, region, fd, &slot);
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
	return 0;
}

int vu_mem_remove(struct vu_mem *mem, const struct vu_mem_region *region)
{
	for (size_t i = 0; i < mem->num_slots; i++) {
		const struct vu_mem_region *r = &mem->slots[i]->region;

		if (r->guest_addr != region->guest_addr || r->user_addr != region->user_addr ||
		    r->size != region->size)
			continue;
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

/* The region that contains @addr, or NULL. */
static const struct vu_mem_slot *find(const struct vu_mem *mem, uint64_t addr)
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
			return s;
	}
	return NULL;
}

/*
 * The part of [@addr, + @len) that lies in the region of @addr: the number of its bytes,
 * 0 when there is no such region.
 */
static uint64_t find_part(const struct vu_mem *mem, uint64_t addr, uint64_t len,
			  const struct vu_mem_slot **ret_slot, uint64_t *ret_offset)
{
	const struct vu_mem_slot *s = find(mem, addr);
	uint64_t offset, left;

	if (!s)
		return 0;
	offset = addr - s->region.guest_addr;
	left = s->region.size - offset;
	*ret_slot = s;
	*ret_offset = offset;
	return len < left ? len : left;
}

bool vu_mem_contains(const struct vu_mem *mem, uint64_t addr, uint64_t len)
{
	uint64_t end;

	if (!checked_add_u64(addr, len, &end))
		return false;
	while (len > 0) {
		const struct vu_mem_slot *s;
		uint64_t offset;
		uint64_t part = find_part(mem, addr, len, &s, &offset);

		if (part == 0)
			return false;
		addr += part;
		len -= part;
	}
	return true;
}

bool vu_mem_read(const struct vu_mem *mem, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (!vu_mem_contains(mem, addr, len))
		return false;
	while (len > 0) {
		const struct vu_mem_slot *s = NULL;
		uint64_t offset = 0;
		size_t part = (size_t)find_part(mem, addr, len, &s, &offset);

		memcpy(to, s->base + offset, part);
		to += part;
		addr += part;
		len -= part;
	}
	return true;
}

bool vu_mem_write(const struct vu_mem *mem, uint64_t addr, const void *buf, size_t len)
{
	const uint8_t *from = buf;

	if (!vu_mem_contains(mem, addr, len))
		return false;
	while (len > 0) {
		const struct vu_mem_slot *s = NULL;
		uint64_t offset = 0;
		size_t part = (size_t)find_part(mem, addr, len, &s, &offset);

		memcpy(s->base + offset, from, part);
		from += part;
		addr += part;
		len -= part;
	}
	return true;
}

/* Two descriptors of one file: adjacent regions of one memfd arrive with an fd each. */
static bool same_file(int a, int b)
{
	struct stat sa, sb;

	if (a == b)
		return true;
	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

int vu_mem_walk_files(const struct vu_mem *mem, uint64_t addr, uint64_t len, vu_mem_fn fn,
		      void *arg)
{
	struct vu_mem_piece piece = { .fd = -1 };
	uint64_t end;

	if (!checked_add_u64(addr, len, &end))
		return -EOVERFLOW;
	while (len > 0) {
		const struct vu_mem_slot *s;
		uint64_t offset;
		uint64_t part = find_part(mem, addr, len, &s, &offset);

		if (part == 0)
			return -EFAULT;
		offset += s->region.mmap_offset;
		if (piece.fd >= 0 && piece.offset + piece.len == offset &&
		    same_file(piece.fd, s->fd)) {
			piece.len += part;
		} else {
			int r = piece.fd >= 0 ? fn(arg, &piece) : 0;

			if (r < 0)
				return r;
			piece = (struct vu_mem_piece){ .fd = s->fd, .offset = offset, .len = part };
		}
		addr += part;
		len -= part;
	}
	return piece.fd >= 0 ? fn(arg, &piece) : 0;
}

int vu_mem_remap(struct vu_mem *mem)
{
	for (size_t i = 0; i < mem->num_slots; i++) {
		struct vu_mem_slot *s = mem->slots[i];

		if (mmap(s->map, s->map_len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE | MAP_FIXED, s->fd,
			 (off_t)s->map_offset) == MAP_FAILED)
			return -errno;
	}
	mem->faulted = 0;
	return 0;
}
