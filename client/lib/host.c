/* SPDX-License-Identifier: MIT */
/*
 * The connection to the daemon.
 *
 * A request is sent and its reply awaited; whatever event comes in between is queued.
 * Even while the request does not go out events are read, because the daemon reads
 * nothing from a client that does not read.
 */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void reply_close(struct reply *reply)
{
	for (uint32_t i = 0; i < reply->num_fds; i++)
		close(reply->fds[i]);
	reply->num_fds = 0;
}

void host_clean_text(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

/*
 * No more requests: the other side learns of it, and poll_fd is readable from now on, so that
 * who waits for events comes to hear it from bufshare_next_event().
 */
static void end_connection(struct bufshare *handle)
{
	if (handle->broken)
		return;
	handle->broken = true;
	(void)shutdown(handle->fd, SHUT_RDWR);
	(void)eventfd_write(handle->ready_fd, 1);
}

int host_fail_protocol(struct bufshare *handle, const char *what)
{
	end_connection(handle);
	return fail(handle, -EPROTO, "the daemon broke the protocol: %s", what);
}

static int fail_ended(struct bufshare *handle)
{
	end_connection(handle);
	return fail(handle, -ENOTCONN, "the connection to the daemon has ended");
}

/* ---- events ---- */

static int queue_event(struct bufshare *handle, const struct bufshare_ev *event)
{
	if (handle->num_events == handle->event_capacity) {
		size_t capacity = handle->event_capacity != 0 ? handle->event_capacity * 2 : 16;
		struct bufshare_ev *ring;

		if (capacity > MAX_QUEUED_EVENTS)
			return host_fail_protocol(handle, "it sends events without an end");
		ring = calloc(capacity, sizeof(*ring));
		if (ring == NULL) {
			/* An event would be lost, and the promise is that none is. */
			end_connection(handle);
			return fail(handle, -ENOMEM, "out of memory");
		}
		for (size_t i = 0; i < handle->num_events; i++)
			ring[i] = handle->events[(handle->event_head + i) % handle->event_capacity];
		free(handle->events);
		handle->events = ring;
		handle->event_capacity = capacity;
		handle->event_head = 0;
	}
	handle->events[(handle->event_head + handle->num_events) % handle->event_capacity] = *event;
	if (handle->num_events++ == 0)
		(void)eventfd_write(handle->ready_fd, 1);
	return 0;
}

static void dequeue_event(struct bufshare *handle, struct bufshare_ev *ret_event)
{
	eventfd_t count;

	*ret_event = handle->events[handle->event_head];
	handle->event_head = (handle->event_head + 1) % handle->event_capacity;
	if (--handle->num_events == 0 && !handle->broken)
		(void)eventfd_read(handle->ready_fd, &count);
}

/* ---- packets ---- */

static void take_fds(struct msghdr *msg, struct reply *reply)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
			if (reply->num_fds < BUFSHARE_MSG_MAX_FDS)
				reply->fds[reply->num_fds++] = fd;
			else
				close(fd);
		}
	}
}

/*
 * Receives a packet without waiting.  Returns 0; -EAGAIN: none is there; or how the
 * connection ended.
 */
