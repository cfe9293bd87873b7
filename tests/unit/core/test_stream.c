/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <errno.h>
#include <string.h>

#include "internal.h" /* nobody makes 2^32 streams to see the numbers end */

static void test_creation_errors(void **state)
{
	struct fixture *f = *state;
	char name[LABEL_SIZE + 1];
	struct stream *s;

	memset(name, 'x', sizeof(name));
	name[LABEL_SIZE] = '\0';
	assert_int_equal(stream_create(f->a.peer, "", 1, &s), -EINVAL);
	assert_int_equal(stream_create(f->a.peer, "a b", 1, &s), -EINVAL);
	assert_int_equal(stream_create(f->a.peer, "a/b", 1, &s), -EINVAL);
	assert_int_equal(stream_create(f->a.peer, name, 1, &s), -EINVAL);
	assert_int_equal(stream_create(f->a.peer, "x", 0, &s), -EINVAL);
	assert_int_equal(stream_create(f->a.peer, "x", 9, &s), -EINVAL);
	name[LABEL_SIZE - 1] = '\0';
	make_stream(&f->a, name, 8);
	make_stream(&f->a, "cam.0_A-z", 1);
	assert_int_equal(stream_create(f->a.peer, "cam.0_A-z", 1, &s), -EEXIST);
	make_stream(&f->b, "cam.0_A-z", 1);
	make_stream(&f->a, "3", 1);
	make_stream(&f->a, "4", 1);
	assert_int_equal(stream_create(f->a.peer, "5", 1, &s), -EDQUOT);
	assert_int_equal(stats_of(f).streams, 5);
}

static void test_ids(void **state)
{
	struct fixture *f = *state;
	struct stream *x = make_stream(&f->a, "x", 1), *y = make_stream(&f->a, "y", 1);
	uint32_t id = stream_id(x);

	assert_int_not_equal(id, 0);
	assert_int_not_equal(id, stream_id(y));
	assert_ptr_equal(stream_find_owned(f->a.peer, id), x);
	assert_null(stream_find_owned(f->b.peer, id));
	stream_destroy(x);
	assert_null(stream_find_owned(f->a.peer, id));
	assert_int_not_equal(stream_id(make_stream(&f->a, "x", 1)), id);
}

/* The number of one that is gone means nothing until the guest starts anew. */
static void test_ids_are_used_up(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "x", 1);

	stream_destroy(s);
	f->a.peer->last_stream_id = UINT32_MAX - 1;
	s = make_stream(&f->a, "last", 1);
	assert_int_equal(stream_id(s), UINT32_MAX);
	assert_int_equal(stream_create(f->a.peer, "more", 1, &s), -EDQUOT);
	stream_destroy(s);
	assert_int_equal(stream_create(f->a.peer, "more", 1, &s), -EDQUOT);
	assert_int_equal(stats_of(f).streams, 0);
	/* Others are not concerned, and a reset begins again. */
	make_stream(&f->b, "x", 1);
	peer_reset(f->a.peer);
	assert_int_equal(stream_id(make_stream(&f->a, "more", 1)), 1);
}

static void test_without_consumer_released_at_once(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 1);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1);

	assert_int_equal(publish(s, buffer, 7), 0);
	assert_int_equal(expect_told(&f->a, TOLD_RELEASED)->number, 7);
	assert_int_equal(stream_in_flight(s), 0);
	assert_int_equal(stream_published(s), 1);
	assert_int_equal(stream_sequence(s), 7);
	assert_int_equal(stats_of(f).frames_released, 1);
}

