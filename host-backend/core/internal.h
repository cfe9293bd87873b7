/* SPDX-License-Identifier: MIT */
/*
 * The core's own structures: for the files of this folder only.
 *
 * Who keeps whom alive.  A peer lists its buffers, streams, holds and consumers and
 * ends them all when it goes.  A buffer lives while it has an owner that did not
 * destroy it, or users: holds, and frames in flight, one for each consumer that has
 * the frame.  A stream lives while it has an owner that did not destroy it, or
 * consumers.  An arena lives while a buffer or a caller refers to it.
 */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include "core.h"

#include "list.h"
#include "slots.h"

struct core {
	struct list peers;
	struct list watchers; /* peers that watch anything */

	struct buffer **buckets; /* by UUID, with those that only a holder knows */
	uint32_t num_buckets;	 /* a power of two */
	uint32_t num_hashed;
	struct slots buffers; /* the same, for walks */
	struct slots streams; /* those that have an owner */

	uint64_t round; /* of telling: see peer.told */
	struct core_stats stats;
};

struct arena {
	struct peer *owner; /* NULL: gone */
	struct list link;   /* peer.arenas */
	uint64_t dev, ino;
	uint32_t refs;
	int fd; /* owned */
};

/* Arenas, each once, with a reference on each.  All 0 is an empty one. */
struct arena_set {
	union {
		struct arena *one; /* of most buffers there is but one */
		struct arena **many; /* capacity > 0 */
	} arenas;
	uint32_t num, capacity;
};

struct peer {
	struct core *core;
	struct list link;	/* core.peers */
	struct list watch_link; /* core.watchers */
	const struct peer_ops *ops;
	void *priv;
	enum peer_kind kind;
	bool admin;
	bool suspended;
	uint32_t watch;
	uint64_t told; /* the round in which it was told last: nobody is told twice */

	struct core_limits limits;
	struct list arenas;    /* struct arena.link */
	struct list buffers;   /* owned */
	struct list streams;   /* owned */
	struct list holds;     /* struct hold.peer_link */
	struct list consumers; /* struct consumer.peer_link */

	uint64_t num_bytes;
	uint32_t num_buffers, num_extents, num_streams, num_arenas;
	uint32_t num_holds, num_consumers;
	uint32_t last_stream_id, last_consumer_id;

	char label[LABEL_SIZE];
};

/* What one peer has of one buffer. */
struct hold {
	struct peer *peer;
	struct buffer *buffer;
	struct list peer_link, buffer_link;
	uint32_t count; /* of buffer_get() */
};

struct frame {
	struct buffer *buffer; /* NULL: free */
	uint64_t sequence;
	uint32_t holders; /* consumers that have it */
};

struct buffer {
	struct core *core;
	struct buffer *hash_next;
	struct peer *owner;    /* NULL: gone or reset */
	struct list owner_link;
	struct list holds;
	struct stream *stream; /* that it is in flight on, or NULL */
	uint64_t size;
	uint64_t sum; /* of the extents so far */

	/* One extent is kept in place: most buffers have but one. */
	union {
		struct extent one;
		struct extent *many; /* capacity > 1 */
	} extents;
	uint32_t num_extents, capacity; /* as kept here */
	uint32_t declared, sent;	/* as the owner counts them */
	uint32_t charged;		/* extents, to the owner */
	struct arena_set arenas;	/* that the extents lie in */

	uint32_t users; /* holds, each time counted, and consumers with a frame of it */
	uint32_t place; /* in core.buffers */
	int dmabuf;	/* owned; -1: none */
	uint8_t state;	/* enum virtio_bufshare_buffer_state */
	uint8_t uuid[UUID_SIZE];
	uint8_t *user; /* NULL: none */
	struct virtio_bufshare_desc desc;
};

struct stream {
	struct core *core;
	struct peer *owner; /* NULL: ended, kept for its consumers */
	struct list owner_link;
	struct list consumers; /* struct consumer.stream_link */
	uint32_t num_consumers;
	uint32_t id;
	uint32_t place; /* in core.streams, while it has an owner */
	uint32_t max_frames;
	uint32_t num_in_flight;
	uint64_t in_flight; /* bit i: frames[i] */
	uint64_t published;
	uint64_t sequence;
	char name[LABEL_SIZE];
	struct frame frames[];
};

struct consumer {
	struct stream *stream;
	struct peer *peer;
	struct list peer_link, stream_link;
	uint64_t held; /* bit i: stream->frames[i] */
	uint32_t id;
};

/* Whether @peer may know of what @owner (NULL: nobody) has. */
static inline bool peer_may_see(const struct peer *peer, const struct peer *owner)
{
	return owner && (peer->admin || peer == owner);
}

struct peer *peer_find_guest(struct core *core, const char *label);

/* arena.c */
/* Adds it if it is not there.  0 or -ENOMEM. */
int arena_set_add(struct arena_set *set, struct arena *arena);
/* Takes away all but the first @keep. */
void arena_set_cut(struct arena_set *set, uint32_t keep);
struct arena *const *arena_set_get(const struct arena_set *set);
/* The owner is gone; who refers to its arenas keeps them. */
void arenas_disown(struct peer *owner);

/* Random, version 4 (RFC 9562, 5.4).  0 or a negative errno. */
int uuid_generate_v4(uint8_t ret_uuid[UUID_SIZE]);

/* registry.c */
struct buffer *registry_find(struct core *core, const uint8_t uuid[UUID_SIZE]);
/* Gives the buffer a UUID and enters it.  0 or a negative errno. */
int registry_add(struct core *core, struct buffer *buffer);
void registry_remove(struct core *core, struct buffer *buffer);

/* Takes a buffer away from its owner, who is not told. */
void buffer_orphan(struct buffer *buffer, enum removed_reason reason);
/* A user more or less; the last one of a dead buffer frees it. */
void buffer_use(struct buffer *buffer);
void buffer_unuse(struct buffer *buffer);
/* Gives back all that the peer has of it. */
void hold_drop(struct hold *hold);

void stream_end(struct stream *stream, enum removed_reason reason);

/* Whether the peer has a frame of the buffer, which is in flight on the stream. */
bool stream_has_holder(const struct stream *stream, const struct buffer *buffer,
		       const struct peer *peer);
/* Calls @tell for everybody who has a frame of the buffer. */
void stream_tell_holders(struct stream *stream, const struct buffer *buffer,
			 enum removed_reason reason,
			 void (*tell)(struct peer *peer, const struct buffer *buffer,
				      enum removed_reason reason));

#endif /* CORE_INTERNAL_H */
