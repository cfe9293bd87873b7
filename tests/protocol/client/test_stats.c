/* SPDX-License-Identifier: MIT */
/* STATS: the counters follow what happens. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void counts(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_stats_reply *got = (void *)reply;
	struct bufshare_msg_hdr hdr;
	const uint32_t pages[] = { 4, 2 };
	uint8_t uuid[UUID_SIZE];
	int fd = raw_client(f);

	guest_make_buffer(f, pages, 2, uuid);
	(void)guest_make_stream(f, "camera");
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STATS, &hdr, sizeof(hdr), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(le64toh(got->guests), 1);
	assert_int_equal(le64toh(got->clients), 1);
	assert_int_equal(le64toh(got->buffers), 1);
	assert_int_equal(le64toh(got->extents), 2);
	assert_int_equal(le64toh(got->bytes_shared), 2 * PAGE);
	assert_int_equal(le64toh(got->streams), 1);
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STATS, &hdr, sizeof(hdr), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(le64toh(got->buffers), 0);
	assert_int_equal(le64toh(got->bytes_shared), 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
