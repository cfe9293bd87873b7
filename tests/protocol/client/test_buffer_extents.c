/* SPDX-License-Identifier: MIT */
/* BUFFER_EXTENTS: of a buffer that is held, from any index on. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(extents_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
