/* SPDX-License-Identifier: MIT */
/*
 * Where one VM's front-end connects.  It is one front-end at a time: the next one
 * waits in the socket's backlog until the one before has ended.
 */
#ifndef GUEST_SOCKET_H
#define GUEST_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "core.h"
#include "device.h"

struct guest_socket;
struct loop;

struct guest_socket_options {
	const char *label; /* copied */
	const char *path;  /* copied; a stale socket there is replaced.  NULL: @fd */
	int fd;		   /* an AF_UNIX stream socket, listening or connected; owned */
	const struct core_limits *limits; /* copied */
	struct device_stats *stats;	  /* borrowed */
	/* Whether a program of @uid may have every guest's buffers. */
	bool (*is_admin)(void *arg, uid_t uid);
	/* A socket that came connected has ended: nobody can connect any more. */
	void (*finished)(void *arg);
	void *arg;
};

/*
 * @loop, @core: borrowed until guest_socket_destroy().  Returns 0 or a negative errno,
 * with a log line: -EADDRINUSE: somebody listens at the path; -EEXIST: something else
 * is there; -ENAMETOOLONG; -ENOTSOCK, -EPROTOTYPE: @fd is no such socket.
 */
int guest_socket_create(struct loop *loop, struct core *core,
			const struct guest_socket_options *options,
			struct guest_socket **ret_socket);
/* Ends the guest's connection and removes the socket's name.  NULL is fine. */
void guest_socket_destroy(struct guest_socket *socket);

#endif /* GUEST_SOCKET_H */
