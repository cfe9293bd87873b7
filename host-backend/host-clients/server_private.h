/* SPDX-License-Identifier: MIT */
/* What the parts of the client server share. */
#ifndef HOST_CLIENTS_SERVER_PRIVATE_H
#define HOST_CLIENTS_SERVER_PRIVATE_H

#include "host-clients/connection.h"
#include "host-clients/server.h"

struct log_peer;

struct loop *client_server_loop(struct client_server *server);
struct core *client_server_core(struct client_server *server);
const struct core_limits *client_server_limits(const struct client_server *server);
/* One for all clients: a client cannot get a fresh rate limit by connecting again. */
struct log_peer *client_server_log(struct client_server *server);
/* The fd of /dev/udmabuf, borrowed, or -1. */
int client_server_udmabuf(const struct client_server *server);
void client_server_device_stats(struct client_server *server,
				struct client_device_stats *ret_stats);
/* BUFSHARE_MSG_MAX bytes in which a handler builds its reply. */
void *client_server_scratch(struct client_server *server);

/* client_conn_retry() is called for every connection, in a moment. */
void client_server_retry_later(struct client_server *server);

void client_server_link(struct client_server *server, struct client_conn *conn);
void client_server_unlink(struct client_conn *conn);

#endif /* HOST_CLIENTS_SERVER_PRIVATE_H */
