/* SPDX-License-Identifier: MIT */
/* LIST_BUFFERS: a page at a time. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lists_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
