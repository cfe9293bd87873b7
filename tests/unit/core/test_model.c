/* SPDX-License-Identifier: MIT */
/*
 * The core against a model that is too simple to be wrong: random operations in any
 * order, hostile ones included, and after each the same answers, users and sums.
 *
 * Usage: test-core-model [SEED [STEPS]].  A failure names its seed.
 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUESTS = 2, CLIENTS = 3, BUFFERS = 24, STREAMS = 6, CONSUMERS = 12, PAGES = 64 };

struct m_buffer {
	bool exists;
	int owner; /* -1: reset or gone */
	uint32_t state, declared, sent;
	uint64_t pages, pages_sent;
	uint32_t holds[CLIENTS];
	int stream; /* in flight on, -1: not */
	uint64_t sequence;
	bool with[CONSUMERS]; /* who has the frame */
	uint8_t uuid[UUID_SIZE];
};

struct m_stream {
	bool exists; /* or has an owner no more, but consumers */
	int owner;
	uint32_t max_frames;
	uint64_t published, sequence;
	struct stream *real;
};

struct m_consumer {
	bool exists;
	int client, stream;
	struct consumer *real;
};

struct model {
	struct core *core;
	struct peer *keeper; /* of @ram, which all guests' buffers lie in */
	struct arena *ram;
	struct peer *guests[GUESTS], *clients[CLIENTS];
	bool suspended[GUESTS];
	struct m_buffer buffers[BUFFERS];
	struct m_stream streams[STREAMS];
	struct m_consumer consumers[CONSUMERS];
	uint64_t idle_due[GUESTS], idle_told[GUESTS];
	uint64_t released_due[GUESTS], released_told[GUESTS];
	uint64_t frames_due[CLIENTS], frames_told[CLIENTS];
};

static const char *const labels[GUESTS] = { "g0", "g1" };
static const struct core_limits limits = {
	.max_arenas = 1,
	.max_bytes = (uint64_t)PAGES * PAGE,
	.max_buffers = 12,
	.max_extents = 40,
	.max_streams = 3,
	.max_frames = 3,
	.max_holds = 8,
	.max_consumers = 3,
};

static uint64_t seed;

