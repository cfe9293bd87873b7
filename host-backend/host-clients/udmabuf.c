/* SPDX-License-Identifier: MIT */
#include "host-clients/udmabuf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/udmabuf.h>

#include "util/checked.h"
#include "util/fd.h"

#define PARAMETERS "/sys/module/udmabuf/parameters/"

int udmabuf_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Returns the module parameter's value, or @fallback when it cannot be read. */
static uint64_t read_parameter(const char *path, uint64_t fallback)
{
	FD_OWNED int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t len;
	char *end;
	unsigned long long value;

	if (fd < 0)
		return fallback;
	len = read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return fallback;
	text[len] = '\0';
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text)
		return fallback;
	return value;
}

/*
 * The kernel says EINVAL for whatever it does not like: finds out which limit it was.
 * The limits are read only now, because an administrator can change them at any time.
 */
static int explain(int error, uint32_t num, uint64_t size, char *ret_why, size_t why_size)
{
	uint64_t list_limit = read_parameter(PARAMETERS "list_limit", 1024);
	uint64_t size_limit = read_parameter(PARAMETERS "size_limit_mb", 64);

	if (error == EINVAL && num > list_limit) {
		(void)snprintf(ret_why, why_size,
			       "the buffer lies in %" PRIu32 " pieces and udmabuf takes %" PRIu64
			       ": raise " PARAMETERS "list_limit",
			       num, list_limit);
		return -E2BIG;
	}
	if (error == EINVAL && size > size_limit << 20) {
		(void)snprintf(ret_why, why_size,
			       "the buffer has %" PRIu64 " bytes and udmabuf takes %" PRIu64
			       " MiB: raise " PARAMETERS "size_limit_mb",
			       size, size_limit);
		return -E2BIG;
	}
	(void)snprintf(ret_why, why_size, "udmabuf refused the buffer's memory: %s",
		       strerror(error));
	return -error;
}

int udmabuf_make(int device, const struct extent *extents, uint32_t num, char *ret_why,
		 size_t why_size)
{
	struct udmabuf_create_list *list;
	uint64_t size = 0;
	int fd, error;

	list = calloc(1, sizeof(*list) + (size_t)num * sizeof(list->list[0]));
	if (list == NULL) {
		(void)snprintf(ret_why, why_size, "the daemon is out of memory");
		return -ENOMEM;
	}
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = num;
	for (uint32_t i = 0; i < num; i++) {
		list->list[i].memfd = (__u32)arena_fd(extents[i].arena);
		list->list[i].offset = extents[i].offset;
		list->list[i].size = extents[i].len;
		size += extents[i].len;
	}
	fd = ioctl(device, UDMABUF_CREATE_LIST, list);
	error = errno;
	free(list);
	if (fd < 0)
		return explain(error, num, size, ret_why, why_size);
	return fd;
}
