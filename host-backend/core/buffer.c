/* SPDX-License-Identifier: MIT */
/*
 * Buffers and who uses them.
 *
 * A buffer is FILLING until all extents are there, then LIVE, and DETACHED from the
 * moment its owner gives it up (or is gone) until its last user leaves.  A DETACHED
 * buffer stays in the registry for those users.  Who has a frame of it can still get it,
 * because a frame that arrived would be lost otherwise; nobody else can.
 */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct extent *extents_of(struct buffer *buffer)
{
	return buffer->capacity > 1 ? buffer->extents.many : &buffer->extents.one;
}

static void charge(struct peer *owner, struct buffer *buffer)
{
	owner->num_bytes += buffer->size;
	owner->num_extents += buffer->charged;
	owner->num_buffers++;
	list_append(&owner->buffers, &buffer->owner_link);
	buffer->owner = owner;
}

static void discharge(struct buffer *buffer)
{
	struct peer *owner = buffer->owner;

	owner->num_bytes -= buffer->size;
	owner->num_extents -= buffer->charged;
	owner->num_buffers--;
	list_remove(&buffer->owner_link);
	buffer->owner = NULL;
}

/* Gives back all that grows with what the owner sent. */
static void drop_contents(struct buffer *buffer)
{
	arena_set_cut(&buffer->arenas, 0);
	if (buffer->capacity > 1)
		free(buffer->extents.many);
	buffer->core->stats.extents -= buffer->num_extents;
	buffer->num_extents = 0;
	buffer->capacity = 1;
	free(buffer->user);
	buffer->user = NULL;
	buffer->desc.user_len = 0;
}

static void buffer_free(struct buffer *buffer)
{
	struct core_stats *stats = &buffer->core->stats;

	if (buffer->owner)
		discharge(buffer);
	registry_remove(buffer->core, buffer);
	stats->buffers--;
	stats->bytes -= buffer->size;
	drop_contents(buffer);
	if (buffer->dmabuf >= 0)
		close(buffer->dmabuf);
	free(buffer);
}

static bool exceeds(const struct peer *owner, const struct buffer_spec *spec)
{
	const struct core_limits *limits = &owner->limits;

	return owner->num_buffers >= limits->max_buffers ||
	       owner->num_bytes > limits->max_bytes ||
	       spec->size > limits->max_bytes - owner->num_bytes ||
	       owner->num_extents > limits->max_extents ||
	       spec->num_extents > limits->max_extents - owner->num_extents;
}

int buffer_create(struct peer *owner, const struct buffer_spec *spec, struct buffer **ret_buffer)
{
	struct core *core = owner->core;
	struct buffer *buffer;
	uint32_t user_len;
	int ret;

	if (!spec->size || !spec->num_extents)
		return -EINVAL;
	ret = desc_check(spec->desc, spec->size);
	if (ret < 0)
		return ret;
	if (exceeds(owner, spec))
		return -EDQUOT;

	buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return -ENOMEM;
	user_len = le32toh(spec->desc->user_len);
	if (user_len) {
		buffer->user = malloc(user_len);
		if (!buffer->user) {
			ret = -ENOMEM;
			goto err_free;
		}
		memcpy(buffer->user, spec->user, user_len);
	}
	buffer->core = core;
	buffer->size = spec->size;
	buffer->declared = spec->num_extents;
	buffer->charged = spec->num_extents;
	buffer->capacity = 1;
	buffer->dmabuf = -1;
	buffer->state = VIRTIO_BUFSHARE_BUFFER_FILLING;
	buffer->desc = *spec->desc;
	list_init(&buffer->holds);
	ret = registry_add(core, buffer);
	if (ret < 0)
		goto err_free;
	charge(owner, buffer);
	core->stats.buffers++;
	core->stats.bytes += buffer->size;
	*ret_buffer = buffer;
	return 0;

err_free:
	free(buffer->user);
	free(buffer);
	return ret;
}

