/* SPDX-License-Identifier: MIT */
/*
 * Streams: frames in order from one producer to any number of consumers.
 *
 * A stream has a place for each frame that may be in flight; a consumer keeps the
 * places whose frames it has as one 64-bit mask.  So publishing and releasing
 * allocate nothing and cost the same for a frame of any size.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(VIRTIO_BUFSHARE_MAX_FRAMES <= 64, "the places of a stream are a 64-bit mask");

static struct stream *find_by_name(struct peer *owner, const char *name)
{
	list_for_each(link, &owner->streams) {
		struct stream *stream = list_entry(link, struct stream, owner_link);

		if (strcmp(stream->name, name) == 0)
			return stream;
	}
	return NULL;
}

struct stream *stream_find_owned(struct peer *owner, uint32_t id)
{
	list_for_each(link, &owner->streams) {
		struct stream *stream = list_entry(link, struct stream, owner_link);

		if (stream->id == id)
			return stream;
	}
	return NULL;
}

static uint32_t new_consumer_id(struct peer *peer)
{
	do
		peer->last_consumer_id++;
	while (!peer->last_consumer_id || consumer_find(peer, peer->last_consumer_id));
	return peer->last_consumer_id;
}

static void tell_watchers(struct stream *stream, bool added)
{
	list_for_each(link, &stream->core->watchers) {
		struct peer *peer = list_entry(link, struct peer, watch_link);

		if (!(peer->watch & WATCH_STREAMS) || !peer_may_see(peer, stream->owner))
			continue;
		if (added && peer->ops->stream_added)
			peer->ops->stream_added(peer, stream);
		if (!added && peer->ops->stream_removed)
			peer->ops->stream_removed(peer, stream);
	}
}

static void tell_listeners(struct stream *stream)
{
	struct peer *owner = stream->owner;

	if (owner && owner->ops->listeners_changed)
		owner->ops->listeners_changed(owner, stream, stream->num_consumers);
}

int stream_create(struct peer *owner, const char *name, uint32_t max_frames,
		  struct stream **ret_stream)
{
	struct core *core = owner->core;
	struct stream *stream;
	int ret;

	if (!name_is_valid(name) || !max_frames || max_frames > owner->limits.max_frames)
		return -EINVAL;
	if (find_by_name(owner, name))
		return -EEXIST;
	/* No number comes again before a reset: what is late must not meet another stream. */
	if (owner->num_streams >= owner->limits.max_streams || owner->last_stream_id == UINT32_MAX)
		return -EDQUOT;

	stream = calloc(1, sizeof(*stream) + max_frames * sizeof(stream->frames[0]));
	if (!stream)
		return -ENOMEM;
	ret = slots_add(&core->streams, stream, &stream->place);
	if (ret < 0) {
		free(stream);
		return ret;
	}
	stream->core = core;
	stream->max_frames = max_frames;
	memcpy(stream->name, name, strlen(name) + 1);
	list_init(&stream->consumers);
	stream->id = ++owner->last_stream_id;
	stream->owner = owner;
	list_append(&owner->streams, &stream->owner_link);
	owner->num_streams++;
	core->stats.streams++;
	tell_watchers(stream, true);
	*ret_stream = stream;
	return 0;
}

void stream_end(struct stream *stream, enum removed_reason reason)
{
	struct core *core = stream->core;

	tell_watchers(stream, false);
	list_for_each(link, &stream->consumers) {
		struct consumer *consumer = list_entry(link, struct consumer, stream_link);

		if (consumer->peer->ops->stream_ended)
			consumer->peer->ops->stream_ended(consumer->peer, consumer, reason);
	}
	list_remove(&stream->owner_link);
	stream->owner->num_streams--;
	stream->owner = NULL;
	slots_remove(&core->streams, stream->place);
	core->stats.streams--;
	if (list_empty(&stream->consumers))
		free(stream);
}

void stream_destroy(struct stream *stream)
{
	stream_end(stream, REMOVED_DESTROYED);
}

