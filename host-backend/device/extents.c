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

struct walk {
	struct device *device;
	struct extent_list *list;
	uint32_t capacity;
	int fd; /* that the last extent's arena was found by */
};

static int add_piece(void *arg, const struct vu_mem_piece *piece)
{
	struct walk *walk = arg;
	struct extent_list *list = walk->list;
	struct extent *last = list->num ? &list->extents[list->num - 1] : NULL;
	struct arena *arena;

	if (last && piece->fd == walk->fd) {
		if (last->offset + last->len == piece->offset) {
			last->len += piece->len;
			return 0;
		}
		arena = last->arena;
	} else {
		arena = NULL;
	}
	if (list->num == walk->capacity)
		return -EDQUOT;
	if (arena) {
		arena_ref(arena);
	} else {
		int ret = arena_get(walk->device->peer, piece->fd, &arena);

		if (ret < 0)
			return ret;
		walk->fd = piece->fd;
	}
	list->extents[list->num++] = (struct extent){
		.arena = arena,
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
	struct walk walk = {
		.device = device,
		.list = list,
		.capacity = count + MAX_BORDERS,
		.fd = -1,
	};
	int ret;

	list->num = 0;
	list->extents = calloc(walk.capacity, sizeof(*list->extents));
	if (!list->extents)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		ret = vu_mem_walk(device->conn, le64toh(extents[i].addr), le64toh(extents[i].len),
				  add_piece, &walk);
		if (ret < 0) {
			extent_list_finish(list);
			return ret == -EOVERFLOW ? -EFAULT : ret;
		}
	}
	return 0;
}

void extent_list_finish(struct extent_list *list)
{
	for (uint32_t i = 0; i < list->num; i++)
		arena_unref(list->extents[i].arena);
	free(list->extents);
}
