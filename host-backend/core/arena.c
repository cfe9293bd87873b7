/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int arena_get(struct core *core, int fd, struct arena **ret_arena)
{
	struct arena *arena;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* A file that an arena keeps open keeps its inode number: no mistaking it. */
	list_for_each(link, &core->arenas) {
		arena = list_entry(link, struct arena, link);
		if (arena->dev == st.st_dev && arena->ino == st.st_ino) {
			*ret_arena = arena_ref(arena);
			return 0;
		}
	}

	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	arena->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (arena->fd < 0) {
		int error = -errno;

		free(arena);
		return error;
	}
	arena->core = core;
	arena->dev = st.st_dev;
	arena->ino = st.st_ino;
	arena->refs = 1;
	list_append(&core->arenas, &arena->link);
	*ret_arena = arena;
	return 0;
}

struct arena *arena_ref(struct arena *arena)
{
	arena->refs++;
	return arena;
}

void arena_unref(struct arena *arena)
{
	if (!arena || --arena->refs)
		return;
	list_remove(&arena->link);
	close(arena->fd);
	free(arena);
}

int arena_fd(const struct arena *arena)
{
	return arena->fd;
}
