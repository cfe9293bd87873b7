/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A prime: pages this far apart in a memfd are hardly ever neighbours in memory. */
#define SCATTER 7919

int open_node(int flags)
{
	return open("/dev/bufshare0", O_RDWR | O_CLOEXEC | flags);
}

int heap_buffer(size_t size)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);
	int ret;

	if (heap < 0)
		return -1;
	ret = ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data);
	close(heap);
	return ret < 0 ? -1 : (int)data.fd;
}

static void raise_limit(const char *name, size_t value)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/sys/module/udmabuf/parameters/%s", name);
	file = fopen(path, "we");
	if (!file)
		return;
	(void)fprintf(file, "%zu", value);
	(void)fclose(file);
}

size_t scattered_page(size_t n, size_t pages)
{
	/* Any factor that has no divisor in common with the count visits each once. */
	return pages % SCATTER ? n * SCATTER % pages : n;
}

static int scatter(int memfd, size_t pages)
{
	struct udmabuf_create_list *list;
	int device, fd;

	list = calloc(1, sizeof(*list) + pages * sizeof(list->list[0]));
	if (!list)
		return -1;
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = (uint32_t)pages;
	for (size_t i = 0; i < pages; i++) {
		list->list[i].memfd = (uint32_t)memfd;
		list->list[i].offset = scattered_page(i, pages) * PAGE;
		list->list[i].size = PAGE;
	}
	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	fd = device < 0 ? -1 : ioctl(device, UDMABUF_CREATE_LIST, list);
	if (device >= 0)
		close(device);
	free(list);
	return fd;
}

int scattered_buffer(size_t pages, int *ret_memfd)
{
	int memfd = memfd_create("scattered", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	int fd = -1;

	if (memfd < 0)
		return -1;
	raise_limit("list_limit", 65536);
	raise_limit("size_limit_mb", 1024);
	/* Allocated in the order of the memfd, or udmabuf would do it in that of its list. */
	if (!posix_fallocate(memfd, 0, (off_t)(pages * PAGE)) &&
	    !fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = scatter(memfd, pages);
	if (fd >= 0 && ret_memfd)
		*ret_memfd = memfd;
	else
		close(memfd);
	return fd;
}

static int open_exporter(void)
{
	return open("/dev/bufshare_test_exporter", O_RDWR | O_CLOEXEC);
}

bool have_odd_buffers(void)
{
	int fd = open_exporter();

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int odd_buffer(const struct test_exporter_piece *pieces, uint32_t count, uint64_t size)
{
	struct test_exporter_create create = { .size = size, .count = count };
	int ret, exporter = open_exporter();

	if (exporter < 0)
		return -1;
	create.pieces = (uintptr_t)pieces;
	for (uint32_t i = 0; !size && i < count; i++)
		create.size += pieces[i].len;
	ret = ioctl(exporter, TEST_EXPORTER_CREATE, &create);
	close(exporter);
	return ret < 0 ? -1 : create.fd;
}

struct test_exporter_stats odd_stats(void)
{
	struct test_exporter_stats stats = { 0 };
	int exporter = open_exporter();

	if (exporter >= 0) {
		ioctl(exporter, TEST_EXPORTER_STATS, &stats);
		close(exporter);
	}
	return stats;
}

int export_fd(int node, int fd, struct bufshare_export *ret_args)
{
	struct bufshare_export args = { .fd = fd };
	int ret = ioctl(node, BUFSHARE_IOC_EXPORT, &args);

	if (ret_args)
		*ret_args = args;
	return ret;
}

int unexport(int node, const uint8_t *uuid)
{
	struct bufshare_unexport args = { 0 };

	memcpy(args.uuid, uuid, sizeof(args.uuid));
	return ioctl(node, BUFSHARE_IOC_UNEXPORT, &args);
}

int publish(int node, uint32_t stream, const uint8_t *uuid, uint64_t sequence,
	    uint32_t *ret_listeners)
{
	struct bufshare_publish args = { .stream_id = stream, .sequence = sequence };
	int ret;

	memcpy(args.uuid, uuid, sizeof(args.uuid));
	ret = ioctl(node, BUFSHARE_IOC_PUBLISH, &args);
	if (ret_listeners)
		*ret_listeners = args.listeners;
	return ret;
}

bool next_event(int node, int seconds, struct bufshare_event *ret_event)
{
	struct pollfd pfd = { .fd = node, .events = POLLIN };

	if (poll(&pfd, 1, seconds * 1000) != 1 || !(pfd.revents & POLLIN))
		return false;
	return read(node, ret_event, sizeof(*ret_event)) == (ssize_t)sizeof(*ret_event);
}
