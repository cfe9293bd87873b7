/* SPDX-License-Identifier: MIT */
/*
 * A buffer as one contiguous piece of memory.
 *
 * A dma-buf is mapped as it is.  The extents of guest RAM are mapped one behind the other
 * over a reserved range of addresses.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

/* Mappings that a program has anyway, next to those of a buffer. */
#define OTHER_MAPPINGS 512

static int protection(const struct bufshare_buffer *buffer)
{
	return PROT_READ | ((buffer->access & BUFSHARE_ACCESS_WRITE) != 0 ? PROT_WRITE : 0);
}

static unsigned long max_map_count(void)
{
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	char text[32];
	ssize_t len;

	if (fd < 0)
		return 65530; /* Linux' default: Documentation/admin-guide/sysctl/vm.rst */
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return strtoul(text, NULL, 10);
}

static int map_failed(struct bufshare_buffer *buffer, int error)
{
	return fail(buffer->handle, -error, "mapping %llu bytes in %zu pieces: %s",
		    (unsigned long long)buffer->info.size, buffer->num_ranges, strerror(error));
}

/*
 * One extent: mapped from the start of the page that it lies in, which may be a huge one;
 * the f_bsize of hugetlbfs is its page size (Linux, fs/hugetlbfs/inode.c).  Huge pages of
 * tmpfs (huge=) are mapped from any small page on, though st_blksize tells their size.
 */
static int map_single(struct bufshare_buffer *buffer, uint64_t page)
{
	const struct bufshare_range *range = &buffer->ranges[0];
	uint64_t start = range->start - range->start % page;
	uint64_t len = range->start - start + range->len;

	len += (page - len % page) % page;
	buffer->map = mmap(NULL, len, protection(buffer), MAP_SHARED, buffer->fds[range->fd_index],
			   (off_t)start);
	if (buffer->map == MAP_FAILED) {
		buffer->map = NULL;
		return map_failed(buffer, errno);
	}
	buffer->map_len = len;
	buffer->data = (uint8_t *)buffer->map + (range->start - start);
	return 0;
}

static int map_stitched(struct bufshare_buffer *buffer)
{
	unsigned long max = max_map_count();
	uint8_t *base, *at;

	if (max < OTHER_MAPPINGS || buffer->num_ranges > max - OTHER_MAPPINGS)
		return fail(buffer->handle, -E2BIG,
			    "the buffer lies in %zu pieces and a program may have %lu mappings: "
			    "raise vm.max_map_count",
			    buffer->num_ranges, max);
	base = mmap(NULL, buffer->info.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (base == MAP_FAILED)
		return map_failed(buffer, errno);
	at = base;
	for (size_t i = 0; i < buffer->num_ranges; i++) {
		const struct bufshare_range *range = &buffer->ranges[i];

		if (mmap(at, range->len, protection(buffer), MAP_SHARED | MAP_FIXED,
			 buffer->fds[range->fd_index], (off_t)range->start) == MAP_FAILED) {
			int error = errno;

			(void)munmap(base, buffer->info.size);
			return map_failed(buffer, error);
		}
		at += range->len;
	}
	buffer->map = base;
	buffer->map_len = buffer->info.size;
	buffer->data = base;
	return 0;
}

static int map_ram(struct bufshare_buffer *buffer)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (uint32_t i = 0; i < buffer->num_fds; i++) {
		struct statfs fs;

		if (fstatfs(buffer->fds[i], &fs) < 0)
			return map_failed(buffer, errno);
		if ((uint32_t)fs.f_type == HUGETLBFS_MAGIC && (uint64_t)fs.f_bsize > page)
			page = (uint64_t)fs.f_bsize;
	}
	if (buffer->num_ranges == 1)
		return map_single(buffer, page);
	if (page > (uint64_t)sysconf(_SC_PAGESIZE))
		return fail(buffer->handle, -EINVAL,
			    "the buffer lies in %zu pieces of huge pages (%llu bytes), which cannot "
			    "be put together: take the dma-buf",
			    buffer->num_ranges, (unsigned long long)page);
	return map_stitched(buffer);
}

static int map_dmabuf(struct bufshare_buffer *buffer)
{
	buffer->map = mmap(NULL, buffer->info.size, protection(buffer), MAP_SHARED, buffer->fds[0],
			   0);
	if (buffer->map == MAP_FAILED) {
		buffer->map = NULL;
		return map_failed(buffer, errno);
	}
	buffer->map_len = buffer->info.size;
	buffer->data = buffer->map;
	return 0;
}

int bufshare_buffer_map(struct bufshare_buffer *buffer, void **ret_data)
{
	if (buffer->map == NULL) {
		int error = buffer->path == BUFSHARE_VIA_DMABUF ? map_dmabuf(buffer)
								: map_ram(buffer);

		if (error < 0)
			return error;
	}
	*ret_data = buffer->data;
	return 0;
}

void bufshare_buffer_unmap(struct bufshare_buffer *buffer)
{
	if (buffer->map == NULL)
		return;
	(void)munmap(buffer->map, buffer->map_len);
	buffer->map = NULL;
	buffer->data = NULL;
}
