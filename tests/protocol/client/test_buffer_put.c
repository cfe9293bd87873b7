/* SPDX-License-Identifier: MIT */
/* BUFFER_PUT: once for each GET, and by who holds only. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void once_for_each_get(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 1;
	int fd = raw_client(f), other = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(raw_get(fd, uuid), BUFSHARE_S_OK);
	assert_int_equal(raw_get(fd, uuid), BUFSHARE_S_OK);
	/* Not another client's hold. */
	assert_int_equal(raw_put(other, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_OK);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_OK);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_NOT_FOUND);
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	close(fd);
	close(other);
}

/* The buffer is idle when the last hold is given back, once. */
static void twice_after_the_end(void **state)
{
	struct fixture *f = *state;
	uint8_t uuid[UUID_SIZE];
	uint32_t page = 1;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_get(fd, uuid), BUFSHARE_S_OK);
	assert_int_equal(guest_destroy_buffer(f, uuid), 1);
	(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL); /* removed */
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_OK);
	assert_int_equal(guest_next(f).type, GUEST_IDLE);
	assert_int_equal(raw_put(fd, uuid), BUFSHARE_S_NOT_FOUND);
	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(guest_destroy_buffer(f, uuid), 0);
	assert_int_equal(fixture_stats(f).buffers, 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(once_for_each_get),
		TEST(twice_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