/* xorshift64*: the same sequence everywhere. */
static uint32_t pick(uint32_t n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

/* ---- what the core tells ---- */

/* A peer's private pointer is its number: guests and clients have each their own. */
static struct model *model;

static void told_idle(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	(void)uuid;
	model->idle_told[(intptr_t)peer_priv(peer)]++;
}

static void told_released(struct peer *peer, const struct stream *stream,
			  const uint8_t uuid[UUID_SIZE], uint64_t sequence)
{
	(void)stream;
	(void)uuid;
	(void)sequence;
	model->released_told[(intptr_t)peer_priv(peer)]++;
}

static void told_frame(struct peer *peer, const struct consumer *consumer,
		       const struct buffer *buffer, const struct frame_info *frame)
{
	(void)consumer;
	(void)buffer;
	(void)frame;
	model->frames_told[(intptr_t)peer_priv(peer)]++;
}

static const struct peer_ops ops = {
	.buffer_idle = told_idle,
	.frame_released = told_released,
	.frame_arrived = told_frame,
};

static void enter_guest(struct model *m, int g)
{
	assert_int_equal(peer_create(m->core, PEER_GUEST, labels[g], false, &limits, &ops,
				     (void *)(intptr_t)g, &m->guests[g]),
			 0);
	m->suspended[g] = false;
}

static void enter_client(struct model *m, int c)
{
	assert_int_equal(peer_create(m->core, PEER_CLIENT, "client", true, &limits, &ops,
				     (void *)(intptr_t)c, &m->clients[c]),
			 0);
	peer_watch(m->clients[c], pick(4));
}

/* ---- the model's own rules ---- */

static uint32_t users_of(const struct m_buffer *b)
{
	uint32_t users = 0;

	for (int c = 0; c < CLIENTS; c++)
		users += b->holds[c];
	for (int i = 0; i < CONSUMERS; i++)
		users += b->with[i];
	return users;
}

static void settle(struct model *m, struct m_buffer *b)
{
	if (!b->exists || b->state != VIRTIO_BUFSHARE_BUFFER_DETACHED || users_of(b))
		return;
	if (b->owner >= 0)
		m->idle_due[b->owner]++;
	b->exists = false;
}

static uint32_t in_flight(const struct model *m, int s)
{
	uint32_t n = 0;

	for (int i = 0; i < BUFFERS; i++)
		n += m->buffers[i].exists && m->buffers[i].stream == s;
	return n;
}

static void give_back(struct model *m, struct m_buffer *b, int consumer)
{
	bool anybody = false;

	b->with[consumer] = false;
	for (int i = 0; i < CONSUMERS; i++)
		anybody |= b->with[i];
	if (!anybody) {
		if (m->streams[b->stream].owner >= 0)
			m->released_due[m->streams[b->stream].owner]++;
		b->stream = -1;
	}
	settle(m, b);
}

static bool has_consumers(const struct model *m, int s)
{
	for (int i = 0; i < CONSUMERS; i++) {
		if (m->consumers[i].exists && m->consumers[i].stream == s)
			return true;
	}
	return false;
}

static void leave(struct model *m, int i)
{
	int s = m->consumers[i].stream;

	for (int b = 0; b < BUFFERS; b++) {
		if (m->buffers[b].exists && m->buffers[b].with[i])
			give_back(m, &m->buffers[b], i);
	}
	m->consumers[i].exists = false;
	if (m->streams[s].owner < 0 && !has_consumers(m, s))
		m->streams[s].exists = false;
}

static void take_all(struct model *m, int g)
{
	for (int s = 0; s < STREAMS; s++) {
		if (m->streams[s].exists && m->streams[s].owner == g) {
			m->streams[s].owner = -1;
			m->streams[s].exists = has_consumers(m, s);
		}
	}
	for (int b = 0; b < BUFFERS; b++) {
		if (m->buffers[b].exists && m->buffers[b].owner == g) {
			m->buffers[b].owner = -1;
			m->buffers[b].state = VIRTIO_BUFSHARE_BUFFER_DETACHED;
			settle(m, &m->buffers[b]);
		}
	}
}

/* ---- operations ---- */

static void do_create(struct model *m)
{
	int g = (int)pick(GUESTS), free = -1;
	uint32_t num = 0, extents = 0;
	uint64_t pages = 0;
	struct buffer_spec spec = {
		.size = (uint64_t)(1 + pick(10)) * PAGE,
		.num_extents = 1 + pick(6),
		.desc = &no_picture,
	};
	struct buffer *buffer;
	int expected = 0;

	for (int i = 0; i < BUFFERS; i++) {
		struct m_buffer *b = &m->buffers[i];

		if (!b->exists) {
			free = i;
		} else if (b->owner == g) {
			num++;
			extents += b->declared;
			pages += b->pages;
		}
	}
	if (free < 0)
		return;
	if (num == limits.max_buffers || extents + spec.num_extents > limits.max_extents ||
	    pages * PAGE + spec.size > limits.max_bytes)
		expected = -EDQUOT;
	assert_int_equal(buffer_create(m->guests[g], &spec, &buffer), expected);
	if (expected)
		return;
	m->buffers[free] = (struct m_buffer){
		.exists = true,
		.owner = g,
		.state = VIRTIO_BUFSHARE_BUFFER_FILLING,
		.declared = spec.num_extents,
		.pages = spec.size / PAGE,
		.stream = -1,
	};
	copy_uuid(m->buffers[free].uuid, buffer);
}

static void do_extents(struct model *m)
{
	struct m_buffer *b = &m->buffers[pick(BUFFERS)];
	struct extent extents[6];
	struct buffer *buffer;
	uint32_t left, count;
	uint64_t sum, pages;
	int expected = 0;

	if (!b->exists || b->owner < 0)
		return;
	buffer = buffer_find_owned(m->guests[b->owner], b->uuid);
	assert_non_null(buffer);
	left = b->declared - b->sent;
	count = left && pick(4) ? left : 1 + pick(6);
	sum = b->pages_sent;
	for (uint32_t i = 0; i < count; i++) {
		/* Mostly what fits, so that buffers do become live. */
		pages = 1;
		if (i == count - 1 && count == left && sum < b->pages && pick(8))
			pages = b->pages - sum;
		extents[i] = (struct extent){ m->ram, pick(PAGES) * (uint64_t)PAGE, pages * PAGE };
		sum += pages;
	}
	if (b->state != VIRTIO_BUFSHARE_BUFFER_FILLING)
		expected = -EINVAL;
	else if (count > left || sum > b->pages || (count == left && sum != b->pages))
		expected = -EBADMSG;
	assert_int_equal(buffer_add_extents(buffer, b->sent, count, extents, count), expected);
	if (expected)
		return;
	b->sent += count;
	b->pages_sent = sum;
	if (b->sent == b->declared)
		b->state = VIRTIO_BUFSHARE_BUFFER_LIVE;
}

static void do_destroy(struct model *m)
{
	struct m_buffer *b = &m->buffers[pick(BUFFERS)];
	struct buffer *buffer;
	uint32_t users;

	if (!b->exists || b->owner < 0)
		return;
	buffer = buffer_find_owned(m->guests[b->owner], b->uuid);
	buffer_destroy(buffer, &users);
	assert_int_equal(users, users_of(b));
	b->state = VIRTIO_BUFSHARE_BUFFER_DETACHED;
	if (!users)
		b->exists = false;
}

static bool has_frame(const struct model *m, const struct m_buffer *b, int c)
{
	bool has = false;

	for (int i = 0; i < CONSUMERS; i++)
		has |= b->with[i] && m->consumers[i].client == c;
	return has;
}

static void do_get(struct model *m)
{
	struct m_buffer *b = &m->buffers[pick(BUFFERS)];
	int c = (int)pick(CLIENTS), expected = 0;
	struct buffer *buffer;
	uint32_t held = 0;

	for (int i = 0; i < BUFFERS; i++)
		held += m->buffers[i].exists ? m->buffers[i].holds[c] : 0;
	/* A name that never was, or that is dead, is asked for as well. */
	if (!b->exists || b->owner < 0 ||
	    (b->state != VIRTIO_BUFSHARE_BUFFER_LIVE && !has_frame(m, b, c)))
		expected = -ENOENT;
	else if (m->suspended[b->owner])
		expected = -EAGAIN;
	else if (held == limits.max_holds)
		expected = -EDQUOT;
	assert_int_equal(buffer_get(m->clients[c], b->uuid, &buffer), expected);
	if (!expected)
		b->holds[c]++;
}

static void do_put(struct model *m)
{
	struct m_buffer *b = &m->buffers[pick(BUFFERS)];
	int c = (int)pick(CLIENTS);
	bool held = b->exists && b->holds[c];

	assert_int_equal(buffer_put(m->clients[c], b->uuid), held ? 0 : -ENOENT);
	if (held) {
		b->holds[c]--;
		settle(m, b);
	}
}

static void do_stream_create(struct model *m)
{
	char name[] = { (char)('a' + pick(5)), '\0' };
	int g = (int)pick(GUESTS), free = -1, expected = 0;
	uint32_t num = 0, max_frames = pick(5);
	struct stream *stream;
	bool exists = false;

	for (int s = 0; s < STREAMS; s++) {
		if (!m->streams[s].exists) {
			free = s;
		} else if (m->streams[s].owner == g) {
			num++;
			exists |= strcmp(stream_name(m->streams[s].real), name) == 0;
		}
	}
	if (free < 0)
		return;
	if (!max_frames || max_frames > limits.max_frames)
		expected = -EINVAL;
	else if (exists)
		expected = -EEXIST;
	else if (num == limits.max_streams)
		expected = -EDQUOT;
	assert_int_equal(stream_create(m->guests[g], name, max_frames, &stream), expected);
	if (!expected)
		m->streams[free] = (struct m_stream){
			.exists = true,
			.owner = g,
			.max_frames = max_frames,
			.real = stream,
		};
}

static void do_stream_destroy(struct model *m)
{
	int s = (int)pick(STREAMS);

	if (!m->streams[s].exists || m->streams[s].owner < 0)
		return;
	stream_destroy(m->streams[s].real);
	m->streams[s].owner = -1;
	m->streams[s].exists = has_consumers(m, s);
}

static void do_join(struct model *m)
{
	int s = (int)pick(STREAMS), c = (int)pick(CLIENTS), free = -1, expected = 0;
	struct consumer *consumer;
	uint32_t num = 0;

	if (!m->streams[s].exists || m->streams[s].owner < 0)
		return;
	for (int i = 0; i < CONSUMERS; i++) {
		if (!m->consumers[i].exists)
			free = i;
		else
			num += m->consumers[i].client == c;
	}
	if (free < 0)
		return;
	if (num == limits.max_consumers)
		expected = -EDQUOT;
	assert_int_equal(consumer_join(m->clients[c], labels[m->streams[s].owner],
				       stream_name(m->streams[s].real), &consumer),
			 expected);
	if (!expected)
		m->consumers[free] = (struct m_consumer){ true, c, s, consumer };
}

static void do_leave(struct model *m)
{
	int i = (int)pick(CONSUMERS);

	if (!m->consumers[i].exists)
		return;
	consumer_leave(m->consumers[i].real);
	leave(m, i);
}

/* Mostly: what is not live is tried as well. */
static struct m_buffer *pick_live(struct model *m)
{
	struct m_buffer *b = NULL;

	for (int tries = 0; tries < 4; tries++) {
		b = &m->buffers[pick(BUFFERS)];
		if (b->exists && b->state == VIRTIO_BUFSHARE_BUFFER_LIVE)
			break;
	}
	return b;
}

static void do_publish(struct model *m)
{
	int s = (int)pick(STREAMS), expected = 0;
	struct m_buffer *b = pick_live(m);
	struct m_stream *stream = &m->streams[s];
	struct frame_info info = { .sequence = stream->sequence + pick(3) };
	uint32_t listeners;

	if (!stream->exists || stream->owner < 0)
		return;
	if (!b->exists || b->owner != stream->owner || b->state != VIRTIO_BUFSHARE_BUFFER_LIVE)
		expected = -ENOENT;
	else if (b->stream >= 0)
		expected = -EBUSY;
	else if (stream->published && info.sequence <= stream->sequence)
		expected = -EINVAL;
	else if (in_flight(m, s) == stream->max_frames)
		expected = -EDQUOT;
	assert_int_equal(stream_publish(stream->real, b->uuid, &info, &listeners), expected);
	if (expected)
		return;
	stream->published++;
	stream->sequence = info.sequence;
	for (int i = 0; i < CONSUMERS; i++) {
		if (m->consumers[i].exists && m->consumers[i].stream == s) {
			b->stream = s;
			b->sequence = info.sequence;
			b->with[i] = true;
			m->frames_due[m->consumers[i].client]++;
		}
	}
	if (b->stream < 0)
		m->released_due[stream->owner]++;
}

static void do_release(struct model *m)
{
	int i = (int)pick(CONSUMERS);
	struct m_buffer *b = &m->buffers[pick(BUFFERS)];
	bool held;

	if (!m->consumers[i].exists || !b->exists || b->stream != m->consumers[i].stream)
		return;
	held = b->with[i];
	assert_int_equal(consumer_release(m->consumers[i].real, b->sequence), held ? 0 : -ENOENT);
	if (held)
		give_back(m, b, i);
}

static void do_suspend(struct model *m)
{
	int g = (int)pick(GUESTS);

	m->suspended[g] = pick(2);
	peer_set_suspended(m->guests[g], m->suspended[g]);
}

static void do_end_guest(struct model *m)
{
	int g = (int)pick(GUESTS);

	if (pick(2)) {
		peer_reset(m->guests[g]);
		take_all(m, g);
	} else {
		peer_destroy(m->guests[g]);
		take_all(m, g);
		enter_guest(m, g);
	}
}

static void do_end_client(struct model *m)
{
	int c = (int)pick(CLIENTS);

	peer_destroy(m->clients[c]);
	for (int i = 0; i < CONSUMERS; i++) {
		if (m->consumers[i].exists && m->consumers[i].client == c)
			leave(m, i);
	}
	for (int b = 0; b < BUFFERS; b++) {
		if (m->buffers[b].exists) {
			m->buffers[b].holds[c] = 0;
			settle(m, &m->buffers[b]);
		}
	}
	enter_client(m, c);
}

/* ---- the same everywhere ---- */

static bool count_one(void *arg, const struct buffer *buffer)
{
	(void)buffer;
	++*(uint32_t *)arg;
	return true;
}

static void compare(struct model *m)
{
	uint32_t buffers = 0, live = 0, walked = 0, streams = 0;
	struct core_stats stats;
	uint64_t bytes = 0, cursor = 0;

	for (int i = 0; i < BUFFERS; i++) {
		struct m_buffer *b = &m->buffers[i];
		struct buffer *real;

		if (!b->exists)
			continue;
		buffers++;
		bytes += b->pages * PAGE;
		live += b->state == VIRTIO_BUFSHARE_BUFFER_LIVE;
		if (b->owner < 0)
			continue;
		real = buffer_find_owned(m->guests[b->owner], b->uuid);
		assert_non_null(real);
		assert_null(buffer_find_owned(m->guests[!b->owner], b->uuid));
		assert_int_equal(buffer_state(real), b->state);
		assert_int_equal(buffer_users(real), users_of(b));
	}
	for (int s = 0; s < STREAMS; s++) {
		if (!m->streams[s].exists || m->streams[s].owner < 0)
			continue;
		streams++;
		assert_int_equal(stream_in_flight(m->streams[s].real), in_flight(m, s));
	}
	core_get_stats(m->core, &stats);
	assert_int_equal(stats.buffers, buffers);
	assert_int_equal(stats.bytes, bytes);
	assert_int_equal(stats.streams, streams);
	buffer_walk(m->clients[0], &cursor, count_one, &walked);
	assert_int_equal(walked, live);
	assert_memory_equal(m->idle_told, m->idle_due, sizeof(m->idle_due));
	assert_memory_equal(m->released_told, m->released_due, sizeof(m->released_due));
	assert_memory_equal(m->frames_told, m->frames_due, sizeof(m->frames_due));
}

static void (*const operations[])(struct model *m) = {
	do_create, do_create, do_extents, do_extents, do_extents, do_destroy, do_get,
	do_get, do_put, do_stream_create, do_stream_destroy, do_join, do_join, do_leave,
	do_publish, do_publish, do_publish, do_publish, do_release, do_release, do_suspend,
};

static uint64_t total_idle, total_frames;

static void run_model(uint64_t start, uint64_t steps)
{
	static struct model m;
	int ram = memfd_create("ram", MFD_CLOEXEC);

	memset(&m, 0, sizeof(m));
	model = &m;
	seed = start;
	assert_int_equal(core_create(&m.core), 0);
	assert_int_equal(peer_create(m.core, PEER_CLIENT, "keeper", false, &limits, &ops, &m,
				     &m.keeper),
			 0);
	assert_int_equal(arena_get(m.keeper, ram, &m.ram), 0);
	for (int g = 0; g < GUESTS; g++)
		enter_guest(&m, g);
	for (int c = 0; c < CLIENTS; c++)
		enter_client(&m, c);
	for (uint64_t i = 0; i < steps; i++) {
		uint32_t op = pick(2048);

		if (op == 0)
			do_end_guest(&m);
		else if (op <= 2)
			do_end_client(&m);
		else
			operations[op % (sizeof(operations) / sizeof(operations[0]))](&m);
		compare(&m);
	}
	for (int g = 0; g < GUESTS; g++)
		total_idle += m.idle_told[g];
	for (int c = 0; c < CLIENTS; c++)
		total_frames += m.frames_told[c];
	/* In a hostile order: owners first, then those who still use what they had. */
	for (int g = 0; g < GUESTS; g++)
		peer_destroy(m.guests[g]);
	for (int c = 0; c < CLIENTS; c++)
		peer_destroy(m.clients[c]);
	arena_unref(m.ram);
	peer_destroy(m.keeper);
	core_destroy(m.core);
	close(ram);
}

static uint64_t first_seed = 1, num_seeds = 20, num_steps = 20000;

static void test_model(void **state)
{
	(void)state;
	for (uint64_t s = first_seed; s < first_seed + num_seeds; s++) {
		print_message("seed %llu\n", (unsigned long long)s);
		run_model(s, num_steps);
	}
	/* The runs did what they were made for. */
	assert_true(total_frames > 100 * num_seeds && total_idle > num_seeds);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_model) };

	if (argc > 1) {
		first_seed = strtoull(argv[1], NULL, 10);
		num_seeds = 1;
	}
	if (argc > 2)
		num_steps = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
