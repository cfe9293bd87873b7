/* SPDX-License-Identifier: MIT */
#include "host-clients/connection.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "host-clients/handlers.h"
#include "host-clients/server_private.h"
#include "util/fd.h"
#include "util/log.h"

/* Requests of one client that are handled before the others get their turn. */
#define REQUESTS_PER_ROUND 16

/*
 * Fds that wait in a socket count against the daemon's RLIMIT_NOFILE (unix(7),
 * ETOOMANYREFS), which all clients share: one that does not read may not use it up.
 */
#define MAX_UNREAD_FDS (2 * BUFSHARE_MSG_MAX_FDS)

/* Bytes of events that wait: watch events beyond that are lost, and a RESYNC says so. */
#define WATCH_QUEUE_MAX ((size_t)256 * 1024)

struct packet {
	struct packet *next;
	size_t len;
	uint32_t num_fds;
	int fds[BUFSHARE_MSG_MAX_FDS]; /* owned */
	unsigned char data[];
};

/* What one costs in the output queue: of a small event most is not the event. */
static size_t packet_cost(size_t len)
{
	return sizeof(struct packet) + len;
}

static void packet_free(struct packet *packet)
{
	fd_close_many(packet->fds, packet->num_fds);
	free(packet);
}

/* Watch events, one reply, and the events that the core's own limits bound. */
static size_t queue_max(const struct client_conn *conn)
{
	const struct core_limits *limits = client_server_limits(conn->server);
	size_t frames = (size_t)limits->max_consumers * VIRTIO_BUFSHARE_MAX_FRAMES;

	/* A holder can be told twice: its buffer was destroyed, then its guest was reset. */
	return WATCH_QUEUE_MAX + 2 * packet_cost(BUFSHARE_MSG_MAX) +
	       (limits->max_holds + frames) * 2 *
		       packet_cost(sizeof(struct bufshare_msg_event_buffer_removed)) +
	       limits->max_consumers * packet_cost(sizeof(struct bufshare_msg_event_stream_ended)) +
	       frames * packet_cost(sizeof(struct bufshare_msg_event_frame));
}

static void on_end(struct loop_deferred *deferred)
{
	struct client_conn *conn =
		(struct client_conn *)((char *)deferred - offsetof(struct client_conn, end));

	client_conn_destroy(conn);
}

/* Ends without a word: the client has gone, or has been told what was wrong. */
static void conn_end(struct client_conn *conn)
{
	if (conn->dead)
		return;
	conn->dead = true;
	loop_remove(&conn->source);
	loop_defer(client_server_loop(conn->server), &conn->end);
}

void client_conn_fail(struct client_conn *conn, const char *reason)
{
	if (conn->dead)
		return;
	log_peer(client_server_log(conn->server), LOG_LEVEL_WARNING,
		 "%s (uid %u, pid %d) is disconnected: %s",
		 conn->name[0] != '\0' ? conn->name : "a client", (unsigned int)conn->policy.uid,
		 (int)conn->pid, reason);
	conn_end(conn);
}

/* ---- out ---- */

static void update_interest(struct client_conn *conn)
{
	uint32_t events = 0;

	if (conn->dead)
		return;
	if (conn->head != NULL)
		events = conn->stalled ? 0 : EPOLLOUT;
	else if (!conn->closing)
		events = EPOLLIN;
	if (events != conn->source.events && loop_modify(&conn->source, events) < 0)
		client_conn_fail(conn, "the event loop failed");
}

/* Returns 0 when it was sent, a negative errno otherwise. */
static int send_packet(struct client_conn *conn, const void *data, size_t len, const int *fds,
		       uint32_t num_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * BUFSHARE_MSG_MAX_FDS)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (num_fds > 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * num_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * num_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * num_fds);
	}
	do {
		sent = sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	conn->unread_fds += num_fds;
	return 0;
}

static void send_failed(struct client_conn *conn, int error)
{
	/* The client went away: nothing that a log should hold. */
	if (error == -EPIPE || error == -ECONNRESET)
		conn_end(conn);
	else
		client_conn_fail(conn, strerror(-error));
}

/*
 * Too many descriptors are on their way between sockets, which the kernel counts for all of
 * a user's processes (unix(7), ETOOMANYREFS): not this client's doing.  Its socket can be
 * written to, so nothing but time says when to go on.
 */
static void stall(struct client_conn *conn)
{
	conn->stalled = true;
	client_server_retry_later(conn->server);
}

