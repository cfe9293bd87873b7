/* SPDX-License-Identifier: MIT */
/*
 * The library against a daemon that lies: a child process that answers what the test wants,
 * in the right form but with wrong numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <bufshare/bufshare.h>

#include "bufshare_client_protocol.h"

#define PAGE 4096

/* What the daemon sends for the request after HELLO, and for the one after that. */
struct answer {
	uint64_t data[1024];
	size_t len;
	int fd; /* sent num_fds times */
	uint32_t num_fds;
	bool keep_serial; /* as in @data; else that of the request */
	unsigned int events_before;
	bool silent;
};

static struct daemon {
	char path[64];
	int listen_fd;
	_Atomic int fd; /* the connection; -1: none yet */
	pthread_t thread;
	struct answer answers[4];
	unsigned int num_answers;
} fake;

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
		if (answer->silent)
			continue;
		for (unsigned int n = 0; n < answer->events_before; n++)
			send_packet(fd, &event, sizeof(event), -1, 0);
		if (!answer->keep_serial) {
			out->type = hdr->type;
			out->serial = hdr->serial;
		}
		send_packet(fd, answer->data, answer->len, answer->fd, answer->num_fds);
	}
	return NULL;
}

static struct answer *add_answer(size_t len)
{
	struct answer *answer = &fake.answers[fake.num_answers++];

	*answer = (struct answer){ .len = len, .fd = -1 };
	return answer;
}

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)state;
	memset(&fake, 0, sizeof(fake));
	(void)snprintf(fake.path, sizeof(fake.path), "/tmp/bufshare-fake.%d", (int)getpid());
	(void)strcpy(address.sun_path, fake.path);
	(void)unlink(fake.path);
	fake.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fake.listen_fd, 1), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	/* A test that failed has left it open. */
	(void)shutdown(fake.fd, SHUT_RDWR);
	(void)pthread_join(fake.thread, NULL);
	close(fake.fd);
	close(fake.listen_fd);
	(void)unlink(fake.path);
	return 0;
}

static struct bufshare *open_fake(void)
{
	struct bufshare *handle;

	assert_int_equal(pthread_create(&fake.thread, NULL, serve, NULL), 0);
	assert_int_equal(bufshare_open(fake.path, &handle), 0);
	return handle;
}

/* A protocol error, and after it only that the connection has ended. */
static void expect_broken(struct bufshare *handle, int error)
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

/* ---- replies in general ---- */

static void short_stats(void **state)
{
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	add_answer(sizeof(struct bufshare_msg_stats_reply) - 8);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void shorter_than_a_header(void **state)
{
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	add_answer(15);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void wrong_serial(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	struct bufshare_msg_hdr *hdr = (void *)answer->data;
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->keep_serial = true;
	hdr->type = htole32(BUFSHARE_MSG_STATS);
	hdr->serial = htole32(1000);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void error_without_an_end(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_error));
	struct bufshare_msg_error *error = (void *)answer->data;
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	memset(error->text, 'x', sizeof(error->text));
	error->hdr.status = htole32(BUFSHARE_S_LIMIT);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void unknown_event(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_hdr));
	struct bufshare_msg_hdr *hdr = (void *)answer->data;
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->keep_serial = true;
	hdr->type = htole32(200);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void endless_events(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->events_before = 20000;
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void surplus_fds(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_stats_reply));
	struct bufshare_msg_hdr *hdr = (void *)answer->data;
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	answer->fd = STDIN_FILENO;
	answer->num_fds = 3;
	hdr->num_fds = htole32(3);
	handle = open_fake();
	expect_broken(handle, bufshare_get_stats(handle, &stats));
}

static void no_answer(void **state)
{
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	add_answer(0)->silent = true;
	handle = open_fake();
	bufshare_set_timeout(handle, 20);
	assert_int_equal(bufshare_get_stats(handle, &stats), -ETIMEDOUT);
	assert_int_equal(bufshare_get_stats(handle, &stats), -ENOTCONN);
	bufshare_close(handle);
}

/* ---- lists ---- */

static void list_count(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_list_reply));
	struct bufshare_msg_list_reply *msg = (void *)answer->data;
	struct bufshare_buffer_info *list;
	struct bufshare *handle;
	size_t num;

	(void)state;
	msg->count = htole32(UINT32_MAX);
	handle = open_fake();
	expect_broken(handle, bufshare_list_buffers(handle, &list, &num));
}