static void test_frames_in_order_to_all(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 4);
	struct buffer *x = make_buffer(f, &f->a, 0, 1), *y = make_buffer(f, &f->a, 1, 1);
	struct consumer *c = join(&f->c, &f->a, "s"), *d = join(&f->d, &f->a, "s");
	uint64_t in_flight[VIRTIO_BUFSHARE_MAX_FRAMES];

	assert_int_equal(expect_told(&f->a, TOLD_LISTENERS)->number, 1);
	assert_int_equal(expect_told(&f->a, TOLD_LISTENERS)->number, 2);
	assert_int_equal(publish(s, x, 1), 0);
	assert_int_equal(publish(s, y, 5), 0);
	assert_int_equal(expect_told(&f->c, TOLD_FRAME)->number, 1);
	assert_int_equal(expect_told(&f->c, TOLD_FRAME)->number, 5);
	assert_int_equal(expect_told(&f->d, TOLD_FRAME)->number, 1);
	assert_int_equal(buffer_users(x), 2);

	assert_int_equal(consumer_release(c, 5), 0);
	assert_int_equal(consumer_release(c, 1), 0);
	expect_quiet(&f->a);
	assert_int_equal(stream_get_in_flight(s, in_flight), 2);
	assert_int_equal(in_flight[0], 1);
	assert_int_equal(in_flight[1], 5);
	assert_int_equal(consumer_release(d, 1), 0);
	assert_int_equal(expect_told(&f->a, TOLD_RELEASED)->number, 1);
	assert_int_equal(buffer_users(x), 0);
	assert_int_equal(consumer_release(d, 1), -ENOENT);
	assert_int_equal(consumer_release(d, 2), -ENOENT);
	assert_int_equal(consumer_release(c, 5), -ENOENT);
	assert_int_equal(stats_of(f).frames_delivered, 4);
	assert_int_equal(stats_of(f).frames_published, 2);
	assert_int_equal(stats_of(f).frames_released, 1);
}

static void test_in_flight_is_ascending(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2);
	struct buffer *x = make_buffer(f, &f->a, 0, 1), *y = make_buffer(f, &f->a, 1, 1);
	struct consumer *c = join(&f->c, &f->a, "s");
	uint64_t in_flight[VIRTIO_BUFSHARE_MAX_FRAMES];

	assert_int_equal(publish(s, x, 1), 0);
	assert_int_equal(publish(s, y, 2), 0);
	assert_int_equal(consumer_release(c, 1), 0);
	assert_int_equal(publish(s, x, 3), 0);
	assert_int_equal(stream_get_in_flight(s, in_flight), 2);
	assert_int_equal(in_flight[0], 2);
	assert_int_equal(in_flight[1], 3);
}

static void test_publish_errors(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2), *t = make_stream(&f->a, "t", 2);
	struct buffer *mine = make_buffer(f, &f->a, 0, 1), *second = make_buffer(f, &f->a, 1, 1);
	struct buffer *third = make_buffer(f, &f->a, 2, 1);
	struct buffer *theirs = make_buffer(f, &f->b, 0, 1);
	struct buffer *filling = make_filling(&f->a, PAGE, 1);

	join(&f->c, &f->a, "s");
	assert_int_equal(publish(s, theirs, 1), -ENOENT);
	assert_int_equal(publish(s, filling, 1), -ENOENT);
	assert_int_equal(publish(s, mine, 0), 0);
	assert_int_equal(publish(s, mine, 1), -EBUSY);
	assert_int_equal(publish(t, mine, 1), -EBUSY);
	assert_int_equal(publish(s, second, 0), -EINVAL);
	assert_int_equal(publish(s, second, UINT64_MAX), 0);
	assert_int_equal(publish(s, third, UINT64_MAX), -EINVAL);
	assert_int_equal(stream_published(s), 2);

	assert_int_equal(publish(t, third, 1), 0);
	assert_int_equal(stats_of(f).frames_published, 3);
}

static void test_max_frames(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2);
	struct consumer *c = join(&f->c, &f->a, "s");

	assert_int_equal(publish(s, make_buffer(f, &f->a, 0, 1), 1), 0);
	assert_int_equal(publish(s, make_buffer(f, &f->a, 1, 1), 2), 0);
	assert_int_equal(publish(s, make_buffer(f, &f->a, 2, 1), 3), -EDQUOT);
	assert_int_equal(consumer_release(c, 1), 0);
	assert_int_equal(publish(s, make_buffer(f, &f->a, 3, 1), 3), 0);
}

static void test_buffer_destroyed_in_flight(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1);
	struct consumer *c = join(&f->c, &f->a, "s");
	struct buffer *got;
	uint8_t uuid[UUID_SIZE];
	uint32_t users, num;

	copy_uuid(uuid, buffer);
	assert_int_equal(publish(s, buffer, 1), 0);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, 1);
	expect_told(&f->c, TOLD_FRAME);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, REMOVED_DESTROYED);
	/* Who has the frame can look at it; nobody else can. */
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), -ENOENT);
	peer_set_suspended(f->a.peer, true);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), -EAGAIN);
	peer_set_suspended(f->a.peer, false);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_ptr_equal(got, buffer);
	(void)buffer_extents(got, &num);
	assert_int_equal(num, 1);
	assert_int_equal(consumer_release(c, 1), 0);
	expect_told(&f->a, TOLD_LISTENERS);
	assert_memory_equal(expect_told(&f->a, TOLD_RELEASED)->uuid, uuid, UUID_SIZE);
	expect_quiet(&f->a);
	/* A hold is no frame. */
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), -ENOENT);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_memory_equal(expect_told(&f->a, TOLD_IDLE)->uuid, uuid, UUID_SIZE);
	expect_quiet(&f->a);
}

