/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <time.h>

int request_stream_create(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_stream_create *create = x->req;
	struct virtio_bufshare_stream_create_resp *r = x->resp;
	const char *name = (const char *)create->name;
	size_t len = strnlen(name, sizeof(create->name));
	struct stream *stream;
	int ret;

	if (create->reserved || len == sizeof(create->name))
		return -EINVAL;
	for (size_t i = len; i < sizeof(create->name); i++) {
		if (name[i])
			return -EINVAL;
	}
	ret = stream_create(device->peer, name, le32toh(create->max_frames), &stream);
	if (ret < 0)
		return ret;
	r->stream_id = htole32(stream_id(stream));
	return 0;
}

static int find_stream(struct device *device, const struct virtio_bufshare_stream_ref *ref,
		       struct stream **ret_stream)
{
	struct stream *stream;

	if (ref->reserved)
		return -EINVAL;
	stream = stream_find_owned(device->peer, le32toh(ref->stream_id));
	if (!stream)
		return -ENOENT;
	*ret_stream = stream;
	return 0;
}

int request_stream_destroy(struct device *device, struct exchange *x)
{
	struct stream *stream;
	int ret = find_stream(device, x->req, &stream);

	if (ret < 0)
		return ret;
	events_forget_stream(device, stream_id(stream));
	stream_destroy(stream);
	return 0;
}

int request_stream_publish(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_stream_publish *publish = x->req;
	struct virtio_bufshare_stream_publish_resp *r = x->resp;
	struct frame_info info = {
		.sequence = le64toh(publish->sequence),
		.timestamp = le64toh(publish->timestamp),
		.clock = le32toh(publish->clock),
	};
	struct stream *stream;
	struct timespec now;
	uint32_t listeners;
	int ret;

	if (info.clock > VIRTIO_BUFSHARE_CLOCK_TAI ||
	    (info.clock == VIRTIO_BUFSHARE_CLOCK_NONE && info.timestamp))
		return -EINVAL;
	stream = stream_find_owned(device->peer, le32toh(publish->stream_id));
	if (!stream)
		return -ENOENT;
	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* it cannot fail */
	info.received = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	ret = stream_publish(stream, publish->uuid, &info, &listeners);
	if (ret < 0)
		return ret;
	r->listeners = htole32(listeners);
	r->in_flight = htole32(stream_in_flight(stream));
	return 0;
}

int request_stream_query(struct device *device, struct exchange *x)
{
	struct virtio_bufshare_stream_query_resp *r = x->resp;
	uint64_t sequences[VIRTIO_BUFSHARE_MAX_FRAMES];
	__le64 *out = (__le64 *)(r + 1);
	struct stream *stream;
	uint32_t num;
	int ret = find_stream(device, x->req, &stream);

	if (ret < 0)
		return ret;
	num = stream_get_in_flight(stream, sequences);
	if (x->resp_cap < sizeof(*r) + num * sizeof(*out))
		return -EMSGSIZE;
	r->listeners = htole32(stream_listeners(stream));
	r->num_frames = htole32(num);
	for (uint32_t i = 0; i < num; i++)
		out[i] = htole64(sequences[i]);
	x->resp_len = sizeof(*r) + num * sizeof(*out);
	return 0;
}
