/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_uuid_is_version_4_and_unique(void **state)
{
	struct fixture *f = *state;
	struct buffer *x = make_buffer(f, &f->a, 0, 1), *y = make_buffer(f, &f->a, 0, 1);

	assert_int_equal(buffer_uuid(x)[6] >> 4, 4);
	assert_int_equal(buffer_uuid(x)[8] >> 6, 2);
	assert_memory_not_equal(buffer_uuid(x), buffer_uuid(y), UUID_SIZE);
}

static void test_extents_in_chunks_are_merged(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 8 * PAGE, 5);
	struct extent one[] = { ram_extent(f, 0, 1), ram_extent(f, 1, 1), ram_extent(f, 9, 2) };
	struct extent two[] = { ram_extent(f, 11, 3), ram_extent(f, 3, 1) };
	const struct extent *extents;
	uint32_t num;

	assert_int_equal(buffer_add_extents(buffer, 0, 3, one, 3), 0);
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_FILLING);
	assert_int_equal(buffer_add_extents(buffer, 3, 2, two, 2), 0);
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_LIVE);
	extents = buffer_extents(buffer, &num);
	assert_int_equal(num, 3);
	assert_int_equal(extents[0].len, 2 * PAGE);
	assert_int_equal(extents[1].offset, 9 * PAGE);
	assert_int_equal(extents[1].len, 5 * PAGE);
	assert_int_equal(extents[2].offset, 3 * PAGE);
	assert_int_equal(stats_of(f).extents, 3);
}

static void test_all_merged_into_one(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 4 * PAGE, 4);
	const struct extent *extents;
	uint32_t num;

	for (uint32_t i = 0; i < 4; i++) {
		struct extent extent = ram_extent(f, 20 + i, 1);

		assert_int_equal(buffer_add_extents(buffer, i, 1, &extent, 1), 0);
	}
	extents = buffer_extents(buffer, &num);
	assert_int_equal(num, 1);
	assert_int_equal(extents[0].offset, 20 * PAGE);
	assert_int_equal(extents[0].len, 4 * PAGE);
}

static void test_neighbours_in_two_files_are_two(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 2 * PAGE, 1);
	int fd = memfd_create("more ram", MFD_CLOEXEC);
	struct extent extents[] = { ram_extent(f, 0, 1), ram_extent(f, 1, 1) };
	uint32_t num;

	assert_int_equal(arena_get(f->a.peer, fd, &extents[1].arena), 0);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, extents, 2), 0);
	(void)buffer_extents(buffer, &num);
	assert_int_equal(num, 2);
	arena_unref(extents[1].arena);
	close(fd);
}

static void test_bad_extents_change_nothing(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 3 * PAGE, 2);
	struct extent page = ram_extent(f, 0, 1), two = ram_extent(f, 4, 2);
	struct extent four = ram_extent(f, 4, 4);
	struct extent huge[] = { page, { f->ram, 0, UINT64_MAX - PAGE + 1 } };

	assert_int_equal(buffer_add_extents(buffer, 1, 1, &page, 1), -EINVAL);
	assert_int_equal(buffer_add_extents(buffer, 0, 0, NULL, 0), -EINVAL);
	assert_int_equal(buffer_add_extents(buffer, 0, 3, &page, 1), -EBADMSG);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, &four, 1), -EBADMSG);
	assert_int_equal(buffer_add_extents(buffer, 0, 2, huge, 2), -EBADMSG);
	assert_int_equal(buffer_add_extents(buffer, 0, 2, &two, 1), -EBADMSG);
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_FILLING);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, &page, 1), 0);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, &two, 1), -EINVAL);
	assert_int_equal(buffer_add_extents(buffer, 1, 1, &page, 1), -EBADMSG);
	assert_int_equal(buffer_add_extents(buffer, 1, 1, &two, 1), 0);
	assert_int_equal(buffer_add_extents(buffer, 2, 1, &page, 1), -EINVAL);
	assert_int_equal(stats_of(f).extents, 2);
}

