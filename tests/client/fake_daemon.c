/* SPDX-License-Identifier: MIT */
#include "fake_daemon.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct fake_daemon fake;

static void send_packet(int fd, const void *data, size_t len, int pass, uint32_t num_fds)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (num_fds > 0) {
		struct cmsghdr *cmsg;
		int fds[16];

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * num_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * num_fds);
		for (uint32_t i = 0; i < num_fds; i++)
			fds[i] = pass;
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * num_fds);
	}
	(void)sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	uint64_t request[64];
	struct bufshare_msg_hdr *hdr = (void *)request;
	int fd = accept4(fake.listen_fd, NULL, NULL, SOCK_CLOEXEC);

	(void)arg;
	atomic_store(&fake.fd, fd);
	if (recv(fd, request, sizeof(request), 0) > 0) {
		struct bufshare_msg_hello_reply hello = { .hdr = *hdr };

		hello.max_holds = htole32(1);
		send_packet(fd, &hello, sizeof(hello), -1, 0);
	}
	for (unsigned int i = 0; recv(fd, request, sizeof(request), 0) > 0;) {
		struct bufshare_msg_event_frame event = {
			.hdr = { .type = htole32(BUFSHARE_MSG_EVENT_FRAME) },
		};
		struct answer *answer = &fake.answers[i];
		struct bufshare_msg_hdr *out = (void *)answer->data;

		if (i == fake.num_answers)
			continue;
		i++;
		for (unsigned int n = 0; n < answer->events_before; n++)
			send_packet(fd, &event, sizeof(event), -1, 0);
		if (answer->silent)
			continue;
		if (!answer->keep_serial) {
			out->type = hdr->type;
			out->serial = hdr->serial;
		}
		send_packet(fd, answer->data, answer->len, answer->fd, answer->num_fds);
	}
	return NULL;
}

struct answer *add_answer(size_t len)
{
	struct answer *answer = &fake.answers[fake.num_answers++];

	*answer = (struct answer){ .len = len, .fd = -1 };
	return answer;
}

int fake_setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.fd = -1;
	(void)strcpy(fake.dir, "/tmp/bufshare-fake.XXXXXX");
	assert_non_null(mkdtemp(fake.dir));
	(void)snprintf(fake.path, sizeof(fake.path), "%s/client.sock", fake.dir);
	(void)strcpy(address.sun_path, fake.path);
	fake.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake.listen_fd, 1), 0);
	return 0;
}

int fake_teardown(void **state)
{
	(void)state;
	/* A test that failed has left it open. */
	(void)shutdown(fake.listen_fd, SHUT_RDWR);
	(void)shutdown(fake.fd, SHUT_RDWR);
	if (fake.serving)
		(void)pthread_join(fake.thread, NULL);
	if (fake.fd >= 0)
		close(fake.fd);
	close(fake.listen_fd);
	(void)unlink(fake.path);
	(void)rmdir(fake.dir);
	return 0;
}

struct bufshare *open_fake(void)
{
	struct bufshare *handle;

	assert_int_equal(pthread_create(&fake.thread, NULL, serve, NULL), 0);
	fake.serving = true;
	assert_int_equal(bufshare_open(fake.path, &handle), 0);
	return handle;
}

void expect_broken(struct bufshare *handle, int error)
{
	struct bufshare_stats stats;
	struct bufshare_ev event;

	assert_int_equal(error, -EPROTO);
	assert_non_null(strstr(bufshare_error_text(handle), "broke the protocol"));
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOTCONN);
	while ((error = bufshare_next_event(handle, &event)) == 0)
		;
	assert_int_equal(error, -ENOTCONN);
	bufshare_close(handle);
}

/* ---- a buffer ---- */

const uint8_t fake_uuid[BUFSHARE_UUID_SIZE] = { 1, 2, 3 };

struct answer *add_get(int fd, uint32_t path)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_buffer_get_reply));
	struct bufshare_msg_buffer_get_reply *msg = (void *)answer->data;

	answer->fd = fd;
	answer->num_fds = 1;
	msg->hdr.num_fds = htole32(1);
	msg->path = htole32(path);
	msg->access = htole32(BUFSHARE_ACCESS_READ);
	memcpy(msg->info.uuid, fake_uuid, sizeof(fake_uuid));
	msg->info.size = htole64(UINT64_C(2) * PAGE);
	msg->info.num_extents = htole32(2);
	msg->info.state = htole32(BUFSHARE_STATE_LIVE);
	return answer;
}

struct bufshare_msg_extent *add_extents(void)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_buffer_extents_reply) +
					   2 * sizeof(struct bufshare_msg_extent));
	struct bufshare_msg_buffer_extents_reply *msg = (void *)answer->data;
	struct bufshare_msg_extent *extents = (void *)(msg + 1);

	msg->total = htole32(2);
	msg->count = htole32(2);
	extents[0] = (struct bufshare_msg_extent){ .offset = htole64(PAGE), .len = htole64(PAGE) };
	extents[1] = (struct bufshare_msg_extent){ .len = htole64(PAGE) };
	return extents;
}

int make_memfd(size_t size, unsigned int seals)
{
	int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

int get_fake(struct bufshare *handle, uint32_t take, struct bufshare_buffer **ret_buffer)
{
	return bufshare_get(handle, fake_uuid, BUFSHARE_ACCESS_READ, take, ret_buffer);
}