/* @fds are owned by this function. */
static void conn_send(struct client_conn *conn, const void *data, size_t len, int *fds,
		      uint32_t num_fds)
{
	struct packet *packet;
	int error = -EAGAIN;

	if (conn->dead) {
		fd_close_many(fds, num_fds);
		return;
	}
	if (conn->head == NULL)
		error = send_packet(conn, data, len, fds, num_fds);
	if (error != -EAGAIN && error != -ETOOMANYREFS) {
		fd_close_many(fds, num_fds);
		if (error < 0)
			send_failed(conn, error);
		return;
	}
	if (conn->queued + packet_cost(len) > queue_max(conn)) {
		fd_close_many(fds, num_fds);
		client_conn_fail(conn, "it does not read what it is sent");
		return;
	}
	packet = malloc(packet_cost(len));
	if (packet == NULL) {
		fd_close_many(fds, num_fds);
		client_conn_fail(conn, "the daemon is out of memory");
		return;
	}
	packet->next = NULL;
	packet->len = len;
	packet->num_fds = num_fds;
	if (num_fds > 0)
		memcpy(packet->fds, fds, sizeof(int) * num_fds);
	memcpy(packet->data, data, len);
	*conn->tail = packet;
	conn->tail = &packet->next;
	conn->queued += packet_cost(len);
	if (error == -ETOOMANYREFS)
		stall(conn);
	update_interest(conn);
}

static void conn_flush(struct client_conn *conn)
{
	while (conn->head != NULL) {
		struct packet *packet = conn->head;
		int error = send_packet(conn, packet->data, packet->len, packet->fds,
					packet->num_fds);

		if (error == -EAGAIN)
			break;
		if (error == -ETOOMANYREFS) {
			stall(conn);
			break;
		}
		if (error < 0) {
			send_failed(conn, error);
			return;
		}
		conn->head = packet->next;
		if (conn->head == NULL)
			conn->tail = &conn->head;
		conn->queued -= packet_cost(packet->len);
		packet_free(packet);
	}
	if (conn->head == NULL && conn->lost_events) {
		struct bufshare_msg_hdr resync = { 0 };

		conn->lost_events = false;
		client_conn_event(conn, BUFSHARE_MSG_EVENT_RESYNC, &resync, sizeof(resync));
	}
	if (conn->head == NULL && conn->closing)
		conn_end(conn);
	update_interest(conn);
}

void client_conn_retry(struct client_conn *conn)
{
	if (conn->refusal[0] != '\0')
		conn_end(conn);
	if (!conn->stalled || conn->dead)
		return;
	conn->stalled = false;
	conn_flush(conn);
}

void client_conn_reply(struct client_conn *conn, void *msg, size_t len, int *fds, uint32_t num_fds)
{
	struct bufshare_msg_hdr *hdr = msg;

	hdr->type = htole32(conn->type);
	hdr->serial = htole32(conn->serial);
	hdr->status = htole32(BUFSHARE_S_OK);
	hdr->num_fds = htole32(num_fds);
	conn_send(conn, msg, len, fds, num_fds);
}

void client_conn_error(struct client_conn *conn, enum bufshare_msg_status status, const char *fmt,
		       ...)
{
	struct bufshare_msg_error msg = {
		.hdr = {
			.type = htole32(conn->type),
			.serial = htole32(conn->serial),
			.status = htole32(status),
		},
	};
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(msg.text, sizeof(msg.text), fmt, args);
	va_end(args);
	conn_send(conn, &msg, sizeof(msg), NULL, 0);
}

bool client_conn_can_send_fds(struct client_conn *conn, uint32_t num)
{
	int unread;

	/* SIOCOUTQ: what the other end has not taken out of its socket yet. */
	if (conn->unread_fds > 0 && ioctl(conn->fd, SIOCOUTQ, &unread) == 0 && unread == 0)
		conn->unread_fds = 0;
	return conn->unread_fds + num <= MAX_UNREAD_FDS;
}

void client_conn_event(struct client_conn *conn, uint32_t type, void *msg, size_t len)
{
	struct bufshare_msg_hdr *hdr = msg;

	*hdr = (struct bufshare_msg_hdr){ .type = htole32(type) };
	conn_send(conn, msg, len, NULL, 0);
}

