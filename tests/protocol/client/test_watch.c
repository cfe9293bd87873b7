/* SPDX-License-Identifier: MIT */
/* WATCH: what is watched, and no longer. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

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

static void watch_replaces(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_watch msg = { .what = htole32(BUFSHARE_WATCH_BUFFERS) };
	struct bufshare_msg_hdr *hdr = (void *)reply;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 1;
	int fd = raw_client(f);

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &msg, sizeof(msg), NULL), BUFSHARE_S_OK);
	(void)guest_make_stream(f, "unheard");
	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), NULL, NULL),
			 sizeof(struct bufshare_msg_event_buffer_added));
	assert_int_equal(le32toh(hdr->type), BUFSHARE_MSG_EVENT_BUFFER_ADDED);
	assert_int_equal(hdr->serial, 0);
	msg.what = htole32(BUFSHARE_WATCH_STREAMS);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &msg, sizeof(msg), NULL), BUFSHARE_S_OK);
	(void)guest_destroy_buffer(f, uuid);
	(void)guest_make_stream(f, "heard");
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), NULL, NULL),
			 sizeof(struct bufshare_msg_event_stream));
	assert_int_equal(le32toh(hdr->type), BUFSHARE_MSG_EVENT_STREAM_ADDED);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(watch_values),
		TEST(watch_replaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