static void test_specification_errors(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_desc bad = { .width = htole32(1) };
	struct buffer_spec good = { .size = PAGE, .num_extents = 1, .desc = &no_picture };
	struct buffer_spec spec = good;
	struct buffer *buffer;

	spec.size = 0;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EINVAL);
	spec = good;
	spec.num_extents = 0;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EINVAL);
	spec = good;
	spec.desc = &bad;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EINVAL);
	assert_int_equal(stats_of(f).buffers, 0);
}

static void test_quotas(void **state)
{
	struct fixture *f = *state;
	struct buffer_spec spec = { .size = 65 * PAGE, .num_extents = 1, .desc = &no_picture };
	struct buffer *buffer, *all[16];
	uint32_t users;

	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);
	spec.size = UINT64_MAX;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);
	spec.size = PAGE;
	spec.num_extents = 33;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);

	/* Also what is destroyed counts until the last user has gone. */
	all[0] = make_buffer(f, &f->a, 0, 64);
	spec.num_extents = 1;
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(all[0]), &buffer), 0);
	buffer_destroy(all[0], &users);
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);
	assert_int_equal(buffer_put(f->c.peer, buffer_uuid(all[0])), 0);

	for (size_t i = 0; i < 16; i++)
		all[i] = make_buffer(f, &f->a, i, 1);
	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), -EDQUOT);
	make_buffer(f, &f->b, 0, 1);
	buffer_destroy(all[3], &users);
	assert_int_equal(users, 0);
	make_buffer(f, &f->a, 3, 1);
}

static void test_user_data_is_kept(void **state)
{
	struct fixture *f = *state;
	struct virtio_bufshare_desc desc = { .user_len = htole32(5) };
	struct buffer_spec spec = {
		.size = PAGE,
		.num_extents = 1,
		.desc = &desc,
		.user = (const uint8_t *)"hello",
	};
	struct buffer *buffer;

	assert_int_equal(buffer_create(f->a.peer, &spec, &buffer), 0);
	assert_memory_equal(buffer_user_data(buffer), "hello", 5);
	assert_int_equal(le32toh(buffer_desc(buffer)->user_len), 5);
}

static void test_who_may_get(void **state)
{
	struct fixture *f = *state;
	struct buffer *filling = make_filling(&f->a, PAGE, 1);
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got = NULL;
	uint8_t unknown[UUID_SIZE] = { 0 };

	assert_int_equal(buffer_get(f->c.peer, unknown, &got), -ENOENT);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(filling), &got), -ENOENT);
	assert_int_equal(buffer_get(f->b.peer, buffer_uuid(buffer), &got), -ENOENT);
	assert_int_equal(buffer_get(f->other.peer, buffer_uuid(buffer), &got), -ENOENT);
	assert_null(buffer_find_owned(f->b.peer, buffer_uuid(buffer)));
	assert_ptr_equal(buffer_find_owned(f->a.peer, buffer_uuid(filling)), filling);
	peer_set_suspended(f->a.peer, true);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), -EAGAIN);
	peer_set_suspended(f->a.peer, false);
	assert_null(got);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
	assert_ptr_equal(got, buffer);
	assert_string_equal(buffer_owner_label(got), "a");
}

static void test_holds_are_counted(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	const uint8_t *uuid = buffer_uuid(buffer);

	assert_int_equal(buffer_put(f->c.peer, uuid), -ENOENT);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), 0);
	assert_int_equal(buffer_users(buffer), 3);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_ptr_equal(buffer_find_held(f->c.peer, uuid), buffer);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_null(buffer_find_held(f->c.peer, uuid));
	assert_int_equal(buffer_put(f->c.peer, uuid), -ENOENT);
	assert_int_equal(buffer_users(buffer), 1);
	for (int i = 0; i < 16; i++)
		assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), -EDQUOT);
	expect_quiet(&f->a);
}

