/* SPDX-License-Identifier: MIT */
/*
 * Ownership of file descriptors, by name: a variable that owns one is closed through
 * it and then says -1, so that no path can close it twice or forget it.
 */
#ifndef UTIL_FD_H
#define UTIL_FD_H

#include <stddef.h>
#include <unistd.h>

/* Closes *@fd if it is one, and makes it -1.  errno stays as it was. */
void fd_close(int *fd);

/* fd_close() for each of @n. */
void fd_close_many(int *fds, size_t n);

/* The caller owns what is returned; *@fd is -1 afterwards. */
static inline int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* A local variable declared with this owns its fd: it is closed when the scope ends. */
#define FD_OWNED __attribute__((cleanup(fd_close)))

/* A duplicate with close-on-exec, owned by the caller, or a negative errno. */
int fd_dup(int fd);

/* Returns 0 or a negative errno.  The flag is the open file's: its other users see it. */
int fd_set_nonblock(int fd);

/*
 * 1: an eventfd; 0: something else; a negative errno when that cannot be told.
 * Needs /proc.
 */
int fd_is_eventfd(int fd);

#endif /* UTIL_FD_H */
