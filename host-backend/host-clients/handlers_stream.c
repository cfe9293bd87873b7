/* SPDX-License-Identifier: MIT */
#include "host-clients/handlers.h"

#include <endian.h>
#include <string.h>

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

void client_stream_join(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_stream_join *req = data;
	struct bufshare_msg_stream_join_reply reply = { 0 };
	struct consumer *consumer;
	int error;

	if (!terminated(req->owner, sizeof(req->owner)) ||
	    !terminated(req->name, sizeof(req->name))) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "STREAM_JOIN: a name is at most %zu characters",
				  sizeof(req->name) - 1);
		return;
	}
	if (req->reserved != 0 || le32toh(req->mode) != BUFSHARE_JOIN_ALL_FRAMES) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "STREAM_JOIN: there is no mode %u",
				  le32toh(req->mode));
		return;
	}
	error = consumer_join(conn->peer, req->owner, req->name, &consumer);
	if (error < 0) {
		client_core_error(conn, error, "stream");
		return;
	}
	reply.consumer_id = htole32(consumer_id(consumer));
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}

/* Answers with an error when there is none. */
static struct consumer *find_consumer(struct client_conn *conn, uint32_t id)
{
	struct consumer *consumer = consumer_find(conn->peer, id);

	if (consumer == NULL)
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND, "you have no consumer %u", id);
	return consumer;
}

void client_stream_leave(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_stream_leave *req = data;
	struct bufshare_msg_hdr reply;
	struct consumer *consumer;

	if (req->reserved != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "STREAM_LEAVE: the reserved field is not 0");
		return;
	}
	consumer = find_consumer(conn, le32toh(req->consumer_id));
	if (consumer == NULL)
		return;
	consumer_leave(consumer);
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}

void client_frame_release(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_frame_release *req = data;
	struct bufshare_msg_hdr reply;
	struct consumer *consumer;

	if (req->reserved != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "FRAME_RELEASE: the reserved field is not 0");
		return;
	}
	consumer = find_consumer(conn, le32toh(req->consumer_id));
	if (consumer == NULL)
		return;
	if (consumer_release(consumer, le64toh(req->sequence)) < 0) {
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND,
				  "you do not hold frame %llu of this stream",
				  (unsigned long long)le64toh(req->sequence));
		return;
	}
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}
