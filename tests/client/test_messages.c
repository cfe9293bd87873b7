/* SPDX-License-Identifier: MIT */
/* Each message of the client socket with wrong lengths, values and orders. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

/* ---- HELLO ---- */

static void hello_comes_first(void **state)
{
	static const uint32_t types[] = { BUFSHARE_MSG_LIST_BUFFERS, BUFSHARE_MSG_STATS,
					  BUFSHARE_MSG_BUFFER_GET, 99, 0, UINT32_MAX };
	int fd = raw_connect(*state);
	uint64_t msg[32] = { 0 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(raw_status(fd, types[i], msg, 24, NULL), BUFSHARE_S_STATE);
	close(fd);
}

static void hello_twice(void **state)
{
	struct bufshare_msg_hello hello = { .name = "twice" };
	int fd = raw_client(*state);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), NULL),
			 BUFSHARE_S_STATE);
	close(fd);
}

static void hello_names(void **state)
{
	struct bufshare_msg_hello hello = { 0 };
	int fd = raw_connect(*state);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), NULL),
			 BUFSHARE_S_INVALID);
	(void)strcpy(hello.name, "line\nbreak");
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), NULL),
			 BUFSHARE_S_INVALID);
	memset(hello.name, 'x', sizeof(hello.name));
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), NULL),
			 BUFSHARE_S_INVALID);
	hello.name[sizeof(hello.name) - 1] = '\0';
	hello.features = UINT64_MAX;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(((struct bufshare_msg_hello_reply *)reply)->features, 0);
	close(fd);
}

/* ---- lengths, types and headers of all ---- */

static void every_wrong_length(void **state)
{
	static const struct {
		uint32_t type;
		size_t len;
	} table[] = {
		{ BUFSHARE_MSG_HELLO, sizeof(struct bufshare_msg_hello) },
		{ BUFSHARE_MSG_LIST_BUFFERS, sizeof(struct bufshare_msg_list) },
		{ BUFSHARE_MSG_LIST_STREAMS, sizeof(struct bufshare_msg_list) },
		{ BUFSHARE_MSG_STATS, sizeof(struct bufshare_msg_hdr) },
		{ BUFSHARE_MSG_WATCH, sizeof(struct bufshare_msg_watch) },
		{ BUFSHARE_MSG_BUFFER_GET, sizeof(struct bufshare_msg_buffer_get) },
		{ BUFSHARE_MSG_BUFFER_EXTENTS, sizeof(struct bufshare_msg_buffer_extents) },
		{ BUFSHARE_MSG_BUFFER_PUT, sizeof(struct bufshare_msg_buffer_put) },
		{ BUFSHARE_MSG_STREAM_JOIN, sizeof(struct bufshare_msg_stream_join) },
		{ BUFSHARE_MSG_STREAM_LEAVE, sizeof(struct bufshare_msg_stream_leave) },
		{ BUFSHARE_MSG_FRAME_RELEASE, sizeof(struct bufshare_msg_frame_release) },
	};
	int fd = raw_client(*state);

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (size_t len = sizeof(struct bufshare_msg_hdr); len <= 256; len++) {
			uint64_t msg[32] = { 0 };

			if (len != table[i].len)
				assert_int_equal(raw_status(fd, table[i].type, msg, len, NULL),
						 BUFSHARE_S_INVALID);
		}
	}
	close(fd);
}

static void unknown_types(void **state)
{
	static const uint32_t types[] = { 0, 6, 15, 19, 35, 128, 132, 0x80000000, UINT32_MAX };
	int fd = raw_client(*state);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct bufshare_msg_hdr hdr;

		assert_int_equal(raw_status(fd, types[i], &hdr, sizeof(hdr), NULL),
				 BUFSHARE_S_UNSUPPORTED);
	}
	close(fd);
}

