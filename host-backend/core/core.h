/* SPDX-License-Identifier: MIT */
/*
 * The sharing core: arenas, buffers, streams, and the peers that own and use them.
 *
 * Theory of operation.  A peer is anybody with a label: a guest or a host client.
 * A guest creates buffers (extents in arenas) and streams; host clients hold
 * buffers and consume streams.  The core keeps who may see what, who still uses
 * what, and the quotas.  It knows nothing of virtio, vhost-user, sockets or ioctls:
 * what it has to tell a peer it tells by the peer's ops, and those only queue what
 * they are told; they must not call back into functions that change the core.
 *
 * All functions return 0 or a negative errno unless they say otherwise; ret_
 * parameters are untouched on failure.  No function blocks, copies or touches the
 * memory that is shared.  One thread.
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio_bufshare.h" /* limits, clocks, buffer states */

#define UUID_SIZE VIRTIO_BUFSHARE_UUID_SIZE
#define LABEL_SIZE VIRTIO_BUFSHARE_LABEL_SIZE

struct core;
struct peer;
struct arena;
struct buffer;
struct stream;
struct consumer;

/* ---- quotas and counters ---- */

/* Of one peer.  What is counted there: see the comment on each. */
struct core_limits {
	uint64_t max_bytes;    /* of the buffers it owns */
	uint32_t max_buffers;  /* that it owns */
	/* Of the buffers it owns: of each, as the owner counts them or as kept here, if more. */
	uint32_t max_extents;
	uint32_t max_arenas;   /* files that its buffers lie in, each an fd of ours */
	uint32_t max_streams;  /* that it owns */
	uint32_t max_frames;   /* in flight, each stream; at most VIRTIO_BUFSHARE_MAX_FRAMES */
	uint32_t max_holds;    /* of other peers' buffers */
	uint32_t max_consumers; /* it may be of streams */
};

struct core_stats {
	uint64_t guests, clients, buffers, extents, bytes, streams;
	uint64_t frames_published, frames_delivered, frames_released;
};

int core_create(struct core **ret_core);
/* All peers must be gone.  NULL is fine. */
void core_destroy(struct core *core);
void core_get_stats(const struct core *core, struct core_stats *ret_stats);

/* Whether it is a word of [A-Za-z0-9._-] of 1 to LABEL_SIZE - 1 bytes. */
bool name_is_valid(const char *name);

/* ---- arenas: one fd that holds pages ---- */

/*
 * Finds @owner's arena of the file behind @fd or makes one.  Peers never share an arena,
 * not even of the same file: each is charged for what it keeps open, and no two files can
 * be mistaken for one another where that would show a peer's memory to the other's users.
 * @fd: borrowed; the arena keeps a duplicate.  The caller gets a reference.
 * The caller has checked the file (type, seals, size).  -EDQUOT: max_arenas.
 */
int arena_get(struct peer *owner, int fd, struct arena **ret_arena);
struct arena *arena_ref(struct arena *arena);
void arena_unref(struct arena *arena); /* NULL is fine */
int arena_fd(const struct arena *arena); /* borrowed */

/* Page-aligned, inside the arena; the caller has checked both. */
struct extent {
	struct arena *arena; /* of the buffer's owner */
	uint64_t offset; /* bytes in the arena's file */
	uint64_t len;	 /* bytes, not 0 */
};

/* ---- peers ---- */

enum peer_kind { PEER_GUEST, PEER_CLIENT };

/* The values of enum bufshare_msg_removed_reason, which is their wire form. */
enum removed_reason {
	REMOVED_DESTROYED = 1,
	REMOVED_RESET = 2,
	REMOVED_OWNER_GONE = 3,
};

struct frame_info {
	uint64_t sequence;
	uint64_t timestamp; /* ns, of the producer's clock */
	uint64_t received;  /* ns, CLOCK_MONOTONIC of the host */
	uint32_t clock;	    /* enum virtio_bufshare_clock */
	uint32_t flags;	    /* none defined: 0 */
};

/* Any of them may be NULL. */
struct peer_ops {
	/* To the owner: a destroyed buffer lost its last user; its name is dead. */
	void (*buffer_idle)(struct peer *peer, const uint8_t uuid[UUID_SIZE]);
	/* To the owner: the last consumer gave the frame back. */
	void (*frame_released)(struct peer *peer, const struct stream *stream,
			       const uint8_t uuid[UUID_SIZE], uint64_t sequence);
	/* To the owner: consumers joined or left. */
	void (*listeners_changed)(struct peer *peer, const struct stream *stream,
				  uint32_t listeners);

