/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A file that an arena keeps open keeps its inode number, but that of a huge page memfd has
 * 32 bits only (Linux, fs/inode.c, get_next_ino()) and comes again after so many.  So the
 * kernel is asked whether both are the same open file (kcmp(2)); where it does not tell,
 * the number decides: an owner can at worst take its own memory for its own.
 */
static bool is_file(const struct arena *arena, const struct stat *st, int fd)
{
	pid_t self = getpid();

	if (arena->dev != st->st_dev || arena->ino != st->st_ino)
		return false;
	return syscall(SYS_kcmp, self, self, KCMP_FILE, arena->fd, fd) <= 0;
}

int arena_get(struct peer *owner, int fd, struct arena **ret_arena)
{
	struct arena *arena;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* At most max_arenas. */
	list_for_each(link, &owner->arenas) {
		arena = list_entry(link, struct arena, link);
		if (is_file(arena, &st, fd)) {
			*ret_arena = arena_ref(arena);
			return 0;
		}
	}
	if (owner->num_arenas >= owner->limits.max_arenas)
		return -EDQUOT;

	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	arena->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (arena->fd < 0) {
		int error = -errno;

		free(arena);
		return error;
	}
	arena->owner = owner;
	arena->dev = st.st_dev;
	arena->ino = st.st_ino;
	arena->refs = 1;
	list_append(&owner->arenas, &arena->link);
	owner->num_arenas++;
	*ret_arena = arena;
	return 0;
}

struct arena *arena_ref(struct arena *arena)
{
	arena->refs++;
	return arena;
}

static void disown(struct arena *arena)
{
	list_remove(&arena->link);
	arena->owner->num_arenas--;
	arena->owner = NULL;
}

void arena_unref(struct arena *arena)
{
	if (!arena || --arena->refs)
		return;
	if (arena->owner)
		disown(arena);
	close(arena->fd);
	free(arena);
}

void arenas_disown(struct peer *owner)
{
	while (!list_empty(&owner->arenas))
		disown(list_entry(owner->arenas.next, struct arena, link));
}

int arena_fd(const struct arena *arena)
{
	return arena->fd;
}

/* ---- sets ---- */

struct arena *const *arena_set_get(const struct arena_set *set)
{
	return set->capacity ? set->arenas.many : &set->arenas.one;
}

static int make_room(struct arena_set *set)
{
	uint32_t capacity = set->capacity ? set->capacity * 2 : 4;
	struct arena **many;

	if (set->num == 0 || set->num < set->capacity)
		return 0;
	if (set->capacity) {
		many = reallocarray((void *)set->arenas.many, capacity, sizeof(struct arena *));
		if (!many)
			return -ENOMEM;
	} else {
		many = calloc(capacity, sizeof(struct arena *));
		if (!many)
			return -ENOMEM;
		many[0] = set->arenas.one;
	}
	set->arenas.many = many;
	set->capacity = capacity;
	return 0;
}

int arena_set_add(struct arena_set *set, struct arena *arena)
{
	struct arena *const *arenas = arena_set_get(set);
	int ret;

	/* From the end: extents that follow each other often lie in the same one. */
	for (uint32_t i = set->num; i > 0; i--) {
		if (arenas[i - 1] == arena)
			return 0;
	}
	ret = make_room(set);
	if (ret < 0)
		return ret;
	if (set->capacity)
		set->arenas.many[set->num] = arena_ref(arena);
	else
		set->arenas.one = arena_ref(arena);
	set->num++;
	return 0;
}

void arena_set_cut(struct arena_set *set, uint32_t keep)
{
	struct arena *const *arenas = arena_set_get(set);

	while (set->num > keep)
		arena_unref(arenas[--set->num]);
	if (keep == 0 && set->capacity) {
		free((void *)set->arenas.many);
		*set = (struct arena_set){ 0 };
	}
}