static void test_destroyed_while_held(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	uint8_t uuid[UUID_SIZE];
	uint32_t users;

	copy_uuid(uuid, buffer);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, 1);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, REMOVED_DESTROYED);
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), -ENOENT);
	assert_ptr_equal(buffer_find_held(f->c.peer, uuid), buffer);
	assert_ptr_equal(buffer_find_owned(f->a.peer, uuid), buffer);
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_DETACHED);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, 1);
	expect_quiet(&f->a);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_memory_equal(expect_told(&f->a, TOLD_IDLE)->uuid, uuid, UUID_SIZE);
	assert_null(buffer_find_owned(f->a.peer, uuid));
	expect_quiet(&f->a);
	expect_quiet(&f->c);
}

static void test_owner_gone_while_held(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	uint8_t uuid[UUID_SIZE];
	uint32_t num;

	copy_uuid(uuid, buffer);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	actor_leave(&f->a);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, REMOVED_OWNER_GONE);
	assert_ptr_equal(buffer_find_held(f->c.peer, uuid), buffer);
	assert_string_equal(buffer_owner_label(buffer), "");
	assert_ptr_equal(buffer_extents(buffer, &num)->arena, f->ram);
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), -ENOENT);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_int_equal(stats_of(f).buffers, 0);
}

static void test_reset_after_destroy_tells_holders_again(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	uint32_t users;

	peer_watch(f->d.peer, WATCH_BUFFERS);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
	buffer_destroy(buffer, &users);
	peer_reset(f->a.peer);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, REMOVED_DESTROYED);
	assert_int_equal(expect_told(&f->c, TOLD_REMOVED)->number, REMOVED_RESET);
	expect_told(&f->d, TOLD_REMOVED);
	expect_quiet(&f->d);
	assert_int_equal(buffer_put(f->c.peer, buffer_uuid(buffer)), 0);
	expect_quiet(&f->a);
}

static void test_reset_frees_the_quota(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 64), *got;

	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
	peer_reset(f->a.peer);
	make_buffer(f, &f->a, 0, 64);
	assert_int_equal(stats_of(f).buffers, 2);
	actor_leave(&f->c);
	assert_int_equal(stats_of(f).buffers, 1);
	expect_quiet(&f->a);
}

static void test_the_one_that_resets_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer, *got;

	peer_watch(f->a.peer, WATCH_BUFFERS | WATCH_STREAMS);
	buffer = make_buffer(f, &f->a, 0, 1);
	make_stream(&f->a, "s", 1);
	assert_int_equal(buffer_get(f->a.peer, buffer_uuid(buffer), &got), 0);
	expect_told(&f->a, TOLD_ADDED);
	expect_told(&f->a, TOLD_STREAM_ADDED);
	peer_reset(f->a.peer);
	expect_quiet(&f->a);
	make_stream(&f->a, "s", 1);
	expect_told(&f->a, TOLD_STREAM_ADDED);
	actor_leave(&f->a);
	expect_quiet(&f->a);
}

static void test_client_gone_gives_back(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	uint32_t users;

	for (int i = 0; i < 3; i++)
		assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, 3);
	actor_leave(&f->c);
	expect_told(&f->a, TOLD_IDLE);
	expect_quiet(&f->a);
}

static void test_watchers_are_told_once(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer, *got;
	uint32_t users;

	peer_watch(f->c.peer, WATCH_BUFFERS);
	peer_watch(f->b.peer, WATCH_BUFFERS);
	peer_watch(f->other.peer, WATCH_BUFFERS);
	buffer = make_filling(&f->a, PAGE, 1);
	buffer_destroy(buffer, &users);
	expect_quiet(&f->c);
	buffer = make_buffer(f, &f->a, 0, 1);
	expect_told(&f->c, TOLD_ADDED);
	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(buffer), &got), 0);
	buffer_destroy(buffer, &users);
	expect_told(&f->c, TOLD_REMOVED);
	expect_quiet(&f->c);
	peer_watch(f->c.peer, 0);
	make_buffer(f, &f->a, 0, 1);
	expect_quiet(&f->c);
	expect_quiet(&f->b);
	expect_quiet(&f->other);
}

