/* SPDX-License-Identifier: MIT */
/* HELLO: it comes first, once, and with a name. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

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

/* The reply tells the client what it can be given, and how much. */
static void hello_reply(void **state)
{
	const struct client_trust trust = { .uid = getuid(), .write = true };
	const struct client_server_options options = { .listen_fd = -1,
						       .trust = &trust,
						       .num_trust = 1,
						       .max_holds = 5,
						       .udmabuf_path = "" };
	struct fixture *f = fixture_start(&options);
	struct bufshare_msg_hello hello = { .name = "reader" };
	struct bufshare_msg_hello_reply *got = (void *)reply;
	int fd = raw_connect(f);

	(void)state;
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello), reply),
			 BUFSHARE_S_OK);
	assert_int_equal(le32toh(got->max_holds), 5);
	assert_int_equal(le32toh(got->paths), BUFSHARE_PATH_RAM);
	close(fd);
	fixture_stop(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_first),
		TEST(hello_twice),
		TEST(hello_names),
		cmocka_unit_test(hello_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