static int receive(struct bufshare *handle, struct reply *ret_reply)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * BUFSHARE_MSG_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = handle->packet, .iov_len = BUFSHARE_MSG_MAX };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct reply reply = { .data = handle->packet };
	struct bufshare_msg_hdr hdr;
	const char *wrong = NULL;
	ssize_t len;

	do {
		len = recvmsg(handle->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (len < 0 || (len == 0 && msg.msg_controllen == 0))
		return fail_ended(handle);

	take_fds(&msg, &reply);
	reply.len = (size_t)len;
	if ((msg.msg_flags & MSG_TRUNC) != 0 || reply.len < sizeof(hdr)) {
		wrong = "a packet of a wrong size";
	} else {
		memcpy(&hdr, handle->packet, sizeof(hdr));
		if ((msg.msg_flags & MSG_CTRUNC) != 0 || le32toh(hdr.num_fds) != reply.num_fds)
			wrong = "a packet with a wrong number of file descriptors";
	}
	if (wrong != NULL) {
		reply_close(&reply);
		return host_fail_protocol(handle, wrong);
	}
	*ret_reply = reply;
	return 0;
}

static bool is_event(const struct reply *reply)
{
	struct bufshare_msg_hdr hdr;

	memcpy(&hdr, reply->data, sizeof(hdr));
	return hdr.serial == 0;
}

static int parse_event(struct bufshare *handle, struct reply *reply, struct bufshare_ev *ret_event)
{
	if (reply->num_fds > 0 || !decode_event(reply->data, reply->len, ret_event)) {
		reply_close(reply);
		return host_fail_protocol(handle, "an event that does not hold");
	}
	return 0;
}

int host_next_event(struct bufshare *handle, struct bufshare_ev *ret_event)
{
	struct reply reply;
	int error;

	if (handle->num_events > 0) {
		dequeue_event(handle, ret_event);
		return 0;
	}
	if (handle->broken)
		return fail_ended(handle);
	error = receive(handle, &reply);
	if (error < 0)
		return error;
	if (!is_event(&reply)) {
		reply_close(&reply);
		return host_fail_protocol(handle, "a reply that nobody waits for");
	}
	return parse_event(handle, &reply, ret_event);
}

/* ---- requests ---- */

static int wait_socket(struct bufshare *handle, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = handle->fd, .events = events };
	int n;

	do {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();

		if (deadline >= 0 && left < 0)
			left = 0;
		n = poll(&pfd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		n = -errno;
		end_connection(handle);
		return fail(handle, n, "poll: %s", strerror(-n));
	}
	if (n == 0) {
		/* Its reply may still come, and would be taken for another one's. */
		end_connection(handle);
		return fail(handle, -ETIMEDOUT, "the daemon did not answer within %d ms",
			    handle->timeout_ms);
	}
	return pfd.revents;
}

/* Takes one packet off the socket: an event is queued (1), a reply returned (0). */
static int receive_or_queue(struct bufshare *handle, struct reply *ret_reply)
{
	struct bufshare_ev event;
	struct reply reply;
	int error = receive(handle, &reply);

	if (error < 0)
		return error;
	if (!is_event(&reply)) {
		*ret_reply = reply;
		return 0;
	}
	error = parse_event(handle, &reply, &event);
	if (error == 0)
		error = queue_event(handle, &event);
	return error < 0 ? error : 1;
}

static int send_request(struct bufshare *handle, const void *msg, size_t len, int64_t deadline)
{
	for (;;) {
		struct reply reply;
		int events, error;

		if (send(handle->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return 0; /* what was received before the end says more */
		events = wait_socket(handle, POLLIN | POLLOUT, deadline);
		if (events < 0)
			return events;
		if ((events & POLLIN) == 0)
			continue;
		error = receive_or_queue(handle, &reply);
		if (error == 0) {
			reply_close(&reply);
			return host_fail_protocol(handle, "a reply before the request");
		}
		if (error < 0 && error != -EAGAIN)
			return error;
	}
}

static int status_to_errno(uint32_t status)
{
	switch (status) {
	case BUFSHARE_S_UNSUPPORTED:
		return -EOPNOTSUPP;
	case BUFSHARE_S_INVALID:
		return -EINVAL;
	case BUFSHARE_S_NOT_FOUND:
		return -ENOENT;
	case BUFSHARE_S_NOT_PERMITTED:
		return -EPERM;
	case BUFSHARE_S_NO_PATH:
		return -ENXIO;
	case BUFSHARE_S_LIMIT:
		return -EDQUOT;
	case BUFSHARE_S_NO_MEMORY:
		return -ENOMEM;
	case BUFSHARE_S_SUSPENDED:
		return -EAGAIN;
	default:
		return -EPROTO;
	}
}

static int check_reply(struct bufshare *handle, uint32_t type, size_t min, size_t max,
		       uint32_t max_fds, const struct reply *reply)
{
	const struct bufshare_msg_error *error = reply->data;
	struct bufshare_msg_hdr hdr;

	memcpy(&hdr, reply->data, sizeof(hdr));
	if (le32toh(hdr.serial) != handle->serial || le32toh(hdr.type) != type)
		return host_fail_protocol(handle, "a reply to another request");
	if (hdr.status != 0) {
		if (reply->len != sizeof(*error) || reply->num_fds != 0 ||
		    memchr(error->text, '\0', sizeof(error->text)) == NULL)
			return host_fail_protocol(handle, "a refusal that does not hold");
		(void)fail(handle, 0, "%s", error->text);
		host_clean_text(handle->error);
		return status_to_errno(le32toh(hdr.status));
	}
	if (reply->len < min || reply->len > max || reply->num_fds > max_fds)
		return host_fail_protocol(handle, "a reply of a wrong size");
	return 0;
}

int host_request(struct bufshare *handle, uint32_t type, void *msg, size_t len, size_t min,
		 size_t max, uint32_t max_fds, struct reply *ret_reply)
{
	struct bufshare_msg_hdr *hdr = msg;
	int64_t deadline = handle->timeout_ms < 0 ? -1 : now_ms() + handle->timeout_ms;
	struct reply reply = { 0 };
	int error;

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "this");
	if (handle->broken)
		return fail_ended(handle);
	if (++handle->serial == 0)
		handle->serial = 1;
	*hdr = (struct bufshare_msg_hdr){
		.type = htole32(type),
		.serial = htole32(handle->serial),
	};
	error = send_request(handle, msg, len, deadline);
	if (error < 0)
		return error;
	do {
		error = wait_socket(handle, POLLIN, deadline);
		if (error < 0)
			return error;
		error = receive_or_queue(handle, &reply);
	} while (error == 1 || error == -EAGAIN);
	if (error < 0)
		return error;
	error = check_reply(handle, type, min, max, max_fds, &reply);
	if (error < 0) {
		reply_close(&reply);
		return error;
	}
	*ret_reply = reply;
	return 0;
}

int host_command(struct bufshare *handle, uint32_t type, void *msg, size_t len)
{
	struct reply reply;

	return host_request(handle, type, msg, len, sizeof(struct bufshare_msg_hdr),
			    sizeof(struct bufshare_msg_hdr), 0, &reply);
}

/* ---- life ---- */

static int hello(struct bufshare *handle)
{
	struct bufshare_msg_hello msg = { 0 };
	struct reply reply;

	/* The name that ps(1) shows, without what the daemon would refuse. */
	(void)snprintf(msg.name, sizeof(msg.name), "%s", program_invocation_short_name);
	for (char *c = msg.name; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	if (msg.name[0] == '\0')
		msg.name[0] = '?';
	return host_request(handle, BUFSHARE_MSG_HELLO, &msg, sizeof(msg),
			    sizeof(struct bufshare_msg_hello_reply),
			    sizeof(struct bufshare_msg_hello_reply), 0, &reply);
}

/*
 * connect(2) waits while the daemon has more callers than it has taken, for SO_SNDTIMEO at
 * most (unix(7) has no other way: without waiting there is nothing to poll for).
 */
static int connect_within(struct bufshare *handle, const struct sockaddr_un *address)
{
	int64_t deadline = now_ms() + handle->timeout_ms;
	int ret;

	do {
		int64_t left = deadline - now_ms();
		struct timeval limit;

		/* 0 would be no limit. */
		left = left > 0 ? left : 1;
		limit.tv_sec = left / 1000;
		limit.tv_usec = left % 1000 * 1000;
		if (setsockopt(handle->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
			return -errno;
		ret = connect(handle->fd, (const struct sockaddr *)address, sizeof(*address));
	} while (ret < 0 && errno == EINTR);
	if (ret == 0)
		return 0;
	if (errno == EAGAIN)
		return fail(handle, -ETIMEDOUT, "the daemon does not take the connection within %d ms",
			    handle->timeout_ms);
	return -errno;
}

int host_open(struct bufshare *handle, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN };
	int error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	handle->packet = malloc(BUFSHARE_MSG_MAX);
	if (handle->packet == NULL)
		return -ENOMEM;
	handle->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	handle->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	handle->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (handle->fd < 0 || handle->poll_fd < 0 || handle->ready_fd < 0)
		return -errno;
	if (epoll_ctl(handle->poll_fd, EPOLL_CTL_ADD, handle->fd, &event) < 0 ||
	    epoll_ctl(handle->poll_fd, EPOLL_CTL_ADD, handle->ready_fd, &event) < 0)
		return -errno;
	error = connect_within(handle, &address);
	return error < 0 ? error : hello(handle);
}

void host_close(struct bufshare *handle)
{
	if (handle->poll_fd >= 0)
		close(handle->poll_fd);
	if (handle->ready_fd >= 0)
		close(handle->ready_fd);
	free(handle->packet);
	free(handle->events);
}