/* Room for @more extents; doubling keeps a buffer that comes in chunks linear. */
static int make_room(struct buffer *buffer, uint32_t more)
{
	uint64_t need = (uint64_t)buffer->num_extents + more;
	uint64_t capacity = buffer->capacity;
	struct extent *many;

	if (need <= capacity)
		return 0;
	while (capacity < need)
		capacity *= 2;
	if (capacity > UINT32_MAX)
		return -ENOMEM;
	if (buffer->capacity > 1) {
		many = reallocarray(buffer->extents.many, capacity, sizeof(*many));
		if (!many)
			return -ENOMEM;
	} else {
		many = calloc(capacity, sizeof(*many));
		if (!many)
			return -ENOMEM;
		if (buffer->num_extents)
			many[0] = buffer->extents.one;
	}
	buffer->extents.many = many;
	buffer->capacity = (uint32_t)capacity;
	return 0;
}

/* Gives back what growing and merging left over. */
static void fit(struct buffer *buffer)
{
	struct extent *many = buffer->extents.many;

	if (buffer->capacity == 1 || buffer->capacity == buffer->num_extents)
		return;
	if (buffer->num_extents == 1) {
		buffer->extents.one = many[0];
		free(many);
	} else {
		many = reallocarray(many, buffer->num_extents, sizeof(*many));
		if (!many)
			return;
		buffer->extents.many = many;
	}
	buffer->capacity = buffer->num_extents;
}

static bool follows(const struct extent *last, const struct extent *extent)
{
	return last && last->arena == extent->arena && last->offset + last->len == extent->offset;
}

static struct extent *last_extent(struct buffer *buffer)
{
	return buffer->num_extents ? &extents_of(buffer)[buffer->num_extents - 1] : NULL;
}

/* How many append() will keep of @num. */
static uint32_t count_kept(struct buffer *buffer, const struct extent *extents, uint32_t num)
{
	const struct extent *last = last_extent(buffer);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < num; i++) {
		kept += !follows(last, &extents[i]);
		last = &extents[i];
	}
	return kept;
}

static void append(struct buffer *buffer, const struct extent *extent)
{
	struct extent *last = last_extent(buffer);

	if (follows(last, extent)) {
		last->len += extent->len;
		return;
	}
	extents_of(buffer)[buffer->num_extents] = *extent;
	buffer->num_extents++;
	buffer->core->stats.extents++;
}

/* Room for @kept more extents, and references on the arenas of @extents. */
static int prepare(struct buffer *buffer, const struct extent *extents, uint32_t num,
		   uint32_t kept)
{
	uint32_t num_arenas = buffer->arenas.num;
	int ret = make_room(buffer, kept);

	for (uint32_t i = 0; i < num && ret == 0; i++)
		ret = arena_set_add(&buffer->arenas, extents[i].arena);
	if (ret < 0)
		arena_set_cut(&buffer->arenas, num_arenas);
	return ret;
}

static void tell_added(struct buffer *buffer)
{
	list_for_each(link, &buffer->core->watchers) {
		struct peer *peer = list_entry(link, struct peer, watch_link);

		if ((peer->watch & WATCH_BUFFERS) && peer_may_see(peer, buffer->owner) &&
		    peer->ops->buffer_added)
			peer->ops->buffer_added(peer, buffer);
	}
}

int buffer_may_add(const struct buffer *buffer, uint32_t first, uint32_t count, uint64_t len)
{
	if (buffer->state != VIRTIO_BUFSHARE_BUFFER_FILLING || first != buffer->sent || !count)
		return -EINVAL;
	if (count > buffer->declared - buffer->sent || len > buffer->size - buffer->sum)
		return -EBADMSG;
	if (count == buffer->declared - buffer->sent && len != buffer->size - buffer->sum)
		return -EBADMSG;
	return 0;
}

int buffer_add_extents(struct buffer *buffer, uint32_t first, uint32_t count,
		       const struct extent *extents, uint32_t num_extents)
{
	struct peer *owner = buffer->owner;
	uint32_t kept, more = 0;
	uint64_t len = 0;
	int ret;

	for (uint32_t i = 0; i < num_extents; i++) {
		if (__builtin_add_overflow(len, extents[i].len, &len))
			return -EBADMSG;
	}
	ret = buffer_may_add(buffer, first, count, len);
	if (ret < 0)
		return ret;
	kept = count_kept(buffer, extents, num_extents);
	if (kept > UINT32_MAX - buffer->num_extents)
		return -EDQUOT;
	if (buffer->num_extents + kept > buffer->charged)
		more = buffer->num_extents + kept - buffer->charged;
	/* What is charged now was within the limit. */
	if (more > owner->limits.max_extents - owner->num_extents)
		return -EDQUOT;
	ret = prepare(buffer, extents, num_extents, kept);
	if (ret < 0)
		return ret;

	for (uint32_t i = 0; i < num_extents; i++)
		append(buffer, &extents[i]);
	buffer->charged += more;
	owner->num_extents += more;
	buffer->sum += len;
	buffer->sent += count;
	if (buffer->sent == buffer->declared) {
		fit(buffer);
		buffer->state = VIRTIO_BUFSHARE_BUFFER_LIVE;
		tell_added(buffer);
	}
	return 0;
}

