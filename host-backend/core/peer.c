/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct peer *peer_find_guest(struct core *core, const char *label)
{
	list_for_each(link, &core->peers) {
		struct peer *peer = list_entry(link, struct peer, link);

		if (peer->kind == PEER_GUEST && strcmp(peer->label, label) == 0)
			return peer;
	}
	return NULL;
}

static uint64_t *count_of(struct peer *peer)
{
	struct core_stats *stats = &peer->core->stats;

	return peer->kind == PEER_GUEST ? &stats->guests : &stats->clients;
}

int peer_create(struct core *core, enum peer_kind kind, const char *label, bool admin,
		const struct core_limits *limits, const struct peer_ops *ops, void *priv,
		struct peer **ret_peer)
{
	size_t len = strnlen(label, LABEL_SIZE);
	struct peer *peer;

	if (len == 0 || len == LABEL_SIZE || limits->max_frames > VIRTIO_BUFSHARE_MAX_FRAMES)
		return -EINVAL;
	if (kind == PEER_GUEST && peer_find_guest(core, label))
		return -EEXIST;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->core = core;
	peer->kind = kind;
	peer->admin = admin;
	peer->limits = *limits;
	peer->ops = ops;
	peer->priv = priv;
	memcpy(peer->label, label, len + 1);
	list_init(&peer->watch_link);
	list_init(&peer->arenas);
	list_init(&peer->buffers);
	list_init(&peer->streams);
	list_init(&peer->holds);
	list_init(&peer->consumers);
	list_append(&core->peers, &peer->link);
	++*count_of(peer);
	*ret_peer = peer;
	return 0;
}

/* Streams first: a frame that nobody took back must find its stream without owner. */
static void take_all(struct peer *peer, enum removed_reason reason)
{
	while (!list_empty(&peer->streams))
		stream_end(list_entry(peer->streams.next, struct stream, owner_link), reason);
	while (!list_empty(&peer->buffers))
		buffer_orphan(list_entry(peer->buffers.next, struct buffer, owner_link), reason);
}

void peer_destroy(struct peer *peer)
{
	static const struct peer_ops silent;

	if (!peer)
		return;
	peer->ops = &silent;
	list_remove(&peer->watch_link);
	take_all(peer, REMOVED_OWNER_GONE);
	while (!list_empty(&peer->consumers))
		consumer_leave(list_entry(peer->consumers.next, struct consumer, peer_link));
	while (!list_empty(&peer->holds))
		hold_drop(list_entry(peer->holds.next, struct hold, peer_link));
	arenas_disown(peer);
	list_remove(&peer->link);
	--*count_of(peer);
	free(peer);
}

void peer_reset(struct peer *peer)
{
	const struct peer_ops *ops = peer->ops;
	static const struct peer_ops silent;

	peer->ops = &silent;
	take_all(peer, REMOVED_RESET);
	peer->last_stream_id = 0;
	peer->ops = ops;
}

void peer_set_suspended(struct peer *peer, bool suspended)
{
	peer->suspended = suspended;
}

void peer_watch(struct peer *peer, uint32_t what)
{
	peer->watch = what;
	list_remove(&peer->watch_link);
	if (what)
		list_append(&peer->core->watchers, &peer->watch_link);
}

void *peer_priv(const struct peer *peer)
{
	return peer->priv;
}

const char *peer_label(const struct peer *peer)
{
	return peer->label;
}

const struct core_limits *peer_limits(const struct peer *peer)
{
	return &peer->limits;
}