/* A program of the guest that publishes its last frame and exits. */
static void test_stream_and_buffer_destroyed_in_flight(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	uint8_t uuid[UUID_SIZE];
	uint32_t users;

	copy_uuid(uuid, buffer);
	join(&f->c, &f->a, "s");
	assert_int_equal(publish(s, buffer, 1), 0);
	stream_destroy(s);
	buffer_destroy(buffer, &users);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_ptr_equal(got, buffer);
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), -ENOENT);
	/* The pages are the guest's again. */
	peer_reset(f->a.peer);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), -ENOENT);
}

static void test_who_released_is_no_holder(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1);
	struct consumer *c = join(&f->c, &f->a, "s");
	uint32_t users;

	join(&f->d, &f->a, "s");
	assert_int_equal(publish(s, buffer, 1), 0);
	assert_int_equal(consumer_release(c, 1), 0);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, 1);
	expect_told(&f->c, TOLD_FRAME);
	expect_quiet(&f->c);
	expect_told(&f->d, TOLD_FRAME);
	expect_told(&f->d, TOLD_REMOVED);
}

static void test_stream_destroyed_in_flight(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 2), *t = make_stream(&f->a, "t", 2);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1);
	struct consumer *c = join(&f->c, &f->a, "s"), *again;

	assert_int_equal(publish(s, buffer, 1), 0);
	stream_destroy(s);
	expect_told(&f->c, TOLD_FRAME);
	assert_int_equal(expect_told(&f->c, TOLD_ENDED)->number, REMOVED_DESTROYED);
	assert_int_equal(consumer_join(f->d.peer, "a", "s", &again), -ENOENT);
	assert_int_equal(buffer_users(buffer), 1);
	assert_int_equal(publish(t, buffer, 1), -EBUSY);
	assert_int_equal(consumer_release(c, 1), 0);
	assert_int_equal(consumer_release(c, 1), -ENOENT);
	assert_int_equal(buffer_users(buffer), 0);
	assert_int_equal(publish(t, buffer, 1), 0);
	consumer_leave(c);
	expect_told(&f->a, TOLD_LISTENERS);
	expect_told(&f->a, TOLD_RELEASED); /* of "t", which has no consumer */
	expect_quiet(&f->a);
}

static void test_consumer_gone_with_frames(void **state)
{
	struct fixture *f = *state;
	struct stream *s = make_stream(&f->a, "s", 4);
	struct consumer *d;

	join(&f->c, &f->a, "s");
	d = join(&f->d, &f->a, "s");
	assert_int_equal(publish(s, make_buffer(f, &f->a, 0, 1), 1), 0);
	assert_int_equal(publish(s, make_buffer(f, &f->a, 1, 1), 2), 0);
	assert_int_equal(consumer_release(d, 1), 0);
	expect_told(&f->a, TOLD_LISTENERS);
	expect_told(&f->a, TOLD_LISTENERS);
	expect_quiet(&f->a);
	actor_leave(&f->c);
	assert_int_equal(expect_told(&f->a, TOLD_RELEASED)->number, 1);
	assert_int_equal(expect_told(&f->a, TOLD_LISTENERS)->number, 1);
	expect_quiet(&f->a);
	consumer_leave(d);
	assert_int_equal(expect_told(&f->a, TOLD_RELEASED)->number, 2);
	assert_int_equal(expect_told(&f->a, TOLD_LISTENERS)->number, 0);
	assert_int_equal(stream_in_flight(s), 0);
}

