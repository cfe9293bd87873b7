/* SPDX-License-Identifier: MIT */
/* LIST_STREAMS: a page at a time. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void lists_page(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_list msg = { 0 };
	struct bufshare_msg_list_reply *list = (void *)reply;
	const struct bufshare_msg_stream_info *info = (const void *)(list + 1);
	bool seen[60] = { false };
	uint32_t total = 0;
	int fd = raw_client(f);

	for (uint32_t i = 0; i < 60; i++) {
		const char name[] = { 's', (char)('0' + i / 10), (char)('0' + i % 10), '\0' };

		(void)guest_make_stream(f, name);
	}
	do {
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_LIST_STREAMS, &msg, sizeof(msg), reply),
				 BUFSHARE_S_OK);
		for (uint32_t i = 0; i < le32toh(list->count); i++) {
			unsigned int n = (unsigned int)(info[i].name[1] - '0') * 10 +
					 (unsigned int)(info[i].name[2] - '0');

			assert_string_equal(info[i].owner, "vm0");
			assert_in_range(n, 0, 59);
			assert_false(seen[n]);
			seen[n] = true;
			total++;
		}
		msg.cursor = list->cursor;
	} while (msg.cursor != 0);
	assert_int_equal(total, 60);
	msg.cursor = UINT64_MAX;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_LIST_STREAMS, &msg, sizeof(msg), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(list->count, 0);
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
