/* SPDX-License-Identifier: MIT */
/*
 * Buffers by UUID.
 *
 * The UUIDs are our own random numbers, so four of their bytes are a hash as good as
 * any, and no guest can choose two that collide.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bucket_of(const struct core *core, const uint8_t uuid[UUID_SIZE])
{
	uint32_t hash;

	memcpy(&hash, uuid, sizeof(hash));
	return hash & (core->num_buckets - 1);
}

struct buffer *registry_find(struct core *core, const uint8_t uuid[UUID_SIZE])
{
	struct buffer *buffer = core->buckets[bucket_of(core, uuid)];

	while (buffer && memcmp(buffer->uuid, uuid, UUID_SIZE) != 0)
		buffer = buffer->hash_next;
	return buffer;
}

static void link_buffer(struct core *core, struct buffer *buffer)
{
	struct buffer **bucket = &core->buckets[bucket_of(core, buffer->uuid)];

	buffer->hash_next = *bucket;
	*bucket = buffer;
}

/* A table that cannot grow still works, only slower. */
static void grow(struct core *core)
{
	struct buffer **old = core->buckets;
	uint32_t num_old = core->num_buckets;
	struct buffer **buckets;

	if (num_old > UINT32_MAX / 2)
		return;
	buckets = calloc((size_t)num_old * 2, sizeof(struct buffer *));
	if (!buckets)
		return;
	core->buckets = buckets;
	core->num_buckets = num_old * 2;
	for (uint32_t i = 0; i < num_old; i++) {
		while (old[i]) {
			struct buffer *buffer = old[i];

			old[i] = buffer->hash_next;
			link_buffer(core, buffer);
		}
	}
	free((void *)old);
}

int registry_add(struct core *core, struct buffer *buffer)
{
	int ret;

	do {
		ret = uuid_generate_v4(buffer->uuid);
		if (ret < 0)
			return ret;
	} while (registry_find(core, buffer->uuid));

	ret = slots_add(&core->buffers, buffer, &buffer->place);
	if (ret < 0)
		return ret;
	if (core->num_hashed == core->num_buckets)
		grow(core);
	link_buffer(core, buffer);
	core->num_hashed++;
	return 0;
}

void registry_remove(struct core *core, struct buffer *buffer)
{
	struct buffer **at = &core->buckets[bucket_of(core, buffer->uuid)];

	while (*at != buffer)
		at = &(*at)->hash_next;
	*at = buffer->hash_next;
	core->num_hashed--;
	slots_remove(&core->buffers, buffer->place);
}
