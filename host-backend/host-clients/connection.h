/* SPDX-License-Identifier: MIT */
/*
 * One client's connection: packets in, packets out.
 *
 * Theory of operation.  A request is read, handled and answered at once.  What the
 * socket does not take waits in the output queue, and as long as anything waits there
 * nothing is read: a client that does not read gets no more work done.  Events come
 * from the core at any time and are bounded otherwise: watch events by a number of
 * bytes, beyond which they are dropped and one EVENT_RESYNC tells so; frames by those
 * in flight, a number that the core keeps.  The hard bound over all ends the connection.
 *
 * A connection that failed stays in memory until the loop's round is over, because the
 * core may be in the middle of telling its peer something.
 */
#ifndef HOST_CLIENTS_CONNECTION_H
#define HOST_CLIENTS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bufshare_client_protocol.h"
#include "core/core.h"
#include "host-clients/policy.h"
#include "loop/loop.h"

struct client_server;
struct packet;

#define CLIENT_REFUSAL_SIZE 96

struct client_conn {
	struct client_server *server;
	struct client_conn *next, **link; /* in the server's list */
	struct loop_source source;
	struct loop_deferred end;
	int fd; /* owned */
	pid_t pid;
	struct client_policy policy;
	char refusal[CLIENT_REFUSAL_SIZE]; /* what it will be told at HELLO; "": it is taken */
	char name[VIRTIO_BUFSHARE_LABEL_SIZE]; /* from HELLO */
	struct peer *peer;		       /* owned; NULL before HELLO */

	struct packet *head, **tail;
	size_t queued;	     /* bytes of memory in the output queue */
	bool stalled;	     /* waits for client_conn_retry(), not for its socket */
	bool lost_events;    /* watch events are dropped until RESYNC is queued */
	bool closing;	     /* ends when the output queue is empty */
	bool dead;	     /* failed; freed after this round */
	uint32_t watch;	     /* BUFSHARE_WATCH_* */
	uint32_t unread_fds; /* sent since the client was last seen to have read all */

	uint32_t serial; /* of the request that is handled */
	uint32_t type;
};

/*
 * @fd: owned by the connection, also when this fails.  @refusal: "", or a sentence; such a
 * connection ends after HELLO was answered with it, or with the next client_conn_retry().
 */
int client_conn_create(struct client_server *server, int fd, pid_t pid,
		       const struct client_policy *policy,
		       const char refusal[CLIENT_REFUSAL_SIZE]);
/* At once; only outside of calls from the core. */
void client_conn_destroy(struct client_conn *conn);

/* Sends on if the connection is stalled; ends one that is refused. */
void client_conn_retry(struct client_conn *conn);

/*
 * Ends the connection after this round, with a log line that gives @reason.  Nothing
 * is sent or handled any more.
 */
void client_conn_fail(struct client_conn *conn, const char *reason);

/*
 * Answers the request that is handled: fills in the header at the start of @msg
 * (@len bytes in all, at most BUFSHARE_MSG_MAX).  @fds: @num_fds of them, owned by this
 * function from now on.  Can end the connection.
 */
void client_conn_reply(struct client_conn *conn, void *msg, size_t len, int *fds,
		       uint32_t num_fds);
void client_conn_error(struct client_conn *conn, enum bufshare_msg_status status,
		       const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whether @num more fds may be sent before the client has read what it was sent. */
bool client_conn_can_send_fds(struct client_conn *conn, uint32_t num);

/* An event that is bounded by what the client holds: never dropped. */
void client_conn_event(struct client_conn *conn, uint32_t type, void *msg, size_t len);
/* An event of WATCH: dropped, and RESYNC sent later, when the client is slow. */
void client_conn_watch_event(struct client_conn *conn, uint32_t type, void *msg, size_t len);

#endif /* HOST_CLIENTS_CONNECTION_H */