static void owner_leaves_in_flight(struct fixture *f, bool reset)
{
	enum removed_reason reason = reset ? REMOVED_RESET : REMOVED_OWNER_GONE;
	struct stream *s = make_stream(&f->a, "s", 4);
	struct consumer *c = join(&f->c, &f->a, "s");
	size_t told;

	assert_int_equal(publish(s, make_buffer(f, &f->a, 0, 1), 1), 0);
	expect_told(&f->c, TOLD_FRAME);
	expect_told(&f->a, TOLD_LISTENERS);
	told = f->a.num;
	if (reset)
		peer_reset(f->a.peer);
	else
		actor_leave(&f->a);
	assert_int_equal(expect_told(&f->c, TOLD_ENDED)->number, reason);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, reason);
	assert_int_equal(stats_of(f).streams, 0);
	assert_int_equal(stats_of(f).buffers, 1);
	assert_int_equal(consumer_release(c, 1), 0);
	assert_int_equal(stats_of(f).buffers, 0);
	consumer_leave(c);
	assert_int_equal(f->a.num, told);
}

static void test_owner_reset_in_flight(void **state)
{
	owner_leaves_in_flight(*state, true);
}

static void test_owner_gone_in_flight(void **state)
{
	owner_leaves_in_flight(*state, false);
}

static void test_join_errors_and_ids(void **state)
{
	struct fixture *f = *state;
	struct consumer *c;

	make_stream(&f->a, "s", 1);
	assert_int_equal(consumer_join(f->c.peer, "a", "t", &c), -ENOENT);
	assert_int_equal(consumer_join(f->c.peer, "b", "s", &c), -ENOENT);
	assert_int_equal(consumer_join(f->c.peer, "x", "s", &c), -ENOENT);
	assert_int_equal(consumer_join(f->other.peer, "a", "s", &c), -ENOENT);
	for (int i = 0; i < 4; i++)
		c = join(&f->c, &f->a, "s");
	assert_int_equal(consumer_join(f->c.peer, "a", "s", &c), -EDQUOT);
	assert_ptr_equal(consumer_find(f->c.peer, consumer_id(c)), c);
	assert_null(consumer_find(f->d.peer, consumer_id(c)));
	assert_null(consumer_find(f->c.peer, 0));
	consumer_leave(c);
	join(&f->c, &f->a, "s");
}

static void test_watchers(void **state)
{
	struct fixture *f = *state;
	struct stream *s;

	peer_watch(f->c.peer, WATCH_STREAMS);
	peer_watch(f->d.peer, WATCH_BUFFERS);
	peer_watch(f->other.peer, WATCH_STREAMS);
	s = make_stream(&f->a, "s", 1);
	expect_told(&f->c, TOLD_STREAM_ADDED);
	stream_destroy(s);
	expect_told(&f->c, TOLD_STREAM_REMOVED);
	make_stream(&f->a, "t", 1);
	expect_told(&f->c, TOLD_STREAM_ADDED);
	peer_reset(f->a.peer);
	expect_told(&f->c, TOLD_STREAM_REMOVED);
	expect_quiet(&f->c);
	expect_quiet(&f->d);
	expect_quiet(&f->other);
}

static bool see(void *arg, const struct stream *stream)
{
	(void)stream;
	return --*(int *)arg > 0;
}

static void test_walk(void **state)
{
	struct fixture *f = *state;
	uint64_t cursor = 0;
	int left = 2;

	make_stream(&f->a, "1", 1);
	make_stream(&f->b, "2", 1);
	make_stream(&f->a, "3", 1);
	stream_walk(f->c.peer, &cursor, see, &left);
	assert_int_equal(left, 0);
	left = 10;
	stream_walk(f->c.peer, &cursor, see, &left);
	assert_int_equal(left, 9);
	assert_int_equal(cursor, 0);
	left = 10;
	stream_walk(f->b.peer, &cursor, see, &left);
	assert_int_equal(left, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_creation_errors),
		TEST(test_ids),
		TEST(test_ids_are_used_up),
		TEST(test_without_consumer_released_at_once),
		TEST(test_frames_in_order_to_all),
		TEST(test_in_flight_is_ascending),
		TEST(test_publish_errors),
		TEST(test_max_frames),
		TEST(test_buffer_destroyed_in_flight),
		TEST(test_stream_and_buffer_destroyed_in_flight),
		TEST(test_who_released_is_no_holder),
		TEST(test_stream_destroyed_in_flight),
		TEST(test_consumer_gone_with_frames),
		TEST(test_owner_reset_in_flight),
		TEST(test_owner_gone_in_flight),
		TEST(test_join_errors_and_ids),
		TEST(test_watchers),
		TEST(test_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