static void tell_removed_once(struct peer *peer, const struct buffer *buffer,
			      enum removed_reason reason)
{
	if (peer->told == buffer->core->round)
		return;
	peer->told = buffer->core->round;
	if (peer->ops->buffer_removed)
		peer->ops->buffer_removed(peer, buffer, reason);
}

static void tell_holders(struct buffer *buffer, enum removed_reason reason)
{
	list_for_each(link, &buffer->holds)
		tell_removed_once(list_entry(link, struct hold, buffer_link)->peer, buffer, reason);
	if (buffer->stream)
		stream_tell_holders(buffer->stream, buffer, reason, tell_removed_once);
}

static void tell_watchers(struct buffer *buffer, enum removed_reason reason)
{
	list_for_each(link, &buffer->core->watchers) {
		struct peer *peer = list_entry(link, struct peer, watch_link);

		if ((peer->watch & WATCH_BUFFERS) && peer_may_see(peer, buffer->owner))
			tell_removed_once(peer, buffer, reason);
	}
}

/*
 * Those who hold a buffer that its owner destroyed before are told again when the
 * owner resets or goes: until then its pages were kept for them, now they are not.
 */
static void detach(struct buffer *buffer, enum removed_reason reason)
{
	buffer->core->round++;
	if (buffer->state != VIRTIO_BUFSHARE_BUFFER_FILLING)
		tell_holders(buffer, reason);
	if (buffer->state == VIRTIO_BUFSHARE_BUFFER_LIVE)
		tell_watchers(buffer, reason);
	buffer->state = VIRTIO_BUFSHARE_BUFFER_DETACHED;
}

void buffer_destroy(struct buffer *buffer, uint32_t *ret_users)
{
	if (buffer->state != VIRTIO_BUFSHARE_BUFFER_DETACHED)
		detach(buffer, REMOVED_DESTROYED);
	*ret_users = buffer->users;
	if (!buffer->users)
		buffer_free(buffer);
}

/* A dma-buf stays: it is of the users, who have it anyway, and holds its own pages. */
void buffer_orphan(struct buffer *buffer, enum removed_reason reason)
{
	detach(buffer, reason);
	discharge(buffer);
	drop_contents(buffer);
	if (!buffer->users)
		buffer_free(buffer);
}

void buffer_use(struct buffer *buffer)
{
	buffer->users++;
}

void buffer_unuse(struct buffer *buffer)
{
	struct peer *owner = buffer->owner;
	uint8_t uuid[UUID_SIZE];

	if (--buffer->users || buffer->state != VIRTIO_BUFSHARE_BUFFER_DETACHED)
		return;
	memcpy(uuid, buffer->uuid, UUID_SIZE);
	buffer_free(buffer);
	if (owner && owner->ops->buffer_idle)
		owner->ops->buffer_idle(owner, uuid);
}

struct buffer *buffer_find_owned(struct peer *owner, const uint8_t uuid[UUID_SIZE])
{
	struct buffer *buffer = registry_find(owner->core, uuid);

	return buffer && buffer->owner == owner ? buffer : NULL;
}

static struct hold *find_hold(const struct peer *peer, const struct buffer *buffer)
{
	list_for_each(link, &buffer->holds) {
		struct hold *hold = list_entry(link, struct hold, buffer_link);

		if (hold->peer == peer)
			return hold;
	}
	return NULL;
}

static bool may_get(const struct buffer *buffer, const struct peer *peer)
{
	if (!peer_may_see(peer, buffer->owner))
		return false;
	return buffer->state == VIRTIO_BUFSHARE_BUFFER_LIVE ||
	       (buffer->stream && stream_has_holder(buffer->stream, buffer, peer));
}

