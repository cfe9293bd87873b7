/* SPDX-License-Identifier: MIT */
/* FRAME_RELEASE: each frame once, by its consumer. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void release_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_frame_release msg = { 0 };
	struct bufshare_msg_event_frame *frame = (void *)reply;
	uint32_t stream = guest_make_stream(f, "camera"), page = 2;
	uint8_t uuid[UUID_SIZE];
	__le32 consumer_id;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), reply),
			 BUFSHARE_S_OK);
	consumer_id = ((struct bufshare_msg_stream_join_reply *)reply)->consumer_id;
	assert_int_equal(guest_next(f).listeners, 1);
	assert_int_equal(guest_publish(f, stream, uuid, 5), 1);
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), NULL, NULL), sizeof(*frame));
	assert_int_equal(le64toh(frame->sequence), 5);
	assert_memory_equal(frame->uuid, uuid, UUID_SIZE);

	msg.sequence = htole64(5);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	msg.consumer_id = consumer_id;
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
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(release_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
