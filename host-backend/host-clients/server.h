/* SPDX-License-Identifier: MIT */
/*
 * The client socket: host programs that use the guests' buffers and streams.
 *
 * Speaks include/bufshare_client_protocol.h on an AF_UNIX SOCK_SEQPACKET socket and
 * turns it into calls of core/core.h.  A program is known by its uid (SO_PEERCRED):
 * uid 0, and those named by --admin or else the daemon's own, are administrators; others
 * are refused unless they are trusted by name (--trust).
 */
#ifndef HOST_CLIENTS_SERVER_H
#define HOST_CLIENTS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client_server;
struct core;
struct loop;

/* --trust uid=N[:rw]: may be given the memfd of a whole guest's RAM. */
struct client_trust {
	uid_t uid;
	bool write; /* also writable; otherwise read-only */
};

/* What the device side has counted, summed over all guests (STATS). */
struct client_device_stats {
	uint64_t requests;
	uint64_t request_errors;
	uint64_t events;
	uint64_t event_overflows;
	uint64_t control_bytes;
};

#define CLIENT_MAX_CLIENTS_DEFAULT	   256
#define CLIENT_MAX_CLIENTS_PER_UID_DEFAULT 64
#define CLIENT_MAX_HOLDS_DEFAULT	   1024
#define CLIENT_MAX_CONSUMERS_DEFAULT	   64

struct client_server_options {
	/*
	 * Where to listen.  With @listen_fd >= 0 that bound SOCK_SEQPACKET socket is
	 * used and @path is NULL; otherwise @path is bound, a dead socket there is
	 * replaced, and the name is removed by client_server_destroy().
	 */
	const char *path;
	int listen_fd; /* owned by the server from client_server_create() on; -1: none */

	const uid_t *admins; /* copied; beside uid 0.  None: the daemon's own */
	size_t num_admins;
	const struct client_trust *trust; /* copied */
	size_t num_trust;

	uint32_t max_clients;	       /* connections; 0: the default, as below */
	uint32_t max_clients_per_uid;  /* of them, whoever the user is */
	uint32_t max_holds;	       /* buffers that one client may hold */
	uint32_t max_consumers;	       /* streams that one client may have joined */

	const char *udmabuf_path; /* NULL: /dev/udmabuf; "": do not use it */

	/* May be NULL: the device side's counters are then 0. */
	void (*device_stats)(void *arg, struct client_device_stats *ret_stats);
	void *device_stats_arg;
};

/* The defaults, no path, no trusted uids. */
#define CLIENT_SERVER_OPTIONS_INIT { .listen_fd = -1 }

/*
 * @loop and @core are borrowed until client_server_destroy(); @options is not kept.
 * Returns 0 or a negative errno, with a log line: -EADDRINUSE when a living daemon
 * listens on @path, -EEXIST when something else than a socket is there, -ENAMETOOLONG,
 * -EINVAL, and those of socket(2) and bind(2).
 */
int client_server_create(struct loop *loop, struct core *core,
			 const struct client_server_options *options,
			 struct client_server **ret_server);

/* Whether programs of @uid may have every guest's buffers. */
bool client_server_is_admin(const struct client_server *server, uid_t uid);

/* Ends all connections at once: their holds and frames are given back.  NULL is fine. */
void client_server_destroy(struct client_server *server);

#endif /* HOST_CLIENTS_SERVER_H */
