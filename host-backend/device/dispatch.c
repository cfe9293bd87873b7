/* SPDX-License-Identifier: MIT */
/* Every request passes here: what holds for all of them is checked once. */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct request {
	uint32_t type;
	uint32_t feature; /* that it needs, as a bit mask */
	size_t len;	  /* of the request: exactly, or at least if @more */
	size_t resp_len;
	bool more;
	bool any_time; /* also before START */
	request_fn *fn;
};

#define STREAM (1U << VIRTIO_BUFSHARE_F_STREAM)

static const struct request requests[] = {
	{
		.type = VIRTIO_BUFSHARE_REQ_START,
		.len = sizeof(struct virtio_bufshare_start),
		.resp_len = sizeof(struct virtio_bufshare_start_resp),
		.any_time = true,
		.fn = request_start,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_BUFFER_CREATE,
		.len = sizeof(struct virtio_bufshare_buffer_create),
		.more = true,
		.resp_len = sizeof(struct virtio_bufshare_buffer_create_resp),
		.fn = request_buffer_create,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS,
		.len = sizeof(struct virtio_bufshare_buffer_add_extents),
		.more = true,
		.resp_len = sizeof(struct virtio_bufshare_resp_hdr),
		.fn = request_buffer_add_extents,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY,
		.len = sizeof(struct virtio_bufshare_buffer_ref),
		.resp_len = sizeof(struct virtio_bufshare_buffer_state_resp),
		.fn = request_buffer_destroy,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_BUFFER_QUERY,
		.len = sizeof(struct virtio_bufshare_buffer_ref),
		.resp_len = sizeof(struct virtio_bufshare_buffer_state_resp),
		.fn = request_buffer_query,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_STREAM_CREATE,
		.feature = STREAM,
		.len = sizeof(struct virtio_bufshare_stream_create),
		.resp_len = sizeof(struct virtio_bufshare_stream_create_resp),
		.fn = request_stream_create,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_STREAM_DESTROY,
		.feature = STREAM,
		.len = sizeof(struct virtio_bufshare_stream_ref),
		.resp_len = sizeof(struct virtio_bufshare_resp_hdr),
		.fn = request_stream_destroy,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH,
		.feature = STREAM,
		.len = sizeof(struct virtio_bufshare_stream_publish),
		.resp_len = sizeof(struct virtio_bufshare_stream_publish_resp),
		.fn = request_stream_publish,
	},
	{
		.type = VIRTIO_BUFSHARE_REQ_STREAM_QUERY,
		.feature = STREAM,
		.len = sizeof(struct virtio_bufshare_stream_ref),
		.resp_len = sizeof(struct virtio_bufshare_stream_query_resp),
		.fn = request_stream_query,
	},
};

static const struct request *find_request(const struct device *device, uint32_t type)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct request *request = &requests[i];

		if (request->type == type)
			return (request->feature & ~device->features) ? NULL : request;
	}
	return NULL;
}

static enum virtio_bufshare_status status_of(int error)
{
	switch (error) {
	case 0:
		return VIRTIO_BUFSHARE_S_OK;
	case -EOPNOTSUPP:
		return VIRTIO_BUFSHARE_S_UNSUPPORTED;
	case -EINVAL:
		return VIRTIO_BUFSHARE_S_INVALID;
	case -EMSGSIZE:
		return VIRTIO_BUFSHARE_S_SHORT_REPLY;
	case -EPERM:
		return VIRTIO_BUFSHARE_S_STATE;
	case -ENOENT:
		return VIRTIO_BUFSHARE_S_NOT_FOUND;
	case -EBADMSG:
		return VIRTIO_BUFSHARE_S_BAD_EXTENT;
	case -EFAULT:
		return VIRTIO_BUFSHARE_S_NOT_RAM;
	case -EDQUOT:
		return VIRTIO_BUFSHARE_S_LIMIT;
	case -EEXIST:
		return VIRTIO_BUFSHARE_S_EXISTS;
	case -EBUSY:
		return VIRTIO_BUFSHARE_S_BUSY;
	default: /* memory, file descriptors: what the host has run out of */
		return VIRTIO_BUFSHARE_S_NO_MEMORY;
	}
}

static int dispatch(struct device *device, struct exchange *x)
{
	const struct virtio_bufshare_req_hdr *hdr = x->req;
	const struct request *request;

	if (x->req_len < sizeof(*hdr))
		return -EINVAL;
	request = find_request(device, le32toh(hdr->type));
	if (!request)
		return -EOPNOTSUPP;
	if (hdr->flags || x->req_len < request->len ||
	    (!request->more && x->req_len > request->len))
		return -EINVAL;
	if (x->resp_cap < request->resp_len)
		return -EMSGSIZE;
	if (!request->any_time) {
		if (!device->active)
			return -EPERM;
		if (device->undecided)
			device_resume(device);
	}
	memset(x->resp, 0, request->resp_len);
	x->resp_len = request->resp_len;
	return request->fn(device, x);
}

size_t device_request(void *dev, unsigned int queue, const void *req, size_t req_len, void *resp,
		      size_t resp_cap)
{
	struct device *device = dev;
	struct virtio_bufshare_resp_hdr *hdr = resp;
	struct exchange x = {
		.req = req,
		.req_len = req_len,
		.resp = resp,
		.resp_cap = resp_cap,
	};
	int ret;

	(void)queue; /* there is but one with requests */
	device->stats->requests++;
	if (resp_cap < sizeof(*hdr)) {
		/* Not even room for the status. */
		device->stats->request_errors++;
		return 0;
	}
	ret = dispatch(device, &x);
	if (ret < 0) {
		device->stats->request_errors++;
		log_peer(device->log, LOG_LEVEL_DEBUG, "a request of %zu bytes: status %u (%s)",
			 req_len, status_of(ret), strerror(-ret));
		memset(resp, 0, sizeof(*hdr));
		x.resp_len = sizeof(*hdr);
	}
	hdr->status = htole32(status_of(ret));
	device_count_bytes(device);
	return x.resp_len;
}
