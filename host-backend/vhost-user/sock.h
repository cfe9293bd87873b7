/* SPDX-License-Identifier: MIT */
/*
 * Framing of vhost-user messages on a non-blocking stream socket.
 *
 * The stream is read as it comes, a byte at a time if need be, but never past the end
 * of the current message: the descriptors that arrive with it are certainly its own.
 */
#ifndef VHOST_USER_SOCK_H
#define VHOST_USER_SOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.h"

struct vu_message_in {
	struct vu_header header;
	union vu_payload payload; /* header.size bytes of it are valid, the rest is 0 */
	int fds[VU_MAX_FDS];	  /* owned; a taken one is -1 */
	size_t num_fds;		  /* that arrived */
};

struct vu_sock {
	int fd; /* owned */
	struct vu_message_in in;
	size_t received; /* bytes of the header and payload */
	/* The rest of a reply that the socket did not take. */
	unsigned char out[sizeof(struct vu_header) + sizeof(union vu_payload)];
	size_t out_len, out_sent;
};

/* @fd: a stream socket, owned from now on.  It is made non-blocking. */
int vu_sock_init(struct vu_sock *sock, int fd);
void vu_sock_finish(struct vu_sock *sock);

/*
 * 1: sock->in holds a message, until vu_sock_done(); 0: not yet; -ENODATA: the peer
 * closed between two messages; -ECONNRESET: within one; -EPROTO, -EMSGSIZE: a bad
 * header, a payload that no message has, too many descriptors (*@ret_why says which);
 * another negative errno of recvmsg(2).
 */
int vu_sock_receive(struct vu_sock *sock, const char **ret_why);
/* Closes the descriptors that nobody took. */
void vu_sock_done(struct vu_sock *sock);

/*
 * Sends a reply to sock->in.  0: sent or kept for vu_sock_flush(); the caller receives
 * no further message while vu_sock_pending().
 */
int vu_sock_reply(struct vu_sock *sock, const void *payload, size_t len);
int vu_sock_flush(struct vu_sock *sock);
bool vu_sock_pending(const struct vu_sock *sock);

#endif /* VHOST_USER_SOCK_H */
