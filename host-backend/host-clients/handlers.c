/* SPDX-License-Identifier: MIT */
#include "host-clients/handlers.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "host-clients/server_private.h"
#include "util/log.h"

/* Bytes of a page of a list: small enough to go out while others wait. */
#define LIST_PAGE_MAX 32768

void client_core_error(struct client_conn *conn, int error, const char *what)
{
	const struct core_limits *limits = client_server_limits(conn->server);

	switch (error) {
	case -ENOENT:
		client_conn_error(conn, BUFSHARE_S_NOT_FOUND, "there is no such %s for you", what);
		break;
	case -EAGAIN:
		client_conn_error(conn, BUFSHARE_S_SUSPENDED,
				  "the guest of this %s is stopped or being reset", what);
		break;
	case -EDQUOT:
		client_conn_error(conn, BUFSHARE_S_LIMIT,
				  "a client may hold %u buffers and join %u streams",
				  limits->max_holds, limits->max_consumers);
		break;
	case -EMFILE:
	case -ENFILE:
		client_conn_error(conn, BUFSHARE_S_LIMIT,
				  "the daemon has no file descriptor left for this %s", what);
		break;
	case -ENOMEM:
		client_conn_error(conn, BUFSHARE_S_NO_MEMORY,
				  "the daemon has no memory left for this %s", what);
		break;
	default:
		client_conn_error(conn, BUFSHARE_S_INVALID, "this %s cannot be had: %s", what,
				  strerror(-error));
		break;
	}
}

/* ---- HELLO ---- */

static bool name_ok(const char *name, size_t size)
{
	size_t len = strnlen(name, size);

	if (len == 0 || len == size)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return false;
	return true;
}

static void handle_hello(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_hello *req = data;
	const struct core_limits *limits = client_server_limits(conn->server);
	struct bufshare_msg_hello_reply reply = { 0 };
	int error;

	if (conn->peer != NULL) {
		client_conn_error(conn, BUFSHARE_S_STATE, "HELLO was said already");
		return;
	}
	if (conn->refusal[0] != '\0') {
		client_conn_error(conn, BUFSHARE_S_LIMIT, "%s", conn->refusal);
		conn->closing = true;
		return;
	}
	if (!conn->policy.admitted) {
		client_conn_error(conn, BUFSHARE_S_NOT_PERMITTED,
				  "uid %u may not use this daemon: run as root, as a user named by "
				  "--admin (the daemon's own if there is none), or start the daemon "
				  "with --trust uid=%u",
				  (unsigned int)conn->policy.uid, (unsigned int)conn->policy.uid);
		conn->closing = true;
		return;
	}
	if (!name_ok(req->name, sizeof(req->name))) {
		client_conn_error(conn, BUFSHARE_S_INVALID,
				  "a client's name is 1 to %zu printable characters",
				  sizeof(req->name) - 1);
		return;
	}
	error = peer_create(client_server_core(conn->server), PEER_CLIENT, req->name, true, limits,
			    &client_peer_ops, conn, &conn->peer);
	if (error < 0) {
		client_core_error(conn, error, "client");
		return;
	}
	memcpy(conn->name, req->name, sizeof(conn->name));
	reply.features = htole64(0); /* none is defined, so none is common */
	reply.paths = htole32(conn->policy.read_paths);
	reply.max_holds = htole32(limits->max_holds);
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}

/* ---- lists ---- */

struct page {
	uint8_t *at, *end;
	size_t item;
	uint32_t count;
};

static struct page page_start(struct client_conn *conn, size_t item)
{
	uint8_t *base = client_server_scratch(conn->server);

	return (struct page){
		.at = base + sizeof(struct bufshare_msg_list_reply),
		.end = base + LIST_PAGE_MAX,
		.item = item,
	};
}

/* Returns whether there is room for another item. */
static bool page_next(struct page *page)
{
	page->at += page->item;
	page->count++;
	return (size_t)(page->end - page->at) >= page->item;
}

static void page_reply(struct client_conn *conn, const struct page *page, uint64_t cursor)
{
	struct bufshare_msg_list_reply *reply = client_server_scratch(conn->server);

	*reply = (struct bufshare_msg_list_reply){
		.cursor = htole64(cursor),
		.count = htole32(page->count),
	};
	client_conn_reply(conn, reply, (size_t)(page->at - (uint8_t *)reply), NULL, 0);
}

static bool add_buffer(void *arg, const struct buffer *buffer)
{
	struct page *page = arg;

	client_encode_buffer(buffer, (struct bufshare_msg_buffer_info *)page->at);
	return page_next(page);
}

static void handle_list_buffers(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_list *req = data;
	struct page page = page_start(conn, sizeof(struct bufshare_msg_buffer_info));
	uint64_t cursor = le64toh(req->cursor);

	buffer_walk(conn->peer, &cursor, add_buffer, &page);
	page_reply(conn, &page, cursor);
}

static bool add_stream(void *arg, const struct stream *stream)
{
	struct page *page = arg;

	client_encode_stream(stream, (struct bufshare_msg_stream_info *)page->at);
	return page_next(page);
}

