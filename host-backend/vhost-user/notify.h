/* SPDX-License-Identifier: MIT */
/*
 * Signals eventfds of a peer that wants us to block.
 *
 * A write(2) to an eventfd waits while its counter is full, unless it is non-blocking.
 * Both are in the hands of the front-end, which shares the open file: it can fill the
 * counter and clear O_NONBLOCK at any time, also between a poll(2) and the write, and
 * eventfds take no RWF_NOWAIT for writing.  So the kernel is made to signal: a read by
 * Linux AIO, of a byte of an empty file of our own, whose completion is to be announced
 * on that eventfd (io_submit(2), IOCB_FLAG_RESFD).  The kernel adds 1 to the counter, or
 * nothing when it is full, and never waits.
 */
#ifndef VHOST_USER_NOTIFY_H
#define VHOST_USER_NOTIFY_H

/*
 * Once in a process; again is fine.  -ENOSYS, -EPERM: the kernel or a seccomp filter has
 * no AIO; -EAGAIN: fs.aio-max-nr is reached; another negative errno.
 */
int vu_notify_init(void);

/*
 * Adds 1 to the counter of @fd, an eventfd (-1: none), unless it is full.  Never blocks.
 * -EAGAIN: the kernel is short of memory; nothing happened, and the caller is to try again.
 * 0 otherwise.
 */
int vu_notify(int fd);

#endif /* VHOST_USER_NOTIFY_H */
