/* SPDX-License-Identifier: MIT */
/* STREAM_LEAVE: gives back what the consumer has, once. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void leave_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_stream_leave leave = { 0 };
	uint32_t stream = guest_make_stream(f, "camera"), page = 2;
	uint8_t uuid[UUID_SIZE];
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_NOT_FOUND);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), reply),
			 BUFSHARE_S_OK);
	leave.consumer_id = ((struct bufshare_msg_stream_join_reply *)reply)->consumer_id;
	assert_int_equal(guest_next(f).listeners, 1);
	assert_int_equal(guest_publish(f, stream, uuid, 5), 1);
	(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL); /* the frame */

	leave.reserved = htole32(1);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_INVALID);
	leave.reserved = 0;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(guest_next(f).type, GUEST_RELEASED);
	assert_int_equal(guest_next(f).type, GUEST_LISTENERS);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave, sizeof(leave), NULL),
			 BUFSHARE_S_NOT_FOUND);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(leave_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