static void header_fields(void **state)
{
	struct bufshare_msg_hdr hdr = { .type = htole32(BUFSHARE_MSG_STATS),
					.serial = htole32(7),
					.status = htole32(1) };
	int fd = raw_client(*state);

	raw_send(fd, &hdr, sizeof(hdr));
	assert_true(raw_receive(fd, reply, sizeof(reply), NULL, NULL) > 0);
	assert_int_equal(le32toh(((struct bufshare_msg_hdr *)reply)->status), BUFSHARE_S_INVALID);
	/* With fds announced, or as an event, it is no request at all. */
	hdr.status = 0;
	hdr.num_fds = htole32(1);
	raw_send(fd, &hdr, sizeof(hdr));
	raw_expect_end(fd);
	close(fd);
	fd = raw_client(*state);
	hdr.num_fds = 0;
	hdr.serial = 0;
	raw_send(fd, &hdr, sizeof(hdr));
	raw_expect_end(fd);
	close(fd);
}

/* ---- lists, WATCH ---- */

static void lists_page(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_list msg = { 0 };
	uint32_t pages = 0, seen = 0;
	uint8_t uuid[UUID_SIZE];
	int fd = raw_client(f);

	for (uint32_t i = 0; i < 500; i++)
		guest_make_buffer(f, &i, 1, uuid);
	do {
		struct bufshare_msg_list_reply *list = (void *)reply;

		assert_int_equal(raw_status(fd, BUFSHARE_MSG_LIST_BUFFERS, &msg, sizeof(msg), reply),
				 BUFSHARE_S_OK);
		seen += le32toh(list->count);
		pages++;
		msg.cursor = list->cursor;
	} while (msg.cursor != 0);
	assert_int_equal(seen, 500);
	assert_in_range(pages, 3, 5);
	msg.cursor = UINT64_MAX;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_LIST_BUFFERS, &msg, sizeof(msg), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(((struct bufshare_msg_list_reply *)reply)->count, 0);
	close(fd);
}

static void watch_values(void **state)
{
	struct bufshare_msg_watch msg = { .what = htole32(4) };
	int fd = raw_client(*state);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_INVALID);
	msg.what = htole32(3);
	msg.reserved = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_INVALID);
	close(fd);
}

/* ---- buffers ---- */

static void get_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(2) };
	int fd = raw_client(f), fds[BUFSHARE_MSG_MAX_FDS];
	struct bufshare_msg_buffer_get_reply *got = (void *)reply;
	struct bufshare_msg_buffer_put put = { 0 };
	const uint32_t pages[] = { 3, 1 };
	uint32_t num_fds;

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	guest_make_buffer(f, pages, 2, msg.uuid);
	for (uint32_t bad = 0; bad < 2; bad++) {
		struct bufshare_msg_buffer_get wrong = msg;

		wrong.access = bad ? htole32(4) : 0;
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &wrong, sizeof(wrong),
					    NULL),
				 BUFSHARE_S_INVALID);
		wrong = msg;
		wrong.paths = bad ? htole32(6) : 0;
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &wrong, sizeof(wrong),
					    NULL),
				 BUFSHARE_S_INVALID);
	}
	memcpy(put.uuid, msg.uuid, UUID_SIZE);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_NOT_FOUND);
	assert_int_equal(fixture_stats(f).buffers, 1);

	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg));
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), fds, &num_fds), sizeof(*got));
	assert_int_equal(num_fds, 1);
	assert_int_equal(le32toh(got->hdr.num_fds), 1);
	assert_int_equal(le32toh(got->path), BUFSHARE_PATH_RAM);
	assert_int_equal(le32toh(got->info.num_extents), 2);
	assert_int_equal(le32toh(got->info.users), 1);
	close(fds[0]);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_NOT_FOUND);
	close(fd);
}

static void get_without_a_path(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(1) };
	struct bufshare_msg_error *error = (void *)reply;
	uint32_t page = 0;
	int fd = raw_client(f);

	if (access("/dev/udmabuf", F_OK) == 0)
		skip();
	guest_make_buffer(f, &page, 1, msg.uuid);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), reply),
			 BUFSHARE_S_NO_PATH);
	assert_non_null(strstr(error->text, "/dev/udmabuf"));
	assert_non_null(strstr(error->text, "--trust uid="));
	/* The refusal left no hold behind. */
	assert_int_equal(guest_destroy_buffer(f, msg.uuid), 0);
	close(fd);
}

