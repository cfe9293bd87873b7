/* SPDX-License-Identifier: MIT */
/* The library against a daemon that lies: right forms with wrong numbers. */
#include "fake_daemon.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

static void long_stats(void **state)
{
	struct bufshare_stats stats;
	struct bufshare *handle;

	(void)state;
	add_answer(sizeof(struct bufshare_msg_stats_reply) + 8);
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
	assert_int_equal(get_fake(handle, BUFSHARE_TAKE_ANY, &buffer), 0);
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
	expect_broken(handle, get_fake(handle, BUFSHARE_TAKE_ANY, &buffer));
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
	expect_broken(handle, get_fake(handle, take, &buffer));
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

/* A memfd in place of a dma-buf: it could shrink under a reader. */
static void dmabuf_that_is_none(void **state)
{
	int fd = make_memfd((size_t)2 * PAGE, 0);
	struct bufshare_buffer *buffer;
	struct bufshare *handle;

	(void)state;
	add_get(fd, BUFSHARE_PATH_DMABUF);
	handle = open_fake();
	expect_broken(handle, get_fake(handle, BUFSHARE_TAKE_DMABUF, &buffer));
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
	expect_broken(handle, get_fake(handle, BUFSHARE_TAKE_ANY, &buffer));
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
	expect_broken(handle, get_fake(handle, BUFSHARE_TAKE_ANY, &buffer));
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(short_stats),	TEST(long_stats),
		TEST(shorter_than_a_header),
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
		TEST(get_nothing),	TEST(dmabuf_that_is_none),
		TEST(extent_beyond),	TEST(extent_wraps),
		TEST(extent_too_long),	TEST(extent_empty),
		TEST(extent_unaligned), TEST(extent_of_no_fd),
		TEST(extents_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