	/* To peers that watch and may see it; removed also to every holder. */
	void (*buffer_added)(struct peer *peer, const struct buffer *buffer);
	void (*buffer_removed)(struct peer *peer, const struct buffer *buffer,
			       enum removed_reason reason);
	void (*stream_added)(struct peer *peer, const struct stream *stream);
	void (*stream_removed)(struct peer *peer, const struct stream *stream);

	/* To a consumer.  It holds the frame from now on until consumer_release(). */
	void (*frame_arrived)(struct peer *peer, const struct consumer *consumer,
			      const struct buffer *buffer, const struct frame_info *frame);
	void (*stream_ended)(struct peer *peer, const struct consumer *consumer,
			     enum removed_reason reason);
};

#define WATCH_BUFFERS 0x1
#define WATCH_STREAMS 0x2

/*
 * @label: 1 to LABEL_SIZE - 1 bytes (-EINVAL); unique among guests (-EEXIST).
 * @admin: sees the buffers and streams of every guest; others see their own only.
 * @ops, @priv: borrowed until peer_destroy().
 */
int peer_create(struct core *core, enum peer_kind kind, const char *label, bool admin,
		const struct core_limits *limits, const struct peer_ops *ops, void *priv,
		struct peer **ret_peer);
/*
 * Takes away all that it owns (others are told, OWNER_GONE), gives back all that it
 * holds.  No op of this peer is called any more.  NULL is fine.
 */
void peer_destroy(struct peer *peer);
/*
 * The guest starts anew: what it owns is taken away (reason RESET) without telling
 * it.  Those who still hold such a buffer keep the memory until they put it.
 */
void peer_reset(struct peer *peer);
/* While suspended its buffers cannot be got by others (-EAGAIN). */
void peer_set_suspended(struct peer *peer, bool suspended);
void peer_watch(struct peer *peer, uint32_t what);

void *peer_priv(const struct peer *peer);
const char *peer_label(const struct peer *peer);
const struct core_limits *peer_limits(const struct peer *peer);

/* ---- buffers ---- */

struct buffer_spec {
	uint64_t size;
	uint32_t num_extents; /* as the owner counts them, at least 1 */
	/* Checked by desc_check(); byte order of the wire. */
	const struct virtio_bufshare_desc *desc;
	const uint8_t *user; /* desc->user_len bytes, copied */
};

/*
 * Whether a description holds for a buffer of @size bytes: planes inside the buffer,
 * counts and reserved fields; -EINVAL if not.
 */
int desc_check(const struct virtio_bufshare_desc *desc, uint64_t size);

/*
 * A new buffer in state FILLING with a new UUID.
 * -EINVAL: size, count or description; -EDQUOT: a limit of the owner.
 */
int buffer_create(struct peer *owner, const struct buffer_spec *spec,
		  struct buffer **ret_buffer);
/*
 * Whether @count of the owner's extents, @len bytes in all, may be appended after @first:
 * what buffer_add_extents() would say of them, asked before the work of finding out where
 * they lie.  -EINVAL: not FILLING, or @first is not how many the owner had sent before;
 * -EBADMSG: too many, too long, or the last ones and the sum is not the size.
 */
int buffer_may_add(const struct buffer *buffer, uint32_t first, uint32_t count, uint64_t len);
/*
 * Appends extents.  @count: how many of the owner's extents @extents stands for: memory
 * that is one extent for the owner can be several here, or be merged.  The arenas are
 * referenced, the array is copied; neighbours are merged.  The last extent makes the
 * buffer LIVE.  As buffer_may_add(), and -EDQUOT: more are to be kept than max_extents
 * leaves.  On failure nothing changed.
 */
int buffer_add_extents(struct buffer *buffer, uint32_t first, uint32_t count,
		       const struct extent *extents, uint32_t num_extents);
/*
 * Ends the name, but for those who have a frame of the buffer.  *ret_users: 0, and the
 * buffer is gone; or those who use it, and the owner's buffer_idle() follows.
 */
void buffer_destroy(struct buffer *buffer, uint32_t *ret_users);

/* The owner's own, in any state; NULL: not its own or unknown. */
struct buffer *buffer_find_owned(struct peer *owner, const uint8_t uuid[UUID_SIZE]);

/*
 * Takes a hold on a buffer that @peer may see, for each call one.  The buffer is live, or
 * @peer has a frame of it that was in flight when the owner destroyed it.
 * -ENOENT: unknown, dead, not for this peer, or its owner has reset or is gone; -EAGAIN:
 * the owner is suspended; -EDQUOT: max_holds.
 */