static void test_dmabuf_closes_with_the_last_hold(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_buffer(f, &f->a, 0, 1), *got;
	const uint8_t *uuid = buffer_uuid(buffer);
	int before = count_open_fds();

	assert_int_equal(buffer_dmabuf(buffer), -1);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	assert_int_equal(buffer_get(f->d.peer, uuid, &got), 0);
	buffer_set_dmabuf(buffer, memfd_create("dmabuf", MFD_CLOEXEC));
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_int_equal(count_open_fds(), before + 1);
	assert_int_equal(buffer_put(f->d.peer, uuid), 0);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(buffer_dmabuf(buffer), -1);
}

static bool count_up_to(void *arg, const struct buffer *buffer)
{
	int *left = arg;

	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_LIVE);
	return --*left > 0;
}

static void test_walk_goes_on_where_it_stopped(void **state)
{
	struct fixture *f = *state;
	struct buffer *all[10];
	uint64_t cursor = 0;
	uint32_t users;
	int left;

	for (size_t i = 0; i < 10; i++)
		all[i] = make_buffer(f, i % 2 ? &f->a : &f->b, i, 1);
	left = 4;
	buffer_walk(f->c.peer, &cursor, count_up_to, &left);
	assert_int_equal(left, 0);
	assert_int_not_equal(cursor, 0);
	/* Seen ones and the one at the cursor go; a new one takes a place already passed. */
	for (size_t i = 1; i < 5; i++)
		buffer_destroy(all[i], &users);
	make_buffer(f, &f->a, 0, 1);
	left = 100;
	buffer_walk(f->c.peer, &cursor, count_up_to, &left);
	assert_int_equal(cursor, 0);
	assert_int_equal(100 - left, 6);

	left = 100;
	buffer_walk(f->a.peer, &cursor, count_up_to, &left);
	assert_int_equal(100 - left, 4);
	left = 100;
	buffer_walk(f->other.peer, &cursor, count_up_to, &left);
	assert_int_equal(left, 100);
	cursor = UINT64_MAX;
	buffer_walk(f->c.peer, &cursor, count_up_to, &left);
	assert_int_equal(cursor, 0);
	assert_int_equal(left, 100);
}

static void test_arena_is_one_for_each_file(void **state)
{
	struct fixture *f = *state;
	int twin = dup(f->ram_fd), other = memfd_create("other", MFD_CLOEXEC);
	struct arena *same, *different;
	int before = count_open_fds();

	assert_int_equal(arena_get(f->a.peer, twin, &same), 0);
	assert_ptr_equal(same, f->ram);
	assert_int_equal(arena_get(f->a.peer, other, &different), 0);
	assert_ptr_not_equal(different, f->ram);
	assert_int_not_equal(arena_fd(different), other);
	assert_int_equal(count_open_fds(), before + 1);
	arena_unref(same);
	arena_unref(different);
	assert_int_equal(count_open_fds(), before);
	assert_int_equal(arena_get(f->a.peer, -1, &different), -EBADF);
	close(twin);
	close(other);
}

/* What one VM's number means must never decide what another's users see. */
static void test_arenas_are_not_shared_between_peers(void **state)
{
	struct fixture *f = *state;
	struct arena *theirs;

	assert_int_equal(arena_get(f->b.peer, f->ram_fd, &theirs), 0);
	assert_ptr_not_equal(theirs, f->ram);
	arena_unref(theirs);
}

/* Opened anew it is the same file, but who can tell; that costs an arena and no more. */
static void test_arena_of_another_open_file(void **state)
{
	struct fixture *f = *state;
	struct arena *arena;
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f->ram_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(arena_get(f->a.peer, fd, &arena), 0);
	assert_ptr_not_equal(arena, f->ram);
	arena_unref(arena);
	close(fd);
}

