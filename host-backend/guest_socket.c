/* SPDX-License-Identifier: MIT */
#include "guest_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "listener.h"
#include "log.h"
#include "loop.h"

struct guest_socket {
	struct loop *loop;
	struct core *core;
	struct core_limits limits;
	struct device_stats *stats;
	bool (*is_admin)(void *arg, uid_t uid);
	void (*finished)(void *arg);
	void *arg;
	bool warned;

	struct listener listener; /* its fd is -1: the one connection was given */
	struct device *device;	  /* owned; NULL: nobody is connected */
	struct loop_deferred cleanup;
	struct log_peer log; /* for all connections: a new one brings no fresh rate limit */
	char label[LABEL_SIZE];
};

static void device_ended(void *arg, int error)
{
	struct guest_socket *guest = arg;

	if (error < 0)
		log_peer(&guest->log, LOG_LEVEL_WARNING, "the VM's connection ended: %s",
			 strerror(-error));
	else
		log_peer(&guest->log, LOG_LEVEL_INFO, "the VM disconnected");
	/* Its connection is still on the stack. */
	loop_defer(guest->loop, &guest->cleanup);
}

/* A VMM that was taken over can do all that its user can: once is enough to say so. */
static void check_user(struct guest_socket *guest, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (guest->warned || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
	    cred.uid == 0 || !guest->is_admin(guest->arg, cred.uid))
		return;
	guest->warned = true;
	log_peer(&guest->log, LOG_LEVEL_WARNING,
		 "the VMM runs as uid %u, which may have every VM's buffers at the client socket: "
		 "run it as another user, or name who may with --admin=uid=N",
		 (unsigned int)cred.uid);
}

static int connected(struct guest_socket *guest, int fd)
{
	struct device_options options = {
		.label = guest->label,
		.limits = &guest->limits,
		.stats = guest->stats,
		.log = &guest->log,
		.ended = device_ended,
		.arg = guest,
	};
	int ret;

	check_user(guest, fd);
	ret = device_create(guest->loop, guest->core, fd, &options, &guest->device);
	if (ret < 0) {
		log_peer(&guest->log, LOG_LEVEL_ERROR, "cannot serve the VM: %s", strerror(-ret));
		return ret;
	}
	log_peer(&guest->log, LOG_LEVEL_INFO, "a VM connected");
	return 0;
}

static void on_connection(struct listener *listener, int fd)
{
	struct guest_socket *guest =
		(struct guest_socket *)((char *)listener - offsetof(struct guest_socket, listener));

	if (connected(guest, fd) == 0)
		listener_stop(listener);
}

static int watch(struct guest_socket *guest)
{
	int ret = listener_start(&guest->listener);

	if (ret < 0)
		log_peer(&guest->log, LOG_LEVEL_ERROR, "cannot listen: %s", strerror(-ret));
	return ret;
}

static void cleanup(struct loop_deferred *deferred)
{
	struct guest_socket *guest =
		(struct guest_socket *)((char *)deferred - offsetof(struct guest_socket, cleanup));

	device_destroy(guest->device);
	guest->device = NULL;
	if (guest->listener.fd < 0)
		guest->finished(guest->arg);
	else
		(void)watch(guest);
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
	return accepting ? listener_adopt(&guest->listener, fd) : 0;
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
	guest->is_admin = options->is_admin;
	guest->finished = options->finished;
	guest->arg = options->arg;
	guest->cleanup.fn = cleanup;
	memcpy(guest->label, options->label, strlen(options->label) + 1);
	log_peer_init(&guest->log, guest->label);
	listener_init(&guest->listener, loop, &guest->log, on_connection);

	if (options->path) {
		/* One is served at a time: a single other one waits. */
		ret = listener_bind(&guest->listener, options->path, SOCK_STREAM, false, 1);
	} else {
		ret = take_fd(guest, fd, &listening);
		if (guest->listener.fd >= 0)
			(void)fd_take(&fd);
	}
	if (ret < 0)
		log_peer(&guest->log, LOG_LEVEL_ERROR, "cannot use %s %s: %s",
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

void guest_socket_destroy(struct guest_socket *guest)
{
	if (!guest)
		return;
	loop_cancel(guest->loop, &guest->cleanup);
	device_destroy(guest->device);
	listener_finish(&guest->listener);
	free(guest);
}
