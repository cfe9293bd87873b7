/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

/* Completions that are collected at a time; the kernel keeps room for more. */
#define EVENTS 64

/* Of the process: a context is dear to make and dearer to destroy (a grace period of RCU). */
static aio_context_t context;
static int file = -1;

int vu_notify_init(void)
{
	FD_OWNED int fd = -1;

	if (context)
		return 0;
	fd = memfd_create("bufshare-notify", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A hole, so that there is no page that could have been swapped out. */
	if (ftruncate(fd, 1) < 0 || syscall(SYS_io_setup, EVENTS, &context) < 0)
		return -errno;
	file = fd_take(&fd);
	return 0;
}

int vu_notify(int fd)
{
	struct io_event events[EVENTS];
	uint8_t byte;
	struct iocb read_byte = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)file,
		.aio_buf = (uintptr_t)&byte,
		.aio_nbytes = sizeof(byte),
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list[] = { &read_byte };

	if (fd < 0)
		return 0;
	/*
	 * A read of a memfd is complete when this returns.  Completions are collected only when
	 * there is no room for more, which costs less than one system call for each signal.
	 */
	while (syscall(SYS_io_submit, context, 1, list) < 0) {
		if (errno == ENOMEM)
			return -EAGAIN;
		/* All others are about the arguments: trying again would not help. */
		if (errno != EAGAIN)
			return 0;
		/* Both for want of room and of memory; and no completion means the latter. */
		if (syscall(SYS_io_getevents, context, 0, EVENTS, events, NULL) <= 0)
			return -EAGAIN;
	}
	return 0;
}