static void test_arena_quota(void **state)
{
	struct fixture *f = *state;
	struct arena *arenas[3];
	int fds[3], before;

	for (int i = 0; i < 3; i++)
		fds[i] = memfd_create("file", MFD_CLOEXEC);
	before = count_open_fds();
	/* With the RAM it is three. */
	assert_int_equal(arena_get(f->a.peer, fds[0], &arenas[0]), 0);
	assert_int_equal(arena_get(f->a.peer, fds[1], &arenas[1]), 0);
	assert_int_equal(arena_get(f->a.peer, fds[2], &arenas[2]), -EDQUOT);
	assert_int_equal(count_open_fds(), before + 2);
	/* One that is there costs nothing; others are charged on their own. */
	assert_int_equal(arena_get(f->a.peer, fds[1], &arenas[2]), 0);
	arena_unref(arenas[2]);
	assert_int_equal(arena_get(f->b.peer, fds[2], &arenas[2]), 0);
	arena_unref(arenas[2]);
	arena_unref(arenas[0]);
	assert_int_equal(arena_get(f->a.peer, fds[2], &arenas[2]), 0);
	arena_unref(arenas[1]);
	arena_unref(arenas[2]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* Each once and in order, whatever the extents do. */
static void test_arenas_of_a_buffer(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 6 * PAGE, 6);
	struct extent extents[6];
	struct arena *arenas[3] = { f->ram };
	struct arena *const *set;
	int fds[2];
	uint32_t num;

	for (int i = 0; i < 2; i++) {
		fds[i] = memfd_create("file", MFD_CLOEXEC);
		assert_int_equal(arena_get(f->a.peer, fds[i], &arenas[i + 1]), 0);
	}
	for (uint32_t i = 0; i < 6; i++)
		extents[i] = (struct extent){ arenas[i % 3], i * 2 * PAGE, PAGE };
	(void)buffer_arenas(buffer, &num);
	assert_int_equal(num, 0);
	/* What is refused leaves no arena behind. */
	assert_int_equal(buffer_add_extents(buffer, 0, 6, extents, 5), -EBADMSG);
	(void)buffer_arenas(buffer, &num);
	assert_int_equal(num, 0);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, extents, 1), 0);
	assert_int_equal(buffer_add_extents(buffer, 1, 5, extents + 1, 5), 0);
	set = buffer_arenas(buffer, &num);
	assert_int_equal(num, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_ptr_equal(set[i], arenas[i]);
	arena_unref(arenas[1]);
	arena_unref(arenas[2]);
	/* The buffer keeps them open. */
	assert_true(fcntl(arena_fd(arenas[2]), F_GETFD) >= 0);
	for (int i = 0; i < 2; i++)
		close(fds[i]);
}

/* One extent of the owner in many pieces costs what is kept. */
static void test_pieces_are_charged(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 20 * PAGE, 1), *other;
	struct buffer *filler = make_filling(&f->a, 20 * PAGE, 20);
	struct extent extents[20];
	uint32_t users;

	for (uint64_t i = 0; i < 20; i++)
		extents[i] = ram_extent(f, 2 * i, 1);
	/* 21 of 32 are taken. */
	assert_int_equal(buffer_add_extents(buffer, 0, 1, extents, 20), -EDQUOT);
	assert_int_equal(stats_of(f).extents, 0);
	buffer_destroy(filler, &users);
	assert_int_equal(buffer_add_extents(buffer, 0, 1, extents, 20), 0);
	other = make_filling(&f->a, 13 * PAGE, 12);
	assert_int_equal(buffer_add_extents(other, 0, 12, extents, 13), -EDQUOT);
	buffer_destroy(buffer, &users);
	assert_int_equal(buffer_add_extents(other, 0, 12, extents, 13), 0);
	buffer_destroy(other, &users);
	/* All was given back: the whole limit is there again. */
	buffer_destroy(make_filling(&f->a, PAGE, 32), &users);
}