static void handle_list_streams(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_list *req = data;
	struct page page = page_start(conn, sizeof(struct bufshare_msg_stream_info));
	uint64_t cursor = le64toh(req->cursor);

	stream_walk(conn->peer, &cursor, add_stream, &page);
	page_reply(conn, &page, cursor);
}

/* ---- STATS, WATCH ---- */

static void handle_stats(struct client_conn *conn, const void *data)
{
	struct bufshare_msg_stats_reply reply = { 0 };
	struct client_device_stats device = { 0 };
	struct core_stats core;

	(void)data;
	core_get_stats(client_server_core(conn->server), &core);
	client_server_device_stats(conn->server, &device);
	reply.guests = htole64(core.guests);
	reply.clients = htole64(core.clients);
	reply.buffers = htole64(core.buffers);
	reply.extents = htole64(core.extents);
	reply.bytes_shared = htole64(core.bytes);
	reply.streams = htole64(core.streams);
	reply.frames_published = htole64(core.frames_published);
	reply.frames_delivered = htole64(core.frames_delivered);
	reply.frames_released = htole64(core.frames_released);
	reply.requests = htole64(device.requests);
	reply.request_errors = htole64(device.request_errors);
	reply.events = htole64(device.events);
	reply.event_overflows = htole64(device.event_overflows);
	reply.control_bytes = htole64(device.control_bytes);
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}

static void handle_watch(struct client_conn *conn, const void *data)
{
	const struct bufshare_msg_watch *req = data;
	uint32_t what = le32toh(req->what);
	struct bufshare_msg_hdr reply;

	if (req->reserved != 0 || (what & ~(BUFSHARE_WATCH_BUFFERS | BUFSHARE_WATCH_STREAMS)) != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "WATCH: 0x%x is not to be watched",
				  what);
		return;
	}
	conn->watch = what;
	peer_watch(conn->peer, ((what & BUFSHARE_WATCH_BUFFERS) != 0 ? WATCH_BUFFERS : 0) |
				       ((what & BUFSHARE_WATCH_STREAMS) != 0 ? WATCH_STREAMS : 0));
	client_conn_reply(conn, &reply, sizeof(reply), NULL, 0);
}

/* ---- the table ---- */

struct handler {
	const char *name;
	size_t len; /* of the request, exactly */
	void (*handle)(struct client_conn *conn, const void *data);
};

static const struct handler handlers[] = {
	[BUFSHARE_MSG_HELLO] = { "HELLO", sizeof(struct bufshare_msg_hello), handle_hello },
	[BUFSHARE_MSG_LIST_BUFFERS] = { "LIST_BUFFERS", sizeof(struct bufshare_msg_list),
					handle_list_buffers },
	[BUFSHARE_MSG_LIST_STREAMS] = { "LIST_STREAMS", sizeof(struct bufshare_msg_list),
					handle_list_streams },
	[BUFSHARE_MSG_STATS] = { "STATS", sizeof(struct bufshare_msg_hdr), handle_stats },
	[BUFSHARE_MSG_WATCH] = { "WATCH", sizeof(struct bufshare_msg_watch), handle_watch },
	[BUFSHARE_MSG_BUFFER_GET] = { "BUFFER_GET", sizeof(struct bufshare_msg_buffer_get),
				      client_buffer_get },
	[BUFSHARE_MSG_BUFFER_EXTENTS] = { "BUFFER_EXTENTS",
					  sizeof(struct bufshare_msg_buffer_extents),
					  client_buffer_extents },
	[BUFSHARE_MSG_BUFFER_PUT] = { "BUFFER_PUT", sizeof(struct bufshare_msg_buffer_put),
				      client_buffer_put },
	[BUFSHARE_MSG_STREAM_JOIN] = { "STREAM_JOIN", sizeof(struct bufshare_msg_stream_join),
				       client_stream_join },
	[BUFSHARE_MSG_STREAM_LEAVE] = { "STREAM_LEAVE", sizeof(struct bufshare_msg_stream_leave),
					client_stream_leave },
	[BUFSHARE_MSG_FRAME_RELEASE] = { "FRAME_RELEASE",
					 sizeof(struct bufshare_msg_frame_release),
					 client_frame_release },
};

_Static_assert(sizeof(struct bufshare_msg_stream_join) <= CLIENT_REQUEST_MAX,
	       "no request is longer than this one");

void client_handle(struct client_conn *conn, const void *data, size_t len)
{
	const struct handler *handler;

	/* Before HELLO a stranger learns nothing, not even which requests there are. */
	if (conn->peer == NULL && conn->type != BUFSHARE_MSG_HELLO) {
		client_conn_error(conn, BUFSHARE_S_STATE, "HELLO comes first");
		return;
	}
	if (conn->type >= sizeof(handlers) / sizeof(handlers[0]) ||
	    handlers[conn->type].handle == NULL) {
		client_conn_error(conn, BUFSHARE_S_UNSUPPORTED, "there is no request %u",
				  conn->type);
		return;
	}
	handler = &handlers[conn->type];
	if (len != handler->len) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "%s has %zu bytes, not %zu",
				  handler->name, handler->len, len);
		return;
	}
	handler->handle(conn, data);
}
