/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int request_start(struct device *device, struct exchange *x)
{
	struct virtio_bufshare_start_resp *r = x->resp;
	const char *label = peer_label(device->peer);

	device_drop(device);
	device->active = true;
	device_resume(device);
	memcpy(r->label, label, strlen(label));
	return 0;
}

/* Appends what the guest sent to a buffer that is still FILLING. */
static int add_extents(struct device *device, struct buffer *buffer, uint32_t first,
		       const struct virtio_bufshare_extent *extents, uint32_t count)
{
	struct extent_list list;
	uint64_t len;
	int ret;

	ret = extents_check(extents, count, &len);
	if (ret == 0)
		ret = buffer_may_add(buffer, first, count, len);
	if (ret == 0)
		ret = extent_list_init(&list, device, extents, count);
	if (ret < 0)
		return ret;
	ret = buffer_add_extents(buffer, first, count, list.extents, list.num);
	extent_list_finish(&list);
	return ret;
}

static bool padding_is_zero(const uint8_t *from, const uint8_t *to)
{
	while (from < to && !*from)
		from++;
	return from == to;
}

int request_buffer_create(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_buffer_create *create = x->req;
	struct virtio_bufshare_buffer_create_resp *r = x->resp;
	uint64_t num_extents = le32toh(create->num_extents);
	uint64_t num_inline = le32toh(create->num_inline);
	uint64_t user_len = le32toh(create->desc.user_len);
	uint64_t padded = (user_len + 7) & ~UINT64_C(7);
	const uint8_t *user = (const uint8_t *)(create + 1);
	struct buffer_spec spec = {
		.size = le64toh(create->size),
		.num_extents = (uint32_t)num_extents,
		.desc = &create->desc,
		.user = user,
	};
	struct buffer *buffer;
	uint32_t users;
	int ret;

	/* None of these sums can wrap: each number is below 2^32. */
	if (user_len > VIRTIO_BUFSHARE_MAX_USER_LEN || num_inline > num_extents ||
	    x->req_len != sizeof(*create) + padded +
			       num_inline * sizeof(struct virtio_bufshare_extent) ||
	    !padding_is_zero(user + user_len, user + padded) ||
	    spec.size % DEVICE_EXTENT_ALIGN)
		return -EINVAL;
	ret = buffer_create(device->peer, &spec, &buffer);
	if (ret < 0)
		return ret;
	if (num_inline) {
		ret = add_extents(device, buffer, 0,
				  (const struct virtio_bufshare_extent *)(user + padded),
				  (uint32_t)num_inline);
		if (ret < 0) {
			/* Nobody has heard of it yet. */
			buffer_destroy(buffer, &users);
			return ret;
		}
	}
	memcpy(r->uuid, buffer_uuid(buffer), UUID_SIZE);
	return 0;
}

int request_buffer_add_extents(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_buffer_add_extents *add = x->req;
	const struct virtio_bufshare_extent *extents = (const void *)(add + 1);
	uint64_t count = le32toh(add->count);
	struct buffer *buffer;

	if (!count || x->req_len != sizeof(*add) + count * sizeof(*extents))
		return -EINVAL;
	buffer = buffer_find_owned(device->peer, add->uuid);
	if (!buffer)
		return -ENOENT;
	if (buffer_state(buffer) != VIRTIO_BUFSHARE_BUFFER_FILLING)
		return -EPERM;
	return add_extents(device, buffer, le32toh(add->first), extents, (uint32_t)count);
}

int request_buffer_destroy(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_buffer_ref *ref = x->req;
	struct virtio_bufshare_buffer_state_resp *r = x->resp;
	struct buffer *buffer = buffer_find_owned(device->peer, ref->uuid);
	uint32_t users;

	if (!buffer)
		return -ENOENT;
	if (buffer_state(buffer) == VIRTIO_BUFSHARE_BUFFER_DETACHED)
		return -EPERM;
	buffer_destroy(buffer, &users);
	if (users) {
		r->state = htole32(VIRTIO_BUFSHARE_BUFFER_DETACHED);
		r->users = htole32(users);
	}
	return 0;
}

int request_buffer_query(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_buffer_ref *ref = x->req;
	struct virtio_bufshare_buffer_state_resp *r = x->resp;
	struct buffer *buffer = buffer_find_owned(device->peer, ref->uuid);

	if (!buffer)
		return -ENOENT;
	r->state = htole32(buffer_state(buffer));
	r->users = htole32(buffer_users(buffer));
	return 0;
}
