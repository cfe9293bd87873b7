/* SPDX-License-Identifier: MIT */
/* From the wire to the library's structures; nothing is taken that was not looked at. */
#include "internal.h"

#include <endian.h>
#include <string.h>

static bool decode_name(const char *name, char ret_name[BUFSHARE_LABEL_SIZE])
{
	const char *end = memchr(name, '\0', BUFSHARE_LABEL_SIZE);

	if (end == NULL)
		return false;
	/* Programs print names to terminals. */
	for (const char *c = name; c < end; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	memset(ret_name, 0, BUFSHARE_LABEL_SIZE);
	memcpy(ret_name, name, (size_t)(end - name));
	return true;
}

bool decode_buffer(const struct bufshare_msg_buffer_info *msg,
		   struct bufshare_buffer_info *ret_info)
{
	const struct virtio_bufshare_desc *desc = &msg->desc;
	struct bufshare_buffer_info info = {
		.size = le64toh(msg->size),
		.num_extents = le32toh(msg->num_extents),
		.state = le32toh(msg->state),
		.users = le32toh(msg->users),
		.user_len = le32toh(desc->user_len),
		.image = {
			.width = le32toh(desc->width),
			.height = le32toh(desc->height),
			.fourcc = le32toh(desc->fourcc),
			.num_planes = le32toh(desc->num_planes),
			.modifier = le64toh(desc->modifier),
			.color_primaries = desc->color_primaries,
			.transfer = desc->transfer,
			.matrix = desc->matrix,
			.range = desc->range,
		},
	};

	for (unsigned int i = 0; i < BUFSHARE_MAX_PLANES; i++) {
		info.image.planes[i].offset = le64toh(desc->planes[i].offset);
		info.image.planes[i].stride = le32toh(desc->planes[i].stride);
	}
	if (info.size == 0 || info.size > SIZE_MAX / 2 ||
	    info.image.num_planes > BUFSHARE_MAX_PLANES || info.user_len > BUFSHARE_MAX_USER_LEN ||
	    info.state < BUFSHARE_STATE_FILLING || info.state > BUFSHARE_STATE_DETACHED)
		return false;
	memcpy(info.uuid, msg->uuid, sizeof(info.uuid));
	if (!decode_name(msg->owner, info.owner))
		return false;
	*ret_info = info;
	return true;
}

bool decode_stream(const struct bufshare_msg_stream_info *msg,
		   struct bufshare_stream_info *ret_info)
{
	struct bufshare_stream_info info = {
		.listeners = le32toh(msg->listeners),
		.in_flight = le32toh(msg->in_flight),
		.published = le64toh(msg->published),
		.sequence = le64toh(msg->sequence),
	};

	if (!decode_name(msg->owner, info.owner) || !decode_name(msg->name, info.name))
		return false;
	*ret_info = info;
	return true;
}

static void decode_frame(const struct bufshare_msg_event_frame *msg, struct bufshare_ev *event)
{
	event->type = BUFSHARE_EV_FRAME;
	event->consumer_id = le32toh(msg->consumer_id);
	event->clock = le32toh(msg->clock);
	event->sequence = le64toh(msg->sequence);
	event->timestamp = le64toh(msg->timestamp);
	event->received = le64toh(msg->received);
	memcpy(event->uuid, msg->uuid, sizeof(event->uuid));
}

static size_t event_len(uint32_t type)
{
	switch (type) {
	case BUFSHARE_MSG_EVENT_BUFFER_ADDED:
		return sizeof(struct bufshare_msg_event_buffer_added);
	case BUFSHARE_MSG_EVENT_BUFFER_REMOVED:
		return sizeof(struct bufshare_msg_event_buffer_removed);
	case BUFSHARE_MSG_EVENT_STREAM_ADDED:
	case BUFSHARE_MSG_EVENT_STREAM_REMOVED:
		return sizeof(struct bufshare_msg_event_stream);
	case BUFSHARE_MSG_EVENT_FRAME:
		return sizeof(struct bufshare_msg_event_frame);
	case BUFSHARE_MSG_EVENT_STREAM_ENDED:
		return sizeof(struct bufshare_msg_event_stream_ended);
	case BUFSHARE_MSG_EVENT_RESYNC:
		return sizeof(struct bufshare_msg_hdr);
	default:
		return 0;
	}
}

bool decode_event(const void *data, size_t len, struct bufshare_ev *ret_event)
{
	const struct bufshare_msg_event_buffer_added *added = data;
	const struct bufshare_msg_event_buffer_removed *removed = data;
	const struct bufshare_msg_event_stream *stream = data;
	const struct bufshare_msg_event_stream_ended *ended = data;
	struct bufshare_msg_hdr hdr;
	struct bufshare_ev event = { 0 };

	memcpy(&hdr, data, sizeof(hdr));
	if (hdr.status != 0 || len != event_len(le32toh(hdr.type)))
		return false;
	switch (le32toh(hdr.type)) {
	case BUFSHARE_MSG_EVENT_BUFFER_ADDED:
		event.type = BUFSHARE_EV_BUFFER_ADDED;
		if (!decode_buffer(&added->info, &event.buffer))
			return false;
		memcpy(event.uuid, event.buffer.uuid, sizeof(event.uuid));
		break;
	case BUFSHARE_MSG_EVENT_BUFFER_REMOVED:
		event.type = BUFSHARE_EV_BUFFER_REMOVED;
		event.reason = le32toh(removed->reason);
		memcpy(event.uuid, removed->uuid, sizeof(event.uuid));
		break;
	case BUFSHARE_MSG_EVENT_STREAM_ADDED:
	case BUFSHARE_MSG_EVENT_STREAM_REMOVED:
		event.type = le32toh(hdr.type) == BUFSHARE_MSG_EVENT_STREAM_ADDED
				     ? BUFSHARE_EV_STREAM_ADDED
				     : BUFSHARE_EV_STREAM_REMOVED;
		if (!decode_stream(&stream->info, &event.stream))
			return false;
		break;
	case BUFSHARE_MSG_EVENT_FRAME:
		decode_frame(data, &event);
		break;
	case BUFSHARE_MSG_EVENT_STREAM_ENDED:
		event.type = BUFSHARE_EV_STREAM_ENDED;
		event.consumer_id = le32toh(ended->consumer_id);
		event.reason = le32toh(ended->reason);
		break;
	default:
		event.type = BUFSHARE_EV_RESYNC;
		break;
	}
	*ret_event = event;
	return true;
}
