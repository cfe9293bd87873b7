/* SPDX-License-Identifier: MIT */
/*
 * What the core tells a client, turned into events.  These functions are called in the
 * middle of the core's work: they send or queue, and change nothing there.
 */
#include "host-clients/handlers.h"

#include <endian.h>
#include <string.h>

/* The daemon's names are terminated and fit. */
static void copy_name(char *to, const char *from)
{
	memcpy(to, from, strnlen(from, VIRTIO_BUFSHARE_LABEL_SIZE - 1));
}

void client_encode_buffer(const struct buffer *buffer, struct bufshare_msg_buffer_info *ret_info)
{
	uint32_t num_extents;

	(void)buffer_extents(buffer, &num_extents);
	*ret_info = (struct bufshare_msg_buffer_info){
		.size = htole64(buffer_size(buffer)),
		.num_extents = htole32(num_extents),
		.state = htole32(buffer_state(buffer)),
		.users = htole32(buffer_users(buffer)),
		.desc = *buffer_desc(buffer),
	};
	memcpy(ret_info->uuid, buffer_uuid(buffer), UUID_SIZE);
	copy_name(ret_info->owner, buffer_owner_label(buffer));
}

void client_encode_stream(const struct stream *stream, struct bufshare_msg_stream_info *ret_info)
{
	*ret_info = (struct bufshare_msg_stream_info){
		.listeners = htole32(stream_listeners(stream)),
		.in_flight = htole32(stream_in_flight(stream)),
		.published = htole64(stream_published(stream)),
		.sequence = htole64(stream_sequence(stream)),
	};
	copy_name(ret_info->owner, stream_owner_label(stream));
	copy_name(ret_info->name, stream_name(stream));
}

static void on_buffer_added(struct peer *peer, const struct buffer *buffer)
{
	struct bufshare_msg_event_buffer_added msg;

	client_encode_buffer(buffer, &msg.info);
	client_conn_watch_event(peer_priv(peer), BUFSHARE_MSG_EVENT_BUFFER_ADDED, &msg,
				sizeof(msg));
}

static void on_buffer_removed(struct peer *peer, const struct buffer *buffer,
			      enum removed_reason reason)
{
	struct client_conn *conn = peer_priv(peer);
	struct bufshare_msg_event_buffer_removed msg = { .reason = htole32(reason) };

	memcpy(msg.uuid, buffer_uuid(buffer), UUID_SIZE);
	/*
	 * Who holds it, or a frame of it, must learn that it is dead, however slow it is;
	 * and only those are told who hold it or watch.
	 */
	if ((conn->watch & BUFSHARE_WATCH_BUFFERS) == 0 || buffer_has_user(buffer, peer))
		client_conn_event(conn, BUFSHARE_MSG_EVENT_BUFFER_REMOVED, &msg, sizeof(msg));
	else
		client_conn_watch_event(conn, BUFSHARE_MSG_EVENT_BUFFER_REMOVED, &msg, sizeof(msg));
}

static void on_stream_added(struct peer *peer, const struct stream *stream)
{
	struct bufshare_msg_event_stream msg;

	client_encode_stream(stream, &msg.info);
	client_conn_watch_event(peer_priv(peer), BUFSHARE_MSG_EVENT_STREAM_ADDED, &msg,
				sizeof(msg));
}

static void on_stream_removed(struct peer *peer, const struct stream *stream)
{
	struct bufshare_msg_event_stream msg;

	client_encode_stream(stream, &msg.info);
	client_conn_watch_event(peer_priv(peer), BUFSHARE_MSG_EVENT_STREAM_REMOVED, &msg,
				sizeof(msg));
}

static void on_frame_arrived(struct peer *peer, const struct consumer *consumer,
			     const struct buffer *buffer, const struct frame_info *frame)
{
	struct bufshare_msg_event_frame msg = {
		.consumer_id = htole32(consumer_id(consumer)),
		.clock = htole32(frame->clock),
		.sequence = htole64(frame->sequence),
		.timestamp = htole64(frame->timestamp),
		.received = htole64(frame->received),
		.flags = htole32(frame->flags),
	};

	memcpy(msg.uuid, buffer_uuid(buffer), UUID_SIZE);
	client_conn_event(peer_priv(peer), BUFSHARE_MSG_EVENT_FRAME, &msg, sizeof(msg));
}

static void on_stream_ended(struct peer *peer, const struct consumer *consumer,
			    enum removed_reason reason)
{
	struct bufshare_msg_event_stream_ended msg = {
		.consumer_id = htole32(consumer_id(consumer)),
		.reason = htole32(reason),
	};

	client_conn_event(peer_priv(peer), BUFSHARE_MSG_EVENT_STREAM_ENDED, &msg, sizeof(msg));
}

const struct peer_ops client_peer_ops = {
	.buffer_added = on_buffer_added,
	.buffer_removed = on_buffer_removed,
	.stream_added = on_stream_added,
	.stream_removed = on_stream_removed,
	.frame_arrived = on_frame_arrived,
	.stream_ended = on_stream_ended,
};
