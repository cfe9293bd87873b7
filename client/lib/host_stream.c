/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int bufshare_stream_join(struct bufshare *handle, const char *owner, const char *name,
			 uint32_t *ret_consumer_id)
{
	struct bufshare_msg_stream_join msg = { .mode = htole32(BUFSHARE_JOIN_ALL_FRAMES) };
	const struct bufshare_msg_stream_join_reply *wire;
	struct reply reply;
	int error;

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "joining a stream");
	if (strlen(owner) >= sizeof(msg.owner) || strlen(name) >= sizeof(msg.name))
		return fail(handle, -EINVAL, "a name is at most %zu characters",
			    sizeof(msg.name) - 1);
	memcpy(msg.owner, owner, strlen(owner));
	memcpy(msg.name, name, strlen(name));
	error = host_request(handle, BUFSHARE_MSG_STREAM_JOIN, &msg, sizeof(msg), sizeof(*wire),
			     sizeof(*wire), 0, &reply);
	if (error < 0)
		return error;
	wire = reply.data;
	if (wire->consumer_id == 0)
		return host_fail_protocol(handle, "a consumer without a number");
	*ret_consumer_id = le32toh(wire->consumer_id);
	return 0;
}

int bufshare_stream_leave(struct bufshare *handle, uint32_t consumer_id)
{
	struct bufshare_msg_stream_leave msg = { .consumer_id = htole32(consumer_id) };

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "leaving a stream");
	return host_command(handle, BUFSHARE_MSG_STREAM_LEAVE, &msg, sizeof(msg));
}

int bufshare_frame_release(struct bufshare *handle, uint32_t consumer_id, uint64_t sequence)
{
	struct bufshare_msg_frame_release msg = {
		.consumer_id = htole32(consumer_id),
		.sequence = htole64(sequence),
	};

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "releasing a frame");
	return host_command(handle, BUFSHARE_MSG_FRAME_RELEASE, &msg, sizeof(msg));
}
