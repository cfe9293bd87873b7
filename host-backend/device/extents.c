/* SPDX-License-Identifier: MIT */
/*
 * From guest addresses to files: what a request says in extents of guest memory, the
 * core keeps as extents of arenas.
 *
 * An extent of the guest is several of ours where it crosses from one region of the
 * memory table to another.  Extents that do not overlap cross each border once, so
 * there are at most MAX_BORDERS more of ours; who needs more repeats the same memory.
 */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

/* More than any memory table of this daemon's transport has regions. */
#define MAX_BORDERS 512

/* A file of the memory table, and what arena_get() found for it. */
struct known_file {
	int fd;
	struct arena *arena; /* owned */
};

struct walk {
	struct device *device;
	struct extent_list *list;
	uint32_t capacity;
	struct known_file files[MAX_BORDERS];
	uint32_t num_files;
};

/*
 * Asks the core once for each region, however often the extents come back to it: it compares
 * the file with each of the guest's arenas by a system call.  @ret_arena: borrowed.
 */
static int find_arena(struct walk *walk, int fd, struct arena **ret_arena)
{
	struct known_file *file;
	int ret;

	/* From the end: extents that follow each other often lie in the same one. */
	for (uint32_t i = walk->num_files; i > 0; i--) {
		file = &walk->files[i - 1];
		if (file->fd == fd) {
			*ret_arena = file->arena;
			return 0;
		}
	}
	if (walk->num_files == MAX_BORDERS)
		return -EDQUOT;
	file = &walk->files[walk->num_files];
	ret = arena_get(walk->device->peer, fd, &file->arena);
	if (ret < 0)
		return ret;
	file->fd = fd;
	walk->num_files++;
	*ret_arena = file->arena;
	return 0;
}

static int add_piece(void *arg, const struct vu_mem_piece *piece)
{
	struct walk *walk = arg;
	struct extent_list *list = walk->list;
	struct extent *last = list->num ? &list->extents[list->num - 1] : NULL;
	struct arena *arena;
	int ret = find_arena(walk, piece->fd, &arena);

	if (ret < 0)
		return ret;
	if (last && last->arena == arena && last->offset + last->len == piece->offset) {
		last->len += piece->len;
		return 0;
	}
	if (list->num == walk->capacity)
		return -EDQUOT;
	list->extents[list->num++] = (struct extent){
		.arena = arena_ref(arena),
		.offset = piece->offset,
		.len = piece->len,
	};
	return 0;
}

int extents_check(const struct virtio_bufshare_extent *extents, uint32_t count, uint64_t *ret_len)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t addr = le64toh(extents[i].addr), len = le64toh(extents[i].len);

		if (!len || (addr | len) % DEVICE_EXTENT_ALIGN ||
		    __builtin_add_overflow(sum, len, &sum))
			return -EBADMSG;
	}
	*ret_len = sum;
	return 0;
}

int extent_list_init(struct extent_list *list, struct device *device,
		     const struct virtio_bufshare_extent *extents, uint32_t count)
{
	struct walk walk;
	int ret = 0;

	list->num = 0;
	list->extents = calloc(count + MAX_BORDERS, sizeof(*list->extents));
	if (!list->extents)
		return -ENOMEM;
	/* files[] is not cleared: most requests need one of it. */
	walk.device = device;
	walk.list = list;
	walk.capacity = count + MAX_BORDERS;
	walk.num_files = 0;
	for (uint32_t i = 0; i < count && ret == 0; i++)
		ret = vu_mem_walk(device->conn, le64toh(extents[i].addr), le64toh(extents[i].len),
				  add_piece, &walk);
	while (walk.num_files > 0)
		arena_unref(walk.files[--walk.num_files].arena);
	if (ret < 0)
		extent_list_finish(list);
	return ret == -EOVERFLOW ? -EFAULT : ret;
}

void extent_list_finish(struct extent_list *list)
{
	for (uint32_t i = 0; i < list->num; i++)
		arena_unref(list->extents[i].arena);
	free(list->extents);
}