static void list_that_turns_in_circles(void **state)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_list_reply));
	struct bufshare_msg_list_reply *msg = (void *)answer->data;
	struct bufshare_stream_info *list;
	struct bufshare *handle;
	size_t num;

	(void)state;
	msg->cursor = htole64(1);
	handle = open_fake();
	expect_broken(handle, bufshare_list_streams(handle, &list, &num));
}

/* ---- buffers ---- */

static const uint8_t uuid[BUFSHARE_UUID_SIZE] = { 1, 2, 3 };

/* A good reply to BUFFER_GET for a buffer of two pages in two extents. */
static struct answer *add_get(int fd, uint32_t path)
{
	struct answer *answer = add_answer(sizeof(struct bufshare_msg_buffer_get_reply));
	struct bufshare_msg_buffer_get_reply *msg = (void *)answer->data;

	answer->fd = fd;
	answer->num_fds = 1;
	msg->hdr.num_fds = htole32(1);
	msg->path = htole32(path);
	msg->access = htole32(BUFSHARE_ACCESS_READ);
	memcpy(msg->info.uuid, uuid, sizeof(uuid));
	msg->info.size = htole64(UINT64_C(2) * PAGE);
	msg->info.num_extents = htole32(2);
	msg->info.state = htole32(BUFSHARE_STATE_LIVE);
	return answer;
}

static struct bufshare_msg_extent *add_extents(void)
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