int buffer_get(struct peer *peer, const uint8_t uuid[UUID_SIZE], struct buffer **ret_buffer);
/* Gives one hold back.  -ENOENT: @peer has none on such a buffer. */
int buffer_put(struct peer *peer, const uint8_t uuid[UUID_SIZE]);
/* The buffer if @peer has a hold on it (also a dead one), else NULL. */
struct buffer *buffer_find_held(struct peer *peer, const uint8_t uuid[UUID_SIZE]);
/* Whether @peer has a hold on it or a frame of it. */
bool buffer_has_user(const struct buffer *buffer, const struct peer *peer);

const uint8_t *buffer_uuid(const struct buffer *buffer);
/* "" once the owner is gone. */
const char *buffer_owner_label(const struct buffer *buffer);
uint64_t buffer_size(const struct buffer *buffer);
uint32_t buffer_state(const struct buffer *buffer); /* enum virtio_bufshare_buffer_state */
/* Holds, each buffer_get() counted, and consumers that have a frame of it. */
uint32_t buffer_users(const struct buffer *buffer);
const struct virtio_bufshare_desc *buffer_desc(const struct buffer *buffer);
const uint8_t *buffer_user_data(const struct buffer *buffer); /* desc->user_len bytes */
/*
 * Borrowed; valid until the buffer changes.  Once the owner has reset or is gone there are
 * none: nobody can get the buffer any more, and what is kept would be charged to nobody.
 */
const struct extent *buffer_extents(const struct buffer *buffer, uint32_t *ret_num);
/* The arenas of these, each once, in the order in which the extents name them. */
struct arena *const *buffer_arenas(const struct buffer *buffer, uint32_t *ret_num);

/*
 * A dma-buf made of the buffer, kept here so that it is made once; -1: none yet.
 * buffer_set_dmabuf() takes @fd over; it is closed with the last hold.
 */
int buffer_dmabuf(const struct buffer *buffer);
void buffer_set_dmabuf(struct buffer *buffer, int fd);

/*
 * Calls @fn for live buffers that @peer may see, from *@cursor on (0: the first),
 * until it returns false or all were seen; *@cursor says where to go on, 0: at the
 * end.  Buffers that come or go in between are seen or not, the others once.
 */
void buffer_walk(struct peer *peer, uint64_t *cursor,
		 bool (*fn)(void *arg, const struct buffer *buffer), void *arg);

/* ---- streams ---- */

/*
 * @name: [A-Za-z0-9._-]+, at most LABEL_SIZE - 1.  -EINVAL: name or max_frames;
 * -EEXIST: the owner has one of that name; -EDQUOT: max_streams, or the owner made 2^32
 * streams since it last was reset, and there is no number left.
 */
int stream_create(struct peer *owner, const char *name, uint32_t max_frames,
		  struct stream **ret_stream);
/*
 * Consumers are told and keep the frames that they hold until they release them, and
 * themselves until consumer_leave(); the owner hears of neither any more.
 */
void stream_destroy(struct stream *stream);
struct stream *stream_find_owned(struct peer *owner, uint32_t id);
uint32_t stream_id(const struct stream *stream); /* not 0; one stream's of the owner up to its reset */
const char *stream_name(const struct stream *stream);
const char *stream_owner_label(const struct stream *stream);
uint32_t stream_listeners(const struct stream *stream);
uint32_t stream_in_flight(const struct stream *stream);
uint64_t stream_published(const struct stream *stream);
uint64_t stream_sequence(const struct stream *stream); /* of the last frame, or 0 */
/* Writes the sequence numbers in flight, ascending; returns how many. */
uint32_t stream_get_in_flight(const struct stream *stream,
			      uint64_t ret_sequences[VIRTIO_BUFSHARE_MAX_FRAMES]);
void stream_walk(struct peer *peer, uint64_t *cursor,
		 bool (*fn)(void *arg, const struct stream *stream), void *arg);

/*
 * Hands a frame to every consumer.  Without one, the owner's frame_released() is
 * called before this returns.  No allocation.
 * -ENOENT: the buffer is not the owner's or not live; -EBUSY: it is in flight;
 * -EINVAL: the sequence did not grow; -EDQUOT: max_frames are in flight.
 */
int stream_publish(struct stream *stream, const uint8_t uuid[UUID_SIZE],
		   const struct frame_info *frame, uint32_t *ret_listeners);

/* -ENOENT: no such stream that @peer may see; -EDQUOT: max_consumers. */
int consumer_join(struct peer *peer, const char *owner_label, const char *name,
		  struct consumer **ret_consumer);
/* Releases all that it holds. */
void consumer_leave(struct consumer *consumer);
struct consumer *consumer_find(struct peer *peer, uint32_t id);
uint32_t consumer_id(const struct consumer *consumer); /* unique for the peer, not 0 */
/* -ENOENT: this consumer does not hold such a frame (any more). */
int consumer_release(struct consumer *consumer, uint64_t sequence);

#endif /* CORE_CORE_H */
