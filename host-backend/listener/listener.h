/* SPDX-License-Identifier: MIT */
/*
 * A listening AF_UNIX socket: its name in the file system, and what waits at it.
 *
 * Theory of operation.  A name that is taken is replaced only when it is a socket and
 * nobody listens there, and at the end only our own is removed.  When accept(2) fails for
 * want of descriptors or memory, the one who waits keeps the socket readable: so nobody is
 * accepted for LISTENER_PAUSE_MS, by a timer that was made when there were descriptors
 * left.  Nothing runs while nobody waits.
 */
#ifndef LISTENER_LISTENER_H
#define LISTENER_LISTENER_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include "loop.h"

struct log_peer;

#define LISTENER_PAUSE_MS 200

struct listener {
	struct loop *loop;	 /* borrowed */
	struct log_peer *log;	 /* borrowed */
	/* @fd: non-blocking, owned by who is called.  It may stop the listener, not finish it. */
	void (*connection)(struct listener *listener, int fd);
	int fd;	      /* owned, listening; -1: none */
	int timer_fd; /* owned */
	struct loop_source source, timer;
	bool failing; /* the last accept() did, and that was logged */
	bool bound;   /* the name is ours to remove */
	dev_t dev;
	ino_t ino;
	struct sockaddr_un addr;
};

/* Of these functions all that can fail return 0 or a negative errno. */

/* listener_finish() is due afterwards, also when one of the others fails. */
void listener_init(struct listener *listener, struct loop *loop, struct log_peer *log,
		   void (*connection)(struct listener *listener, int fd));
/*
 * Makes a socket of @type at @path, which is copied.  @everybody: may connect; else the
 * umask says who.  -EADDRINUSE: somebody listens there; -EEXIST: something else than a
 * socket is there; -ENAMETOOLONG.
 */
int listener_bind(struct listener *listener, const char *path, int type, bool everybody,
		  int backlog);
/* Takes @fd over, which listens already and is made non-blocking; its name is not ours. */
int listener_adopt(struct listener *listener, int fd);
/* Begins to accept; also after listener_stop(), and if it does already. */
int listener_start(struct listener *listener);
/* Who connects now waits. */
void listener_stop(struct listener *listener);
/* One that is all 0 is fine. */
void listener_finish(struct listener *listener);

#endif /* LISTENER_LISTENER_H */
