/* SPDX-License-Identifier: MIT */
/* A client that dies at any point of a session: what it had is given back. */
#include "fixture.h"

#include <endian.h>
#include <string.h>
#include <unistd.h>

static uint64_t reply[BUFSHARE_MSG_MAX / sizeof(uint64_t)];

enum step {
	CONNECTED,
	SAID_HELLO,
	WATCHES,
	ASKED_FOR_A_LIST,
	ASKED_FOR_THE_BUFFER,
	HOLDS,
	ASKED_FOR_EXTENTS,
	JOINED,
	HAS_A_FRAME,
	ASKED_TO_RELEASE,
	RELEASED,
	ASKED_TO_PUT,
	LEFT,
	STEPS,
};

/* Goes as far as @last and is dead.  "Asked" means that the reply was not read. */
static void live_until(struct fixture *f, enum step last, uint32_t stream, const uint8_t *uuid,
		       uint64_t sequence)
{
	struct bufshare_msg_hello hello = { .name = "mortal" };
	struct bufshare_msg_watch watch = { .what = htole32(3) };
	struct bufshare_msg_list list = { 0 };
	struct bufshare_msg_buffer_get get = { .access = htole32(1), .paths = htole32(2) };
	struct bufshare_msg_buffer_extents extents = { 0 };
	struct bufshare_msg_stream_join join = { .owner = "vm0", .name = "camera" };
	struct bufshare_msg_frame_release release = { .sequence = htole64(sequence) };
	struct bufshare_msg_buffer_put put = { 0 };
	struct bufshare_msg_stream_leave leave = { 0 };
	int fd = raw_connect(f), fds[BUFSHARE_MSG_MAX_FDS];
	uint32_t num_fds;

	memcpy(get.uuid, uuid, UUID_SIZE);
	memcpy(extents.uuid, uuid, UUID_SIZE);
	memcpy(put.uuid, uuid, UUID_SIZE);
	for (enum step step = SAID_HELLO; step <= last; step++) {
		switch (step) {
		case SAID_HELLO:
			assert_int_equal(raw_status(fd, BUFSHARE_MSG_HELLO, &hello, sizeof(hello),
						    NULL),
					 BUFSHARE_S_OK);
			break;
		case WATCHES:
			assert_int_equal(raw_status(fd, BUFSHARE_MSG_WATCH, &watch, sizeof(watch),
						    NULL),
					 BUFSHARE_S_OK);
			break;
		case ASKED_FOR_A_LIST:
			raw_request(fd, BUFSHARE_MSG_LIST_BUFFERS, &list, sizeof(list));
			if (step < last)
				(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL);
			break;
		case ASKED_FOR_THE_BUFFER:
			raw_request(fd, BUFSHARE_MSG_BUFFER_GET, &get, sizeof(get));
			break;
		case HOLDS:
			(void)raw_receive(fd, reply, sizeof(reply), fds, &num_fds);
			assert_int_equal(num_fds, 1);
			close(fds[0]);
			break;
		case ASKED_FOR_EXTENTS:
			raw_request(fd, BUFSHARE_MSG_BUFFER_EXTENTS, &extents, sizeof(extents));
			if (step < last)
				(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL);
			break;
		case JOINED:
			assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_JOIN, &join,
						    sizeof(join), reply),
					 BUFSHARE_S_OK);
			leave.consumer_id =
				((struct bufshare_msg_stream_join_reply *)reply)->consumer_id;
			release.consumer_id = leave.consumer_id;
			break;
		case HAS_A_FRAME:
			assert_int_equal(guest_publish(f, stream, uuid, sequence), 1);
			(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL);
			break;
		case ASKED_TO_RELEASE:
			raw_request(fd, BUFSHARE_MSG_FRAME_RELEASE, &release, sizeof(release));
			break;
		case RELEASED:
			(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL);
			break;
		case ASKED_TO_PUT:
			raw_request(fd, BUFSHARE_MSG_BUFFER_PUT, &put, sizeof(put));
			if (step < last)
				(void)raw_receive(fd, reply, sizeof(reply), NULL, NULL);
			break;
		default:
			assert_int_equal(raw_status(fd, BUFSHARE_MSG_STREAM_LEAVE, &leave,
						    sizeof(leave), NULL),
					 BUFSHARE_S_OK);
			break;
		}
	}
	close(fd);
}

static uint64_t num_clients(int fd)
{
	struct bufshare_msg_hdr hdr;

	assert_int_equal(raw_status(fd, BUFSHARE_MSG_STATS, &hdr, sizeof(hdr), reply),
			 BUFSHARE_S_OK);
	return le64toh(((struct bufshare_msg_stats_reply *)reply)->clients);
}

static void dies_at_any_point(void **state)
{
	struct fixture *f = *state;
	uint32_t stream = guest_make_stream(f, "camera"), page = 1;
	int observer = raw_client(f);

	for (enum step last = CONNECTED; last < STEPS; last++) {
		uint64_t sequence = (uint64_t)last + 1;
		uint8_t uuid[UUID_SIZE];

		guest_make_buffer(f, &page, 1, uuid);
		live_until(f, last, stream, uuid, sequence);
		/* Each of these is a round of the daemon's loop: it sees the end in one of them. */
		while (num_clients(observer) > 1)
			;
		assert_int_equal(fixture_stats(f).frames_published,
				 fixture_stats(f).frames_released);
		/* Nobody uses it, and the guest can do with it as before. */
		assert_int_equal(guest_publish(f, stream, uuid, sequence + 100), 0);
		assert_int_equal(guest_destroy_buffer(f, uuid), 0);
		stream = (guest_end_stream(f, stream), guest_make_stream(f, "camera"));
	}
	assert_int_equal(fixture_stats(f).buffers, 0);
	close(observer);
}

/* The same while the guest has given the buffer up: it is told once that it is idle. */
static void dies_with_a_buffer_given_up(void **state)
{
	struct fixture *f = *state;
	uint32_t stream = guest_make_stream(f, "camera"), page = 1;
	struct guest_event event;
	uint8_t uuid[UUID_SIZE];
	int fd = raw_client(f);

	guest_make_buffer(f, &page, 1, uuid);
	assert_int_equal(raw_get(fd, uuid), BUFSHARE_S_OK);
	live_until(f, HAS_A_FRAME, stream, uuid, 1);
	assert_int_equal(guest_next(f).type, GUEST_LISTENERS);
	assert_int_equal(guest_next(f).type, GUEST_RELEASED);
	assert_int_equal(guest_next(f).type, GUEST_LISTENERS);
	assert_int_equal(guest_destroy_buffer(f, uuid), 1);
	close(fd);
	event = guest_next(f);
	assert_int_equal(event.type, GUEST_IDLE);
	assert_memory_equal(event.uuid, uuid, UUID_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dies_at_any_point),
		TEST(dies_with_a_buffer_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
