/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

/* The others get their turn in between. */
#define ACCEPTS_PER_ROUND 16

void listener_init(struct listener *listener, struct loop *loop, struct log_peer *log,
		   void (*connection)(struct listener *listener, int fd))
{
	*listener = (struct listener){
		.loop = loop,
		.log = log,
		.connection = connection,
		.fd = -1,
		.timer_fd = -1,
	};
}

/* ---- the name ---- */

/* Removes a socket at the path that nobody listens on. */
static int remove_stale(const struct sockaddr_un *addr)
{
	FD_OWNED int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
		return -EADDRINUSE;
	/* A living one can also have a full backlog, or be of another type. */
	if (errno == EAGAIN || errno == EPROTOTYPE)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* By the umask, because a chmod() of the path could hit what somebody put there meanwhile. */
static int bind_for(int fd, const struct sockaddr_un *addr, bool everybody)
{
	mode_t mask = umask(0);
	int ret;

	umask(everybody ? S_IXUSR | S_IXGRP | S_IXOTH : mask);
	ret = bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	umask(mask);
	return ret;
}

int listener_bind(struct listener *listener, const char *path, int type, bool everybody,
		  int backlog)
{
	struct sockaddr_un *addr = &listener->addr;
	struct stat st;
	int ret;

	addr->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(addr->sun_path))
		return -ENAMETOOLONG;
	memcpy(addr->sun_path, path, strlen(path) + 1);
	listener->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return -errno;
	ret = remove_stale(addr);
	if (ret == 0)
		ret = bind_for(listener->fd, addr, everybody);
	if (ret < 0)
		return ret;
	if (lstat(path, &st) < 0)
		return -errno;
	listener->bound = true;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return listen(listener->fd, backlog) < 0 ? -errno : 0;
}

int listener_adopt(struct listener *listener, int fd)
{
	listener->fd = fd;
	return fd_set_nonblock(fd);
}

/*
 * Somebody may have put another socket there meanwhile: that is not ours.  Inode numbers come
 * again soon, so it must also be one that nobody listens on, now that we do not.
 */
static void remove_name(const struct listener *listener)
{
	struct stat st;

	if (listener->bound && lstat(listener->addr.sun_path, &st) == 0 &&
	    st.st_dev == listener->dev && st.st_ino == listener->ino)
		(void)remove_stale(&listener->addr);
}

/* ---- who waits ---- */

static void pause_accepting(struct listener *listener)
{
	const struct itimerspec once = { .it_value.tv_nsec = LISTENER_PAUSE_MS * 1000000L };

	loop_remove(&listener->source);
	(void)timerfd_settime(listener->timer_fd, 0, &once, NULL); /* it cannot fail */
}

static void accept_failed(struct listener *listener, int error)
{
	bool no_fds = error == EMFILE || error == ENFILE;

	if (!listener->failing)
		log_peer(listener->log, LOG_LEVEL_ERROR,
			 "nobody can connect for now: %s%s", strerror(error),
			 no_fds ? " (raise RLIMIT_NOFILE)" : "");
	listener->failing = true;
	pause_accepting(listener);
}

static void on_connection(struct loop_source *source, uint32_t events)
{
	struct listener *listener =
		(struct listener *)((char *)source - offsetof(struct listener, source));

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND && listener->source.loop; i++) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			listener->failing = false;
			listener->connection(listener, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != EINTR && errno != ECONNABORTED)
			accept_failed(listener, errno);
	}
}

static void on_timer(struct loop_source *source, uint32_t events)
{
	struct listener *listener =
		(struct listener *)((char *)source - offsetof(struct listener, timer));
	uint64_t expired;

	(void)events;
	if (read(listener->timer_fd, &expired, sizeof(expired)) != sizeof(expired))
		return;
	if (listener_start(listener) < 0)
		pause_accepting(listener);
}

int listener_start(struct listener *listener)
{
	int ret;

	if (listener->timer_fd < 0) {
		listener->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (listener->timer_fd < 0)
			return -errno;
		ret = loop_add(listener->loop, &listener->timer, listener->timer_fd, EPOLLIN,
			       on_timer);
		if (ret < 0)
			return ret;
	}
	if (listener->source.loop)
		return 0;
	return loop_add(listener->loop, &listener->source, listener->fd, EPOLLIN, on_connection);
}

void listener_stop(struct listener *listener)
{
	const struct itimerspec never = { 0 };

	loop_remove(&listener->source);
	if (listener->timer_fd >= 0)
		(void)timerfd_settime(listener->timer_fd, 0, &never, NULL);
}

void listener_finish(struct listener *listener)
{
	if (!listener->loop)
		return;
	loop_remove(&listener->source);
	loop_remove(&listener->timer);
	fd_close(&listener->fd);
	remove_name(listener);
	fd_close(&listener->timer_fd);
}
