/* SPDX-License-Identifier: MIT */
/* STREAM_JOIN: names and the mode. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(join_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
