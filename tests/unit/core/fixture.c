/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct virtio_bufshare_desc no_picture;
const struct core_limits test_limits = {
	.max_bytes = 64 * PAGE,
	.max_buffers = 16,
	.max_extents = 32,
	.max_arenas = 3,
	.max_streams = 4,
	.max_frames = 8,
	.max_holds = 16,
	.max_consumers = 4,
};

static int fds_before;

int count_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct record *write_down(struct peer *peer, enum told what)
{
	struct actor *actor = peer_priv(peer);
	struct record *record = &actor->records[actor->num++];

	assert_true(actor->num <= MAX_RECORDS);
	assert_ptr_equal(actor->peer, peer);
	memset(record, 0, sizeof(*record));
	record->what = what;
	return record;
}

static void buffer_idle(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	memcpy(write_down(peer, TOLD_IDLE)->uuid, uuid, UUID_SIZE);
}

static void frame_released(struct peer *peer, const struct stream *stream,
			   const uint8_t uuid[UUID_SIZE], uint64_t sequence)
{
	struct record *record = write_down(peer, TOLD_RELEASED);

	assert_int_not_equal(stream_id(stream), 0);
	memcpy(record->uuid, uuid, UUID_SIZE);
	record->number = sequence;
}

static void listeners_changed(struct peer *peer, const struct stream *stream, uint32_t listeners)
{
	assert_int_equal(stream_listeners(stream), listeners);
	write_down(peer, TOLD_LISTENERS)->number = listeners;
}

static void buffer_added(struct peer *peer, const struct buffer *buffer)
{
	assert_int_equal(buffer_state(buffer), VIRTIO_BUFSHARE_BUFFER_LIVE);
	memcpy(write_down(peer, TOLD_ADDED)->uuid, buffer_uuid(buffer), UUID_SIZE);
}

static void buffer_removed(struct peer *peer, const struct buffer *buffer,
			   enum removed_reason reason)
{
	struct record *record = write_down(peer, TOLD_REMOVED);

	memcpy(record->uuid, buffer_uuid(buffer), UUID_SIZE);
	record->number = reason;
}

static void stream_added(struct peer *peer, const struct stream *stream)
{
	assert_true(*stream_owner_label(stream));
	write_down(peer, TOLD_STREAM_ADDED);
}

static void stream_removed(struct peer *peer, const struct stream *stream)
{
	assert_true(*stream_owner_label(stream));
	write_down(peer, TOLD_STREAM_REMOVED);
}

static void frame_arrived(struct peer *peer, const struct consumer *consumer,
			  const struct buffer *buffer, const struct frame_info *frame)
{
	struct record *record = write_down(peer, TOLD_FRAME);

	assert_int_not_equal(consumer_id(consumer), 0);
	memcpy(record->uuid, buffer_uuid(buffer), UUID_SIZE);
	record->number = frame->sequence;
}

static void stream_ended(struct peer *peer, const struct consumer *consumer,
			 enum removed_reason reason)
{
	assert_int_not_equal(consumer_id(consumer), 0);
	write_down(peer, TOLD_ENDED)->number = reason;
}

static const struct peer_ops recorder = {
	.buffer_idle = buffer_idle,
	.frame_released = frame_released,
	.listeners_changed = listeners_changed,
	.buffer_added = buffer_added,
	.buffer_removed = buffer_removed,
	.stream_added = stream_added,
	.stream_removed = stream_removed,
	.frame_arrived = frame_arrived,
	.stream_ended = stream_ended,
};

static void enter(struct fixture *f, struct actor *actor, enum peer_kind kind, const char *label,
		  bool admin)
{
	assert_int_equal(peer_create(f->core, kind, label, admin, &test_limits, &recorder, actor,
				     &actor->peer),
			 0);
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fds_before = count_open_fds();
	assert_non_null(f);
	assert_int_equal(core_create(&f->core), 0);
	f->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	assert_true(f->ram_fd >= 0);
	enter(f, &f->a, PEER_GUEST, "a", false);
	assert_int_equal(arena_get(f->a.peer, f->ram_fd, &f->ram), 0);
	enter(f, &f->b, PEER_GUEST, "b", false);
	enter(f, &f->c, PEER_CLIENT, "c", true);
	enter(f, &f->d, PEER_CLIENT, "d", true);
	enter(f, &f->other, PEER_CLIENT, "other", false);
	*state = f;
	return 0;
}

void actor_leave(struct actor *actor)
{
	peer_destroy(actor->peer);
	actor->peer = NULL;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct core_stats stats;

	actor_leave(&f->a);
	actor_leave(&f->c);
	actor_leave(&f->b);
	actor_leave(&f->d);
	actor_leave(&f->other);
	arena_unref(f->ram);
	close(f->ram_fd);
	stats = stats_of(f);
	assert_int_equal(stats.guests + stats.clients, 0);
	assert_int_equal(stats.buffers + stats.extents + stats.bytes + stats.streams, 0);
	core_destroy(f->core);
	free(f);
	assert_int_equal(count_open_fds(), fds_before);
	return 0;
}

const struct record *expect_told(struct actor *actor, enum told what)
{
	const struct record *record = &actor->records[actor->seen];

	assert_true(actor->seen < actor->num);
	actor->seen++;
	assert_int_equal(record->what, what);
	return record;
}

void expect_quiet(struct actor *actor)
{
	assert_int_equal(actor->seen, actor->num);
}

struct extent ram_extent(struct fixture *f, uint64_t first, uint64_t pages)
{
	return (struct extent){ .arena = f->ram, .offset = first * PAGE, .len = pages * PAGE };
}

struct buffer *make_filling(struct actor *owner, uint64_t size, uint32_t num_extents)
{
	struct buffer_spec spec = {
		.size = size,
		.num_extents = num_extents,
		.desc = &no_picture,
	};
	struct buffer *buffer = NULL;

	assert_int_equal(buffer_create(owner->peer, &spec, &buffer), 0);
	return buffer;
}

struct buffer *make_buffer(struct fixture *f, struct actor *owner, uint64_t first, uint64_t pages)
{
	struct buffer *buffer = make_filling(owner, pages * PAGE, 1);
	struct extent extent = ram_extent(f, first, pages);

	assert_int_equal(buffer_add_extents(buffer, 0, 1, &extent, 1), 0);
	return buffer;
}

struct stream *make_stream(struct actor *owner, const char *name, uint32_t max_frames)
{
	struct stream *stream = NULL;

	assert_int_equal(stream_create(owner->peer, name, max_frames, &stream), 0);
	return stream;
}

struct consumer *join(struct actor *client, struct actor *owner, const char *name)
{
	struct consumer *consumer = NULL;

	assert_int_equal(consumer_join(client->peer, peer_label(owner->peer), name, &consumer), 0);
	return consumer;
}

int publish(struct stream *stream, const struct buffer *buffer, uint64_t sequence)
{
	struct frame_info info = { .sequence = sequence };
	uint32_t listeners = UINT32_MAX;
	int ret = stream_publish(stream, buffer_uuid(buffer), &info, &listeners);

	assert_int_equal(listeners, ret < 0 ? UINT32_MAX : stream_listeners(stream));
	return ret;
}

void copy_uuid(uint8_t ret_uuid[UUID_SIZE], const struct buffer *buffer)
{
	memcpy(ret_uuid, buffer_uuid(buffer), UUID_SIZE);
}

struct core_stats stats_of(struct fixture *f)
{
	struct core_stats stats;

	core_get_stats(f->core, &stats);
	return stats;
}