static int make_memfd(size_t size, unsigned int seals)
{
	int fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int get(struct bufshare *handle, uint32_t take, struct bufshare_buffer **ret_buffer)
{
	return bufshare_get(handle, uuid, BUFSHARE_ACCESS_READ, take, ret_buffer);
}

/* The good case first: otherwise the bad ones could fail for another reason. */
static void good_buffer(void **state)
{
	int fd = make_memfd((size_t)2 * PAGE, F_SEAL_SHRINK);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;
	void *data;

	(void)state;
	assert_int_equal(pwrite(fd, "two", 3, 0), 3);
	assert_int_equal(pwrite(fd, "one", 3, PAGE), 3);
	add_get(fd, BUFSHARE_PATH_RAM);
	(void)add_extents();
	(void)add_answer(sizeof(struct bufshare_msg_hdr));
	handle = open_fake();
	assert_int_equal(get(handle, BUFSHARE_TAKE_ANY, &buffer), 0);
	assert_int_equal(bufshare_buffer_map(buffer, &data), 0);
	assert_memory_equal(data, "one", 3);
	assert_memory_equal((uint8_t *)data + PAGE, "two", 3);
	assert_int_equal(bufshare_put(buffer), 0);
	bufshare_close(handle);
	close(fd);
}

static void bad_memory(size_t size, unsigned int seals)
{
	int fd = make_memfd(size, seals);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	add_get(fd, BUFSHARE_PATH_RAM);
	(void)add_extents();
	handle = open_fake();
	expect_broken(handle, get(handle, BUFSHARE_TAKE_ANY, &buffer));
	close(fd);
}

static void memfd_too_short(void **state)
{
	(void)state;
	bad_memory((size_t)2 * PAGE - 1, F_SEAL_SHRINK);
}

static void memfd_can_shrink(void **state)
{
	(void)state;
	bad_memory((size_t)2 * PAGE, 0);
}

static void bad_get(void (*spoil)(struct bufshare_msg_buffer_get_reply *msg), uint32_t take)
{
	int fd = make_memfd((size_t)2 * PAGE, F_SEAL_SHRINK);
	struct answer *answer = add_get(fd, BUFSHARE_PATH_RAM);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	spoil((void *)answer->data);
	(void)add_extents();
	handle = open_fake();
	expect_broken(handle, get(handle, take, &buffer));
	close(fd);
}

static void spoil_uuid(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.uuid[0]++;
}

static void spoil_user(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.desc.user_len = htole32(16);
}

static void spoil_user_huge(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.desc.user_len = htole32(UINT32_MAX);
}

static void spoil_planes(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.desc.num_planes = htole32(5);
}

static void spoil_size(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.size = htole64(UINT64_MAX);
}

static void spoil_sum(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.size = htole64(UINT64_C(3) * PAGE);
}

static void spoil_count(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.num_extents = htole32(UINT32_MAX);
}

static void spoil_no_extents(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->info.num_extents = 0;
}

static void spoil_path(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->path = htole32(3);
}

static void spoil_access(struct bufshare_msg_buffer_get_reply *msg)
{
	msg->access = htole32(3);
}

static void spoil_owner(struct bufshare_msg_buffer_get_reply *msg)
{
	memset(msg->info.owner, 'x', sizeof(msg->info.owner));
}

static void spoil_nothing(struct bufshare_msg_buffer_get_reply *msg)
{
	(void)msg;
}

#define BAD_GET(name, take)                    \
	static void get_##name(void **state)   \
	{                                      \
		(void)state;                   \
		bad_get(spoil_##name, (take)); \
	}

BAD_GET(uuid, BUFSHARE_TAKE_ANY)
BAD_GET(user, BUFSHARE_TAKE_ANY)
BAD_GET(user_huge, BUFSHARE_TAKE_ANY)
BAD_GET(planes, BUFSHARE_TAKE_ANY)
BAD_GET(size, BUFSHARE_TAKE_ANY)
BAD_GET(sum, BUFSHARE_TAKE_ANY)
BAD_GET(count, BUFSHARE_TAKE_ANY)
BAD_GET(no_extents, BUFSHARE_TAKE_ANY)
BAD_GET(path, BUFSHARE_TAKE_ANY)
BAD_GET(access, BUFSHARE_TAKE_ANY)
BAD_GET(owner, BUFSHARE_TAKE_ANY)
/* RAM for a program that asked for a dma-buf. */
BAD_GET(nothing, BUFSHARE_TAKE_DMABUF)

static void dmabuf_too_short(void **state)
{
	int fd = make_memfd(PAGE, 0);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	(void)state;
	add_get(fd, BUFSHARE_PATH_DMABUF);
	handle = open_fake();
	expect_broken(handle, get(handle, BUFSHARE_TAKE_DMABUF, &buffer));
	close(fd);
}

static void bad_extent(uint64_t offset, uint64_t len, uint32_t fd_index)
{
	int fd = make_memfd((size_t)2 * PAGE, F_SEAL_SHRINK);
	struct bufshare_msg_extent *extents;
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	add_get(fd, BUFSHARE_PATH_RAM);
	extents = add_extents();
	extents[1].offset = htole64(offset);
	extents[1].len = htole64(len);
	extents[1].fd_index = htole32(fd_index);
	handle = open_fake();
	expect_broken(handle, get(handle, BUFSHARE_TAKE_ANY, &buffer));
	close(fd);
}

#define BAD_EXTENT(name, offset, len, fd_index)      \
	static void extent_##name(void **state)      \
	{                                            \
		(void)state;                         \
		bad_extent((offset), (len), fd_index); \
	}

BAD_EXTENT(beyond, UINT64_C(2) * PAGE, PAGE, 0)
BAD_EXTENT(wraps, (uint64_t)-PAGE, PAGE, 0)
BAD_EXTENT(too_long, 0, UINT64_MAX - PAGE + 1, 0)
BAD_EXTENT(empty, 0, 0, 0)
BAD_EXTENT(unaligned, 1, PAGE, 0)
BAD_EXTENT(of_no_fd, 0, PAGE, 1)

static void extents_count(void **state)
{
	int fd = make_memfd((size_t)2 * PAGE, F_SEAL_SHRINK);
	struct bufshare_msg_buffer_extents_reply *msg;
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	(void)state;
	add_get(fd, BUFSHARE_PATH_RAM);
	(void)add_extents();
	msg = (void *)fake.answers[1].data;
	msg->count = htole32(0);
	handle = open_fake();
	expect_broken(handle, get(handle, BUFSHARE_TAKE_ANY, &buffer));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(short_stats),	TEST(shorter_than_a_header),
		TEST(wrong_serial),	TEST(error_without_an_end),
		TEST(unknown_event),	TEST(endless_events),
		TEST(surplus_fds),	TEST(no_answer),
		TEST(list_count),	TEST(list_that_turns_in_circles),
		TEST(good_buffer),	TEST(memfd_too_short),
		TEST(memfd_can_shrink), TEST(get_uuid),
		TEST(get_user),		TEST(get_user_huge),
		TEST(get_planes),	TEST(get_size),
		TEST(get_sum),		TEST(get_count),
		TEST(get_no_extents),	TEST(get_path),
		TEST(get_access),	TEST(get_owner),
		TEST(get_nothing),	TEST(dmabuf_too_short),
		TEST(extent_beyond),	TEST(extent_wraps),
		TEST(extent_too_long),	TEST(extent_empty),
		TEST(extent_unaligned), TEST(extent_of_no_fd),
		TEST(extents_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
