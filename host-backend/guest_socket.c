/* SPDX-License-Identifier: MIT */
#include "guest_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "loop.h"

struct guest_socket {
	struct loop *loop;
	struct core *core;
	struct core_limits limits;
	struct device_stats *stats;
	void (*finished)(void *arg);
	void *arg;

	int fd;	  /* owned, listening; -1: the one connection was given */
	int spare; /* owned: see refuse_one() */
	struct loop_source source;
	struct device *device; /* owned; NULL: nobody is connected */
	struct loop_deferred cleanup;
	bool bound; /* the name is ours to remove */
	dev_t dev;
	ino_t ino;
	struct sockaddr_un addr;
	char label[LABEL_SIZE];
};

static void device_ended(void *arg, int error)
{
	struct guest_socket *guest = arg;

	if (error < 0)
		log_line(LOG_LEVEL_WARNING, "%s: the VM's connection ended: %s", guest->label,
			 strerror(-error));
	else
		log_line(LOG_LEVEL_INFO, "%s: the VM disconnected", guest->label);
	/* Its connection is still on the stack. */
	loop_defer(guest->loop, &guest->cleanup);
}

static int connected(struct guest_socket *guest, int fd)
{
	struct device_options options = {
		.label = guest->label,
		.limits = &guest->limits,
		.stats = guest->stats,
		.ended = device_ended,
		.arg = guest,
	};
	int ret = device_create(guest->loop, guest->core, fd, &options, &guest->device);

	if (ret < 0) {
		log_line(LOG_LEVEL_ERROR, "%s: cannot serve the VM: %s", guest->label,
			 strerror(-ret));
		return ret;
	}
	log_line(LOG_LEVEL_INFO, "%s: a VM connected", guest->label);
	return 0;
}

/*
 * Out of file descriptors, a pending connection would wake us for ever: give up the
 * spare one to accept and close it, so that the front-end learns of it.
 */
static void refuse_one(struct guest_socket *guest)
{
	int fd;

	fd_close(&guest->spare);
	fd = accept4(guest->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	guest->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	log_line(LOG_LEVEL_ERROR,
		 "%s: refused a VM: out of file descriptors (raise RLIMIT_NOFILE)", guest->label);
}

static void on_connection(struct loop_source *source, uint32_t events)
{
	struct guest_socket *guest =
		(struct guest_socket *)((char *)source - offsetof(struct guest_socket, source));
	int fd = accept4(guest->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(guest);
		return;
	}
	if (connected(guest, fd) == 0)
		loop_remove(&guest->source);
}

static int watch(struct guest_socket *guest)
{
	int ret = loop_add(guest->loop, &guest->source, guest->fd, EPOLLIN, on_connection);

	if (ret < 0)
		log_line(LOG_LEVEL_ERROR, "%s: cannot listen: %s", guest->label, strerror(-ret));
	return ret;
}

static void cleanup(struct loop_deferred *deferred)
{
	struct guest_socket *guest =
		(struct guest_socket *)((char *)deferred - offsetof(struct guest_socket, cleanup));

	device_destroy(guest->device);
	guest->device = NULL;
	if (guest->fd < 0)
		guest->finished(guest->arg);
	else
		(void)watch(guest);
}

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

static int bind_path(struct guest_socket *guest, const char *path)
{
	struct stat st;
	int ret;

	guest->addr.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(guest->addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(guest->addr.sun_path, path, strlen(path) + 1);
	guest->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (guest->fd < 0)
		return -errno;
	ret = remove_stale(&guest->addr);
	if (ret < 0)
		return ret;
	if (bind(guest->fd, (struct sockaddr *)&guest->addr, sizeof(guest->addr)) < 0)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	guest->bound = true;
	guest->dev = st.st_dev;
	guest->ino = st.st_ino;
	return listen(guest->fd, 1) < 0 ? -errno : 0;
}

/* @fd becomes the guest's own; *ret_listening says which kind it is. */
static int take_fd(struct guest_socket *guest, int fd, bool *ret_listening)
{
	int domain, type, accepting;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &len) < 0)
		return -errno;
	if (domain != AF_UNIX || type != SOCK_STREAM)
		return -EPROTOTYPE;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	*ret_listening = accepting;
	if (accepting) {
		guest->fd = fd;
		return fd_set_nonblock(fd);
	}
	return 0;
}

int guest_socket_create(struct loop *loop, struct core *core,
			const struct guest_socket_options *options,
			struct guest_socket **ret_socket)
{
	struct guest_socket *guest = calloc(1, sizeof(*guest));
	FD_OWNED int fd = options->path ? -1 : options->fd;
	bool listening = true;
	int ret;

	if (!guest)
		return -ENOMEM;
	guest->loop = loop;
	guest->core = core;
	guest->limits = *options->limits;
	guest->stats = options->stats;
	guest->finished = options->finished;
	guest->arg = options->arg;
	guest->fd = -1;
	guest->cleanup.fn = cleanup;
	memcpy(guest->label, options->label, strlen(options->label) + 1);
	guest->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (options->path) {
		ret = bind_path(guest, options->path);
	} else {
		ret = take_fd(guest, fd, &listening);
		if (guest->fd >= 0)
			(void)fd_take(&fd);
	}
	if (ret < 0)
		log_line(LOG_LEVEL_ERROR, "%s: cannot use %s %s: %s", guest->label,
			 options->path ? "the socket" : "the file descriptor",
			 options->path ? options->path : "that was given", strerror(-ret));
	else if (listening)
		ret = watch(guest);
	else
		ret = connected(guest, fd_take(&fd));
	if (ret < 0) {
		guest_socket_destroy(guest);
		return ret;
	}
	*ret_socket = guest;
	return 0;
}

/* Somebody may have put another socket there meanwhile: that is not ours. */
static void remove_name(const struct guest_socket *guest)
{
	struct stat st;

	if (guest->bound && lstat(guest->addr.sun_path, &st) == 0 && st.st_dev == guest->dev &&
	    st.st_ino == guest->ino)
		(void)unlink(guest->addr.sun_path);
}

void guest_socket_destroy(struct guest_socket *guest)
{
	if (!guest)
		return;
	loop_cancel(guest->loop, &guest->cleanup);
	loop_remove(&guest->source);
	device_destroy(guest->device);
	remove_name(guest);
	fd_close(&guest->fd);
	fd_close(&guest->spare);
	free(guest);
}