void client_conn_watch_event(struct client_conn *conn, uint32_t type, void *msg, size_t len)
{
	if (conn->queued + packet_cost(len) > WATCH_QUEUE_MAX)
		conn->lost_events = true;
	/* After the first that is lost all are, up to the RESYNC: no gaps in between. */
	if (!conn->lost_events)
		client_conn_event(conn, type, msg, len);
}

/* ---- in ---- */

static void close_received(struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= cmsg->cmsg_len;
		     at += sizeof(int)) {
			int fd;

			memcpy(&fd, (char *)cmsg + at, sizeof(fd));
			fd_close(&fd);
		}
	}
}

/* Returns the length of a packet, 0 when there is none now or the connection ended. */
static size_t receive(struct client_conn *conn, void *data, size_t size)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * BUFSHARE_MSG_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t len;

	do {
		len = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0) {
		if (errno != EAGAIN)
			conn_end(conn);
		return 0;
	}
	if (msg.msg_controllen > 0 || (msg.msg_flags & MSG_CTRUNC) != 0) {
		close_received(&msg);
		client_conn_fail(conn, "it sent file descriptors, which no request takes");
		return 0;
	}
	/* On this kind of socket an empty packet looks like the end. */
	if (len == 0) {
		conn_end(conn);
		return 0;
	}
	if ((msg.msg_flags & MSG_TRUNC) != 0) {
		client_conn_fail(conn, "it sent a packet longer than any request");
		return 0;
	}
	if ((size_t)len < sizeof(struct bufshare_msg_hdr)) {
		client_conn_fail(conn, "it sent a packet shorter than a header");
		return 0;
	}
	return (size_t)len;
}

static void handle_packet(struct client_conn *conn, const void *data, size_t len)
{
	struct bufshare_msg_hdr hdr;

	memcpy(&hdr, data, sizeof(hdr));
	conn->type = le32toh(hdr.type);
	conn->serial = le32toh(hdr.serial);
	if (conn->serial == 0) {
		client_conn_fail(conn, "it sent a request with serial 0, which is for events");
		return;
	}
	if (hdr.num_fds != 0) {
		client_conn_fail(conn, "it announced file descriptors, which no request takes");
		return;
	}
	if (hdr.status != 0) {
		client_conn_error(conn, BUFSHARE_S_INVALID, "the status of a request must be 0");
		return;
	}
	client_handle(conn, data, len);
}

static void on_socket(struct loop_source *source, uint32_t events)
{
	struct client_conn *conn =
		(struct client_conn *)((char *)source - offsetof(struct client_conn, source));

	if ((events & EPOLLOUT) != 0)
		conn_flush(conn);
	if ((events & EPOLLIN) != 0) {
		for (int i = 0; i < REQUESTS_PER_ROUND; i++) {
			/* The copy: what is validated cannot change any more. */
			uint64_t data[CLIENT_REQUEST_MAX / sizeof(uint64_t) + 1];
			size_t len;

			if (conn->dead || conn->closing || conn->head != NULL)
				break;
			len = receive(conn, data, CLIENT_REQUEST_MAX);
			if (len == 0)
				break;
			handle_packet(conn, data, len);
		}
		if (conn->closing && conn->head == NULL)
			conn_end(conn);
	} else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		conn_end(conn);
	}
	update_interest(conn);
}

/* ---- life ---- */

int client_conn_create(struct client_server *server, int fd, pid_t pid,
		       const struct client_policy *policy,
		       const char refusal[CLIENT_REFUSAL_SIZE])
{
	struct client_conn *conn = calloc(1, sizeof(*conn));
	int error;

	if (conn == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	conn->server = server;
	conn->fd = fd;
	conn->pid = pid;
	conn->policy = *policy;
	memcpy(conn->refusal, refusal, sizeof(conn->refusal));
	conn->tail = &conn->head;
	conn->end.fn = on_end;
	error = loop_add(client_server_loop(server), &conn->source, fd, EPOLLIN, on_socket);
	if (error < 0) {
		fd_close(&conn->fd);
		free(conn);
		return error;
	}
	client_server_link(server, conn);
	return 0;
}

void client_conn_destroy(struct client_conn *conn)
{
	conn->dead = true;
	loop_remove(&conn->source);
	loop_cancel(client_server_loop(conn->server), &conn->end);
	client_server_unlink(conn);
	peer_destroy(conn->peer);
	while (conn->head != NULL) {
		struct packet *packet = conn->head;

		conn->head = packet->next;
		packet_free(packet);
	}
	fd_close(&conn->fd);
	free(conn);
}