uint32_t stream_id(const struct stream *stream)
{
	return stream->id;
}

const char *stream_name(const struct stream *stream)
{
	return stream->name;
}

const char *stream_owner_label(const struct stream *stream)
{
	return stream->owner ? stream->owner->label : "";
}

uint32_t stream_listeners(const struct stream *stream)
{
	return stream->num_consumers;
}

uint32_t stream_in_flight(const struct stream *stream)
{
	return stream->num_in_flight;
}

uint64_t stream_published(const struct stream *stream)
{
	return stream->published;
}

uint64_t stream_sequence(const struct stream *stream)
{
	return stream->sequence;
}

static int compare_sequences(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint32_t stream_get_in_flight(const struct stream *stream,
			      uint64_t ret_sequences[VIRTIO_BUFSHARE_MAX_FRAMES])
{
	uint32_t n = 0;

	for (uint64_t left = stream->in_flight; left; left &= left - 1)
		ret_sequences[n++] = stream->frames[__builtin_ctzll(left)].sequence;
	if (n)
		qsort(ret_sequences, n, sizeof(ret_sequences[0]), compare_sequences);
	return n;
}

void stream_walk(struct peer *peer, uint64_t *cursor,
		 bool (*fn)(void *arg, const struct stream *stream), void *arg)
{
	struct stream *stream;
	uint64_t from = *cursor;
	uint32_t place;

	while ((stream = slots_next(&peer->core->streams, from, &place))) {
		from = (uint64_t)place + 1;
		if (!peer_may_see(peer, stream->owner))
			continue;
		if (!fn(arg, stream)) {
			*cursor = from;
			return;
		}
	}
	*cursor = 0;
}

/* ---- frames ---- */

int stream_publish(struct stream *stream, const uint8_t uuid[UUID_SIZE],
		   const struct frame_info *info, uint32_t *ret_listeners)
{
	struct core_stats *stats = &stream->core->stats;
	struct peer *owner = stream->owner;
	struct buffer *buffer = buffer_find_owned(owner, uuid);
	struct frame *frame;
	unsigned int place;

	if (!buffer || buffer->state != VIRTIO_BUFSHARE_BUFFER_LIVE)
		return -ENOENT;
	if (buffer->stream)
		return -EBUSY;
	if (stream->published && info->sequence <= stream->sequence)
		return -EINVAL;
	if (stream->num_in_flight == stream->max_frames)
		return -EDQUOT;

	stream->published++;
	stream->sequence = info->sequence;
	stats->frames_published++;
	*ret_listeners = stream->num_consumers;
	if (!stream->num_consumers) {
		stats->frames_released++;
		if (owner->ops->frame_released)
			owner->ops->frame_released(owner, stream, uuid, info->sequence);
		return 0;
	}

	/* A free one is below max_frames, since not all of those are taken. */
	place = (unsigned int)__builtin_ctzll(~stream->in_flight);
	frame = &stream->frames[place];
	frame->buffer = buffer;
	frame->sequence = info->sequence;
	frame->holders = stream->num_consumers;
	stream->in_flight |= UINT64_C(1) << place;
	stream->num_in_flight++;
	buffer->stream = stream;
	stats->frames_delivered += stream->num_consumers;
	list_for_each(link, &stream->consumers) {
		struct consumer *consumer = list_entry(link, struct consumer, stream_link);

		consumer->held |= UINT64_C(1) << place;
		buffer_use(buffer);
		if (consumer->peer->ops->frame_arrived)
			consumer->peer->ops->frame_arrived(consumer->peer, consumer, buffer, info);
	}
	return 0;
}

/* One consumer gives back the frame at @place; the last one ends its flight. */
static void release(struct consumer *consumer, unsigned int place)
{
	struct stream *stream = consumer->stream;
	struct peer *owner = stream->owner;
	struct frame *frame = &stream->frames[place];
	struct buffer *buffer = frame->buffer;

	consumer->held &= ~(UINT64_C(1) << place);
	if (--frame->holders == 0) {
		frame->buffer = NULL;
		stream->in_flight &= ~(UINT64_C(1) << place);
		stream->num_in_flight--;
		buffer->stream = NULL;
		stream->core->stats.frames_released++;
		/* Before buffer_idle() of the same buffer, which buffer_unuse() may call. */
		if (owner && owner->ops->frame_released)
			owner->ops->frame_released(owner, stream, buffer->uuid, frame->sequence);
	}
	buffer_unuse(buffer);
}

/* The bit of the place at which the buffer is in flight; 0: it is not. */
static uint64_t place_of(const struct stream *stream, const struct buffer *buffer)
{
	uint64_t left = stream->in_flight;

	while (left && stream->frames[__builtin_ctzll(left)].buffer != buffer)
		left &= left - 1;
	return left & -left;
}

bool stream_has_holder(const struct stream *stream, const struct buffer *buffer,
		       const struct peer *peer)
{
	uint64_t place = place_of(stream, buffer);

	list_for_each(link, &stream->consumers) {
		struct consumer *consumer = list_entry(link, struct consumer, stream_link);

		if (consumer->peer == peer && (consumer->held & place))
			return true;
	}
	return false;
}

void stream_tell_holders(struct stream *stream, const struct buffer *buffer,
			 enum removed_reason reason,
			 void (*tell)(struct peer *peer, const struct buffer *buffer,
				      enum removed_reason reason))
{
	uint64_t place = place_of(stream, buffer);

	list_for_each(link, &stream->consumers) {
		struct consumer *consumer = list_entry(link, struct consumer, stream_link);

		if (consumer->held & place)
			tell(consumer->peer, buffer, reason);
	}
}

/* ---- consumers ---- */

int consumer_join(struct peer *peer, const char *owner_label, const char *name,
		  struct consumer **ret_consumer)
{
	struct peer *owner = peer_find_guest(peer->core, owner_label);
	struct stream *stream;
	struct consumer *consumer;

	if (!peer_may_see(peer, owner))
		return -ENOENT;
	stream = find_by_name(owner, name);
	if (!stream)
		return -ENOENT;
	if (peer->num_consumers >= peer->limits.max_consumers)
		return -EDQUOT;

	consumer = calloc(1, sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	consumer->stream = stream;
	consumer->peer = peer;
	consumer->id = new_consumer_id(peer);
	list_append(&peer->consumers, &consumer->peer_link);
	list_append(&stream->consumers, &consumer->stream_link);
	peer->num_consumers++;
	stream->num_consumers++;
	tell_listeners(stream);
	*ret_consumer = consumer;
	return 0;
}

void consumer_leave(struct consumer *consumer)
{
	struct stream *stream = consumer->stream;

	while (consumer->held)
		release(consumer, (unsigned int)__builtin_ctzll(consumer->held));
	list_remove(&consumer->stream_link);
	list_remove(&consumer->peer_link);
	consumer->peer->num_consumers--;
	stream->num_consumers--;
	free(consumer);
	if (stream->owner)
		tell_listeners(stream);
	else if (list_empty(&stream->consumers))
		free(stream);
}

struct consumer *consumer_find(struct peer *peer, uint32_t id)
{
	list_for_each(link, &peer->consumers) {
		struct consumer *consumer = list_entry(link, struct consumer, peer_link);

		if (consumer->id == id)
			return consumer;
	}
	return NULL;
}

uint32_t consumer_id(const struct consumer *consumer)
{
	return consumer->id;
}

int consumer_release(struct consumer *consumer, uint64_t sequence)
{
	for (uint64_t left = consumer->held; left; left &= left - 1) {
		unsigned int place = (unsigned int)__builtin_ctzll(left);

		if (consumer->stream->frames[place].sequence == sequence) {
			release(consumer, place);
			return 0;
		}
	}
	return -ENOENT;
}
