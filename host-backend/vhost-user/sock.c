/* SPDX-License-Identifier: MIT */
#include "sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fd.h"

int vu_sock_init(struct vu_sock *sock, int fd)
{
	memset(sock, 0, sizeof(*sock));
	sock->fd = fd;
	for (size_t i = 0; i < VU_MAX_FDS; i++)
		sock->in.fds[i] = -1;
	return fd_set_nonblock(fd);
}

void vu_sock_finish(struct vu_sock *sock)
{
	vu_sock_done(sock);
	fd_close(&sock->fd);
}

void vu_sock_done(struct vu_sock *sock)
{
	fd_close_many(sock->in.fds, VU_MAX_FDS);
	sock->in.num_fds = 0;
	memset(&sock->in.header, 0, sizeof(sock->in.header));
	memset(&sock->in.payload, 0, sizeof(sock->in.payload));
	sock->received = 0;
}

/*
 * Keeps the descriptors of one recvmsg(2).  All of them are ours once it returned, so
 * those beyond the limit are closed here; returns false when there were any.
 */
static bool keep_fds(struct vu_sock *sock, struct msghdr *msg)
{
	bool fit = !(msg->msg_flags & MSG_CTRUNC);

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (sock->in.num_fds < VU_MAX_FDS) {
				sock->in.fds[sock->in.num_fds++] = fd;
			} else {
				fd_close(&fd);
				fit = false;
			}
		}
	}
	return fit;
}

/* Receives until @want bytes of the message are here.  As vu_sock_receive(). */
static int fill(struct vu_sock *sock, size_t want, const char **ret_why)
{
	const size_t header_size = sizeof(struct vu_header);

	while (sock->received < want) {
		union {
			struct cmsghdr align;
			char space[CMSG_SPACE(VU_MAX_FDS * sizeof(int))];
		} control;
		struct iovec iov;
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n;

		if (sock->received < header_size)
			iov.iov_base = (char *)&sock->in.header + sock->received;
		else
			iov.iov_base = (char *)&sock->in.payload + (sock->received - header_size);
		iov.iov_len = want - sock->received;
		n = recvmsg(sock->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		if (!keep_fds(sock, &msg)) {
			*ret_why = "more than 8 file descriptors, or RLIMIT_NOFILE is reached";
			return -EPROTO;
		}
		if (n == 0)
			return sock->received ? -ECONNRESET : -ENODATA;
		sock->received += (size_t)n;
	}
	return 1;
}

static int check_header(const struct vu_header *header, const char **ret_why)
{
	if ((header->flags & VU_VERSION_MASK) != VU_VERSION) {
		*ret_why = "the header's version is not 1";
		return -EPROTO;
	}
	if (header->flags & ~(VU_VERSION_MASK | VU_NEED_REPLY)) {
		*ret_why = "the header has flags that a request does not";
		return -EPROTO;
	}
	if (header->size > sizeof(struct vu_config_msg)) {
		*ret_why = "the payload is larger than that of any message (268 bytes)";
		return -EMSGSIZE;
	}
	return 0;
}

int vu_sock_receive(struct vu_sock *sock, const char **ret_why)
{
	int r = fill(sock, sizeof(struct vu_header), ret_why);

	if (r <= 0)
		return r;
	r = check_header(&sock->in.header, ret_why);
	if (r < 0)
		return r;
	return fill(sock, sizeof(struct vu_header) + sock->in.header.size, ret_why);
}

int vu_sock_reply(struct vu_sock *sock, const void *payload, size_t len)
{
	struct vu_header header = {
		.request = sock->in.header.request,
		.flags = VU_VERSION | VU_REPLY,
		.size = (uint32_t)len,
	};

	if (len > sizeof(union vu_payload) || vu_sock_pending(sock))
		return -EINVAL;
	memcpy(sock->out, &header, sizeof(header));
	if (len)
		memcpy(sock->out + sizeof(header), payload, len);
	sock->out_len = sizeof(header) + len;
	sock->out_sent = 0;
	return vu_sock_flush(sock);
}

int vu_sock_flush(struct vu_sock *sock)
{
	while (vu_sock_pending(sock)) {
		ssize_t n = send(sock->fd, sock->out + sock->out_sent,
				 sock->out_len - sock->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		sock->out_sent += (size_t)n;
	}
	return 0;
}

bool vu_sock_pending(const struct vu_sock *sock)
{
	return sock->out_sent < sock->out_len;
}
