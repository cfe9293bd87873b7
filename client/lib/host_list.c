/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A list that grows by pages; both kinds of items are used through it. */
struct list {
	uint8_t *items;
	size_t num, item_size;
};

static int list_add_page(struct bufshare *handle, struct list *list, const struct reply *reply,
			 uint32_t type)
{
	const struct bufshare_msg_list_reply *msg = reply->data;
	size_t wire_size = type == BUFSHARE_MSG_LIST_BUFFERS
				   ? sizeof(struct bufshare_msg_buffer_info)
				   : sizeof(struct bufshare_msg_stream_info);
	const uint8_t *at = (const uint8_t *)(msg + 1);
	uint32_t count = le32toh(msg->count);
	uint8_t *items;

	if (count > BUFSHARE_MSG_MAX / wire_size ||
	    reply->len != sizeof(*msg) + count * wire_size || (count == 0 && msg->cursor != 0) ||
	    list->num + count > MAX_LISTED)
		return host_fail_protocol(handle, "a list that does not hold");
	if (count == 0)
		return 0;
	items = reallocarray(list->items, list->num + count, list->item_size);
	if (items == NULL)
		return fail(handle, -ENOMEM, "out of memory");
	list->items = items;
	for (uint32_t i = 0; i < count; i++, at += wire_size) {
		void *item = list->items + list->num * list->item_size;

		if (type == BUFSHARE_MSG_LIST_BUFFERS ? !decode_buffer((const void *)at, item)
						      : !decode_stream((const void *)at, item))
			return host_fail_protocol(handle, "a list whose entries do not hold");
		list->num++;
	}
	return 0;
}

static int list_all(struct bufshare *handle, uint32_t type, size_t item_size, void **ret_items,
		    size_t *ret_num)
{
	struct list list = { .item_size = item_size };
	uint64_t cursor = 0;

	do {
		struct bufshare_msg_list msg = { .cursor = htole64(cursor) };
		struct reply reply;
		int error = host_request(handle, type, &msg, sizeof(msg),
					 sizeof(struct bufshare_msg_list_reply), BUFSHARE_MSG_MAX, 0, &reply);

		if (error == 0)
			error = list_add_page(handle, &list, &reply, type);
		if (error < 0) {
			free(list.items);
			return error;
		}
		cursor = le64toh(((const struct bufshare_msg_list_reply *)reply.data)->cursor);
	} while (cursor != 0);
	*ret_items = list.items;
	*ret_num = list.num;
	return 0;
}

int host_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
		      size_t *ret_num)
{
	void *items;
	int error = list_all(handle, BUFSHARE_MSG_LIST_BUFFERS, sizeof(**ret_list), &items, ret_num);

	if (error == 0)
		*ret_list = items;
	return error;
}

int bufshare_list_streams(struct bufshare *handle, struct bufshare_stream_info **ret_list,
			  size_t *ret_num)
{
	void *items;
	int error;

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "a list of streams");
	error = list_all(handle, BUFSHARE_MSG_LIST_STREAMS, sizeof(**ret_list), &items, ret_num);
	if (error == 0)
		*ret_list = items;
	return error;
}

int bufshare_get_stats(struct bufshare *handle, struct bufshare_stats *ret_stats)
{
	struct bufshare_msg_hdr msg;
	const struct bufshare_msg_stats_reply *wire;
	struct reply reply;
	int error;

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "the daemon's counters");
	error = host_request(handle, BUFSHARE_MSG_STATS, &msg, sizeof(msg), sizeof(*wire),
			     sizeof(*wire), 0, &reply);
	if (error < 0)
		return error;
	wire = reply.data;
	*ret_stats = (struct bufshare_stats){
		.guests = le64toh(wire->guests),
		.clients = le64toh(wire->clients),
		.buffers = le64toh(wire->buffers),
		.extents = le64toh(wire->extents),
		.bytes_shared = le64toh(wire->bytes_shared),
		.streams = le64toh(wire->streams),
		.frames_published = le64toh(wire->frames_published),
		.frames_delivered = le64toh(wire->frames_delivered),
		.frames_released = le64toh(wire->frames_released),
		.requests = le64toh(wire->requests),
		.request_errors = le64toh(wire->request_errors),
		.events = le64toh(wire->events),
		.event_overflows = le64toh(wire->event_overflows),
		.control_bytes = le64toh(wire->control_bytes),
	};
	return 0;
}

int bufshare_watch(struct bufshare *handle, uint32_t what)
{
	struct bufshare_msg_watch msg = { .what = htole32(what) };

	if (handle->side != BUFSHARE_SIDE_HOST)
		return fail_side(handle, "watching");
	return host_command(handle, BUFSHARE_MSG_WATCH, &msg, sizeof(msg));
}
