/* SPDX-License-Identifier: MIT */
/*
 * One handler for each request; each answers exactly once, by client_conn_reply() or
 * client_conn_error(), and changes nothing when it refuses.
 */
#ifndef HOST_CLIENTS_HANDLERS_H
#define HOST_CLIENTS_HANDLERS_H

#include <stddef.h>

#include "host-clients/connection.h"

/* Bytes; no request is longer. */
#define CLIENT_REQUEST_MAX 256

/* @data: a private copy, 8-byte aligned; @len: at least a header. */
void client_handle(struct client_conn *conn, const void *data, size_t len);

/* The error that a call of the core means; @what names what was asked for. */
void client_core_error(struct client_conn *conn, int error, const char *what);

/* handlers_buffer.c */
void client_buffer_get(struct client_conn *conn, const void *data);
void client_buffer_extents(struct client_conn *conn, const void *data);
void client_buffer_put(struct client_conn *conn, const void *data);

/* handlers_stream.c */
void client_stream_join(struct client_conn *conn, const void *data);
void client_stream_leave(struct client_conn *conn, const void *data);
void client_frame_release(struct client_conn *conn, const void *data);

/* What the core tells a client; its priv is the struct client_conn. */
extern const struct peer_ops client_peer_ops;

void client_encode_buffer(const struct buffer *buffer, struct bufshare_msg_buffer_info *ret_info);
void client_encode_stream(const struct stream *stream, struct bufshare_msg_stream_info *ret_info);

#endif /* HOST_CLIENTS_HANDLERS_H */
