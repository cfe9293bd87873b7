/* SPDX-License-Identifier: MIT */
/* Source of the interfaces: Linux, include/uapi/linux/dma-heap.h and udmabuf.h. */
#include "alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

int alloc_heap(const char *heap, uint64_t size)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	char path[256];
	int fd, error = 0;

	if (strchr(heap, '/') != NULL ||
	    snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap) >= (int)sizeof(path))
		return -EINVAL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data) < 0)
		error = -errno;
	close(fd);
	return error < 0 ? error : (int)data.fd;
}

int alloc_udmabuf(uint64_t size)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int device, memfd, fd;

	device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -errno;
	memfd = memfd_create("bufshare", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0) {
		fd = -errno;
		close(device);
		return fd;
	}
	if (ftruncate(memfd, (off_t)size) < 0 || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		fd = -errno;
	} else {
		create.memfd = (__u32)memfd;
		fd = ioctl(device, UDMABUF_CREATE, &create);
		if (fd < 0)
			fd = -errno;
	}
	close(memfd);
	close(device);
	return fd;
}