int buffer_get(struct peer *peer, const uint8_t uuid[UUID_SIZE], struct buffer **ret_buffer)
{
	struct buffer *buffer = registry_find(peer->core, uuid);
	struct hold *hold;

	if (!buffer || !may_get(buffer, peer))
		return -ENOENT;
	if (buffer->owner->suspended)
		return -EAGAIN;
	if (peer->num_holds >= peer->limits.max_holds)
		return -EDQUOT;

	hold = find_hold(peer, buffer);
	if (!hold) {
		hold = calloc(1, sizeof(*hold));
		if (!hold)
			return -ENOMEM;
		hold->peer = peer;
		hold->buffer = buffer;
		list_append(&peer->holds, &hold->peer_link);
		list_append(&buffer->holds, &hold->buffer_link);
	}
	hold->count++;
	peer->num_holds++;
	buffer_use(buffer);
	*ret_buffer = buffer;
	return 0;
}

/* One time of several, or the last one. */
static void hold_put(struct hold *hold)
{
	struct buffer *buffer = hold->buffer;

	hold->peer->num_holds--;
	if (--hold->count == 0) {
		list_remove(&hold->peer_link);
		list_remove(&hold->buffer_link);
		free(hold);
		if (list_empty(&buffer->holds) && buffer->dmabuf >= 0) {
			close(buffer->dmabuf);
			buffer->dmabuf = -1;
		}
	}
	buffer_unuse(buffer);
}

void hold_drop(struct hold *hold)
{
	for (uint32_t left = hold->count; left; left--)
		hold_put(hold);
}

struct buffer *buffer_find_held(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	struct buffer *buffer = registry_find(peer->core, uuid);

	return buffer && find_hold(peer, buffer) ? buffer : NULL;
}

bool buffer_has_user(const struct buffer *buffer, const struct peer *peer)
{
	return find_hold(peer, buffer) ||
	       (buffer->stream && stream_has_holder(buffer->stream, buffer, peer));
}

int buffer_put(struct peer *peer, const uint8_t uuid[UUID_SIZE])
{
	struct buffer *buffer = registry_find(peer->core, uuid);
	struct hold *hold = buffer ? find_hold(peer, buffer) : NULL;

	if (!hold)
		return -ENOENT;
	hold_put(hold);
	return 0;
}

const uint8_t *buffer_uuid(const struct buffer *buffer)
{
	return buffer->uuid;
}

const char *buffer_owner_label(const struct buffer *buffer)
{
	return buffer->owner ? buffer->owner->label : "";
}

uint64_t buffer_size(const struct buffer *buffer)
{
	return buffer->size;
}

uint32_t buffer_state(const struct buffer *buffer)
{
	return buffer->state;
}

uint32_t buffer_users(const struct buffer *buffer)
{
	return buffer->users;
}

const struct virtio_bufshare_desc *buffer_desc(const struct buffer *buffer)
{
	return &buffer->desc;
}

const uint8_t *buffer_user_data(const struct buffer *buffer)
{
	return buffer->user;
}

const struct extent *buffer_extents(const struct buffer *buffer, uint32_t *ret_num)
{
	*ret_num = buffer->num_extents;
	return buffer->capacity > 1 ? buffer->extents.many : &buffer->extents.one;
}

struct arena *const *buffer_arenas(const struct buffer *buffer, uint32_t *ret_num)
{
	*ret_num = buffer->arenas.num;
	return arena_set_get(&buffer->arenas);
}

int buffer_dmabuf(const struct buffer *buffer)
{
	return buffer->dmabuf;
}

void buffer_set_dmabuf(struct buffer *buffer, int fd)
{
	if (buffer->dmabuf >= 0)
		close(buffer->dmabuf);
	buffer->dmabuf = fd;
}

void buffer_walk(struct peer *peer, uint64_t *cursor,
		 bool (*fn)(void *arg, const struct buffer *buffer), void *arg)
{
	struct buffer *buffer;
	uint64_t from = *cursor;
	uint32_t place;

	while ((buffer = slots_next(&peer->core->buffers, from, &place))) {
		from = (uint64_t)place + 1;
		if (buffer->state != VIRTIO_BUFSHARE_BUFFER_LIVE ||
		    !peer_may_see(peer, buffer->owner))
			continue;
		if (!fn(arg, buffer)) {
			*cursor = from;
			return;
		}
	}
	*cursor = 0;
}