/* Nobody is charged for it any more, so it must not keep what the owner made it of. */
static void test_orphan_keeps_no_memory(void **state)
{
	struct fixture *f = *state;
	struct buffer *buffer = make_filling(&f->a, 2 * PAGE, 2), *got;
	int fd = memfd_create("file", MFD_CLOEXEC), before;
	struct extent extents[] = { ram_extent(f, 0, 1), ram_extent(f, 9, 1) };
	uint8_t uuid[UUID_SIZE];
	uint32_t num;

	assert_int_equal(arena_get(f->a.peer, fd, &extents[1].arena), 0);
	assert_int_equal(buffer_add_extents(buffer, 0, 2, extents, 2), 0);
	arena_unref(extents[1].arena);
	copy_uuid(uuid, buffer);
	assert_int_equal(buffer_get(f->c.peer, uuid, &got), 0);
	before = count_open_fds();
	peer_reset(f->a.peer);
	assert_int_equal(count_open_fds(), before - 1);
	assert_int_equal(stats_of(f).extents, 0);
	assert_ptr_equal(buffer_find_held(f->c.peer, uuid), got);
	(void)buffer_extents(got, &num);
	assert_int_equal(num, 0);
	(void)buffer_arenas(got, &num);
	assert_int_equal(num, 0);
	assert_int_equal(buffer_put(f->c.peer, uuid), 0);
	assert_int_equal(stats_of(f).buffers, 0);
	close(fd);
}

static void test_users_of_a_buffer(void **state)
{
	struct fixture *f = *state;
	struct buffer *held = make_buffer(f, &f->a, 0, 1), *framed = make_buffer(f, &f->a, 2, 1);
	struct stream *s = make_stream(&f->a, "s", 2);
	struct consumer *consumer = join(&f->d, &f->a, "s");
	struct buffer *got;

	assert_int_equal(buffer_get(f->c.peer, buffer_uuid(held), &got), 0);
	assert_int_equal(publish(s, framed, 1), 0);
	assert_true(buffer_has_user(held, f->c.peer));
	assert_false(buffer_has_user(held, f->d.peer));
	assert_true(buffer_has_user(framed, f->d.peer));
	assert_false(buffer_has_user(framed, f->c.peer));
	assert_int_equal(consumer_release(consumer, 1), 0);
	assert_false(buffer_has_user(framed, f->d.peer));
}

static void test_peer_errors(void **state)
{
	struct fixture *f = *state;
	static const struct peer_ops none;
	struct core_limits limits = test_limits;
	struct peer *peer;
	char name[LABEL_SIZE + 1];

	memset(name, 'x', sizeof(name));
	name[LABEL_SIZE] = '\0';
	assert_int_equal(peer_create(f->core, PEER_GUEST, "a", false, &limits, &none, NULL, &peer),
			 -EEXIST);
	assert_int_equal(peer_create(f->core, PEER_GUEST, "", false, &limits, &none, NULL, &peer),
			 -EINVAL);
	assert_int_equal(peer_create(f->core, PEER_GUEST, name, false, &limits, &none, NULL, &peer),
			 -EINVAL);
	limits.max_frames = VIRTIO_BUFSHARE_MAX_FRAMES + 1;
	assert_int_equal(peer_create(f->core, PEER_GUEST, "x", false, &limits, &none, NULL, &peer),
			 -EINVAL);
	assert_int_equal(stats_of(f).guests, 2);
	peer_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_uuid_is_version_4_and_unique),
		TEST(test_extents_in_chunks_are_merged),
		TEST(test_all_merged_into_one),
		TEST(test_neighbours_in_two_files_are_two),
		TEST(test_bad_extents_change_nothing),
		TEST(test_specification_errors),
		TEST(test_quotas),
		TEST(test_user_data_is_kept),
		TEST(test_who_may_get),
		TEST(test_holds_are_counted),
		TEST(test_destroyed_while_held),
		TEST(test_owner_gone_while_held),
		TEST(test_reset_after_destroy_tells_holders_again),
		TEST(test_reset_frees_the_quota),
		TEST(test_the_one_that_resets_is_not_told),
		TEST(test_client_gone_gives_back),
		TEST(test_watchers_are_told_once),
		TEST(test_dmabuf_closes_with_the_last_hold),
		TEST(test_walk_goes_on_where_it_stopped),
		TEST(test_arena_is_one_for_each_file),
		TEST(test_arenas_are_not_shared_between_peers),
		TEST(test_arena_of_another_open_file),
		TEST(test_arena_quota),
		TEST(test_arenas_of_a_buffer),
		TEST(test_pieces_are_charged),
		TEST(test_orphan_keeps_no_memory),
		TEST(test_users_of_a_buffer),
		TEST(test_peer_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
