/* SPDX-License-Identifier: MIT */
/* BUFFER_GET: access, paths, refusals, and how many holds a client may have. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

static void get_values(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(2) };
	int fd = raw_client(f), fds[BUFSHARE_MSG_MAX_FDS];
	struct bufshare_msg_buffer_get_reply *got = (void *)reply;
	struct bufshare_msg_buffer_put put = { 0 };
	const uint32_t pages[] = { 3, 1 };
	uint32_t num_fds;

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_NOT_FOUND);
	guest_make_buffer(f, pages, 2, msg.uuid);
	for (uint32_t bad = 0; bad < 2; bad++) {
		struct bufshare_msg_buffer_get wrong = msg;

		wrong.access = bad ? htole32(4) : 0;
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &wrong, sizeof(wrong),
					    NULL),
				 BUFSHARE_S_INVALID);
		wrong = msg;
		wrong.paths = bad ? htole32(6) : 0;
		assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &wrong, sizeof(wrong),
					    NULL),
				 BUFSHARE_S_INVALID);
	}
	memcpy(put.uuid, msg.uuid, UUID_SIZE);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_NOT_FOUND);
	assert_int_equal(fixture_stats(f).buffers, 1);

	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg));
	assert_int_equal(raw_receive(fd, reply, sizeof(reply), fds, &num_fds), sizeof(*got));
	assert_int_equal(num_fds, 1);
	assert_int_equal(le32toh(got->hdr.num_fds), 1);
	assert_int_equal(le32toh(got->path), BUFSHARE_PATH_RAM);
	assert_int_equal(le32toh(got->info.num_extents), 2);
	assert_int_equal(le32toh(got->info.users), 1);
	close(fds[0]);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put), NULL),
			 BUFSHARE_S_NOT_FOUND);
	close(fd);
}

static void get_without_a_path(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(1) };
	struct bufshare_msg_error *error = (void *)reply;
	uint32_t page = 0;
	int fd = raw_client(f);

	if (access("/dev/udmabuf", F_OK) == 0)
		skip();
	guest_make_buffer(f, &page, 1, msg.uuid);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), reply),
			 BUFSHARE_S_NO_PATH);
	assert_non_null(strstr(error->text, "/dev/udmabuf"));
	assert_non_null(strstr(error->text, "--trust uid="));
	/* The refusal left no hold behind. */
	assert_int_equal(guest_destroy_buffer(f, msg.uuid), 0);
	close(fd);
}

static void get_suspended(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get msg = { .access = htole32(1), .paths = htole32(2) };
	uint32_t page = 0;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, msg.uuid);
	guest_suspend(f, true);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_BUFFER_GET, &msg, sizeof(msg), NULL),
			 BUFSHARE_S_SUSPENDED);
	close(fd);
}

static void max_holds(void **state)
{
	const struct client_trust trust = { .uid = getuid() };
	const struct client_server_options options = { .listen_fd = -1,
						       .trust = &trust,
						       .num_trust = 1,
						       .max_holds = 3 };
	struct fixture *f = fixture_start(&options);
	uint8_t uuids[4][UUID_SIZE];
	int fd = raw_client(f), other = raw_client(f);

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		guest_make_buffer(f, &i, 1, uuids[i]);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(raw_get(fd, uuids[i]), BUFSHARE_S_OK);
	assert_int_equal(raw_get(fd, uuids[3]), BUFSHARE_S_LIMIT);
	/* The refusal left nothing behind, and one client's limit is not another one's. */
	assert_int_equal(guest_destroy_buffer(f, uuids[3]), 0);
	guest_make_buffer(f, (const uint32_t[]){ 3 }, 1, uuids[3]);
	assert_int_equal(raw_get(other, uuids[3]), BUFSHARE_S_OK);
	/* A hold that was given back makes room. */
	assert_int_equal(raw_put(fd, uuids[0]), BUFSHARE_S_OK);
	assert_int_equal(raw_get(fd, uuids[3]), BUFSHARE_S_OK);
	assert_int_equal(raw_get(fd, uuids[0]), BUFSHARE_S_LIMIT);
	close(fd);
	close(other);
	fixture_stop(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(get_values),
		TEST(get_without_a_path),
		TEST(get_suspended),
		cmocka_unit_test(max_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
