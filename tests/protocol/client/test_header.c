/* SPDX-License-Identifier: MIT */
/* What holds for every message: its length, its type and its header. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_wrong_length),
		TEST(unknown_types),
		TEST(header_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