static void get_suspended(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(2) };
	uint32_t page = 0;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, msg.uuid);
	guest_suspend(f, true);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_SUSPENDED);
	close(fd);
}

static void extents_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	struct bufshare_msg_buffer_extents msg = { 0 };
	struct bufshare_msg_buffer_extents_reply *got = (void *)reply;
	int fd = raw_client(f), fds[BUFSHARE_MSG_MAX_FDS];
	const uint32_t pages[] = { 9, 7, 5 };
	uint32_t num_fds;

	guest_make_buffer(f, pages, 3, get.uuid);
	memcpy(msg.uuid, get.uuid, UUID_SIZE);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
	(void)raw_receive(fd, reply, sizeof(reply), fds, &num_fds);
	assert_int_equal(num_fds, 1);
	close(fds[0]);
	msg.first = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(le32toh(got->total), 3);
	assert_int_equal(le32toh(got->count), 2);
	assert_int_equal(le64toh(((struct bufshare_msg_extent *)(got + 1))[0].offset), 7 * PAGE);
	msg.first = htole32(3);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(le32toh(got->count), 0);
	for (uint64_t first = 4; first <= UINT32_MAX; first += UINT32_MAX - 4) {
		msg.first = htole32((uint32_t)first);
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg),
					    NULL),
				 BUFSHARE_S_INVALID);
	}
	msg.first = 0;
	msg.reserved = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_INVALID);
	/* It is held, but where it lay is nobody's any more. */
	msg.reserved = 0;
	guest_reset(f);
	(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL); /* removed */
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	close(fd);
}

/* ---- streams ---- */

static void join_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stream_join msg = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_stream_join wrong;
	int fd = raw_client(f);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	(void)guest_make_stream(f, "camera");
	wrong = msg;
	wrong.mode = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &wrong, sizeof(wrong), NULL),
			 BUFSHARE_S_INVALID);
	wrong = msg;
	memset(wrong.name, 'x', sizeof(wrong.name));
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &wrong, sizeof(wrong), NULL),
			 BUFSHARE_S_INVALID);
	wrong = msg;
	(void)strcpy(wrong.owner, "vm1");
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &wrong, sizeof(wrong), NULL),
			 BUFSHARE_S_NOT_FOUND);
	/* Its own name is no machine's. */
	(void)strcpy(wrong.owner, "raw");
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &wrong, sizeof(wrong), NULL),
			 BUFSHARE_S_NOT_FOUND);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_OK);
	close(fd);
}

static void release_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_frame_release msg = { 0 };
	struct bufshare_msg_stream_leave leave = { 0 };
	struct bufshare_msg_event_frame *frame = (void *)reply;
	uint32_t stream = guest_make_stream(f, "camera"), page = 2;
	uint8_t uuid[UUID_SIZE];
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), reply),
			 BUFSHARE_S_OK);
	leave.consumer_id = ((struct bufshare_msg_stream_join_reply *)reply)->consumer_id;
	assert_int_equal(guest_next(f).listeners, 1);
	assert_int_equal(guest_publish(f, stream, uuid, 5), 1);
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), NULL, NULL), sizeof(*frame));
	assert_int_equal(le64toh(frame->sequence), 5);
	assert_memory_equal(frame->uuid, uuid, UUID_SIZE);

	msg.sequence = htole64(5);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	msg.consumer_id = leave.consumer_id;
	msg.sequence = htole64(4);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	msg.sequence = htole64(5);
	msg.reserved = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_INVALID);
	msg.reserved = 0;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(guest_next(f).type, GUEST_RELEASED);
	/* Twice */
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);

	leave.reserved = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_INVALID);
	leave.reserved = 0;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_NOT_FOUND);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_first),  TEST(hello_twice),	    TEST(hello_names),
		TEST(every_wrong_length), TEST(unknown_types),	    TEST(header_fields),
		TEST(lists_page),	  TEST(watch_values),	    TEST(get_values),
		TEST(get_without_a_path), TEST(get_suspended),	    TEST(extents_values),
		TEST(join_values),	  TEST(release_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
