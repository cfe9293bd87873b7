/* SPDX-License-Identifier: MIT */
/* What a client gets when the host is short of something, or when it is slow itself. */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Calls with descriptors that fail, and how many were made. */
static atomic_int failures, calls;

ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags); /* NOLINT */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags); /* NOLINT */

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags) /* NOLINT */
{
	if (msg->msg_controllen > 0) {
		calls++;
		if (failures > 0) {
			failures--;
			errno = ETOOMANYREFS;
			return -1;
		}
	}
	return __real_sendmsg(fd, msg, flags);
}

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];
static struct bufshare_msg_hdr *const hdr = (void *)reply;

/* Others have too many on their way: this one waits, the others are served. */
static void descriptors_in_flight(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	struct bufshare_msg_hdr stats;
	uint32_t page = 1, num_fds;
	int fd = raw_client(f), other = raw_client(f), fds[BUFSHARE_MSG_MAX_FDS];

	guest_make_buffer(f, &page, 1, get.uuid);
	failures = 3;
	calls = 0;
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
	assert_int_equal(raw_status(other, BUFSHARE_MSG_STATS, &stats, sizeof(stats), NULL),
			 BUFSHARE_S_OK);
	assert_true(raw_receive(fd, reply, sizeof(reply), fds, &num_fds) > 0);
	assert_int_equal(le32toh(hdr->type), BUFSHARE_MSG_BUFFER_GET);
	assert_int_equal(le32toh(hdr->status), BUFSHARE_S_OK);
	assert_int_equal(num_fds, 1);
	close(fds[0]);
	/* It was tried now and then, and not all the time. */
	assert_int_equal(calls, 4);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STATS, &stats, sizeof(stats), NULL),
			 BUFSHARE_S_OK);
	close(fd);
	close(other);
}

/* One that ends while it waits gives back what it holds, and the descriptor is not lost. */
static void ends_while_waiting(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	uint32_t page = 1;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, get.uuid);
	failures = 1 << 20;
	raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
	/* It is held, and then it is not. */
	while (guest_users(f, get.uuid) != 1)
		(void)fixture_stats(f);
	close(fd);
	while (guest_users(f, get.uuid) != 0)
		(void)fixture_stats(f);
	failures = 0;
}

/* A watcher too slow for events that are dropped still learns that its frame is dead. */
static void slow_watcher_with_a_frame(void **state)
{
	struct fixture *f = *state;
	struct bufshare_msg_watch watch = { .what = htole32(BUFSHARE_WATCH_BUFFERS) };
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_hdr stats = { .type = htole32(BUFSHARE_MSG_STATS),
					  .serial = htole32(9) };
	uint32_t stream = guest_make_stream(f, "camera"), page = 1;
	uint8_t frame[UUID_SIZE], uuid[UUID_SIZE];
	bool lost = false, removed = false;
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, frame);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &watch, sizeof(watch), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join, sizeof(join), NULL),
			 BUFSHARE_S_OK);
	assert_int_equal(guest_publish(f, stream, frame, 1), 1);
	for (unsigned int i = 0; i < 4000; i++) {
		guest_make_buffer(f, &page, 1, uuid);
		(void)guest_destroy_buffer(f, uuid);
	}
	assert_int_equal(guest_destroy_buffer(f, frame), 1);
	raw_send(fd, &stats, sizeof(stats));
	do {
		struct bufshare_msg_event_buffer_removed *event = (void *)reply;

		assert_true(raw_receive(fd, reply, sizeof(reply), NULL, NULL) > 0);
		lost = lost || le32toh(hdr->type) == BUFSHARE_MSG_EVENT_RESYNC;
		removed = removed || (le32toh(hdr->type) == BUFSHARE_MSG_EVENT_BUFFER_REMOVED &&
				      memcmp(event->uuid, frame, UUID_SIZE) == 0);
	} while (le32toh(hdr->serial) != 9);
	assert_true(lost);
	assert_true(removed);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors_in_flight),
		TEST(ends_while_waiting),
		TEST(slow_watcher_with_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
