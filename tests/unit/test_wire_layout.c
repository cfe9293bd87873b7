/* SPDX-License-Identifier: MIT */
/*
 * The layouts of the two wire headers and of the guest node's interface, held at
 * compile time: when one of them moves, this file does not build.
 *
 * The numbers are written out once more here, so that an edit of a header that
 * changes what travels between two machines cannot go unseen.
 */
#include <stddef.h>

#include <linux/types.h>

#include <linux/ioctl.h>

/* Padding is a hole through which the sender's old memory leaks: none, anywhere. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#include "bufshare_client_protocol.h"
#include "linux/bufshare.h"
#include "virtio_bufshare.h"
#pragma GCC diagnostic pop

/*
 * A multiple of 8: what follows a struct on the wire is then aligned, and a 32-bit
 * compiler, which aligns __le64 to 4, gives it the same size as a 64-bit one.
 */
#define SIZE(type, size)                                                                           \
	_Static_assert(sizeof(type) == (size), #type " is not " #size " bytes");                   \
	_Static_assert((size) % 8 == 0, #type " is not a multiple of 8")

#define FIELD(type, field, offset)                                                                 \
	_Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")

#define SAME(a, b) _Static_assert((a) == (b), #a " and " #b " differ")

/* ---- guest and device ---- */

SIZE(struct virtio_bufshare_config, 64);
SIZE(struct virtio_bufshare_req_hdr, 8);
SIZE(struct virtio_bufshare_resp_hdr, 8);
SIZE(struct virtio_bufshare_extent, 16);
SIZE(struct virtio_bufshare_plane, 16);
SIZE(struct virtio_bufshare_desc, 96);
SIZE(struct virtio_bufshare_start, 8);
SIZE(struct virtio_bufshare_start_resp, 72);
SIZE(struct virtio_bufshare_buffer_create, 120);
SIZE(struct virtio_bufshare_buffer_create_resp, 24);
SIZE(struct virtio_bufshare_buffer_add_extents, 32);
SIZE(struct virtio_bufshare_buffer_ref, 24);
SIZE(struct virtio_bufshare_buffer_state_resp, 16);
SIZE(struct virtio_bufshare_stream_create, 80);
SIZE(struct virtio_bufshare_stream_create_resp, 16);
SIZE(struct virtio_bufshare_stream_ref, 16);
SIZE(struct virtio_bufshare_stream_publish, 48);
SIZE(struct virtio_bufshare_stream_publish_resp, 16);
SIZE(struct virtio_bufshare_stream_query_resp, 16);
SIZE(struct virtio_bufshare_event, 40);

FIELD(struct virtio_bufshare_config, max_bytes, 16);
FIELD(struct virtio_bufshare_config, reserved, 32);
FIELD(struct virtio_bufshare_desc, planes, 24);
FIELD(struct virtio_bufshare_desc, user_len, 92);
FIELD(struct virtio_bufshare_buffer_create, desc, 24);
FIELD(struct virtio_bufshare_stream_publish, uuid, 16);
FIELD(struct virtio_bufshare_stream_publish, sequence, 32);
FIELD(struct virtio_bufshare_event, uuid, 8);
FIELD(struct virtio_bufshare_event, sequence, 24);

_Static_assert(sizeof(struct virtio_bufshare_event) <= VIRTIO_BUFSHARE_EVENT_SPACE,
	       "an event does not fit the least event buffer");

/* ---- client and daemon ---- */

SIZE(struct bufshare_msg_hdr, 16);
SIZE(struct bufshare_msg_error, 272);
SIZE(struct bufshare_msg_hello, 88);
SIZE(struct bufshare_msg_hello_reply, 32);
SIZE(struct bufshare_msg_list, 24);
SIZE(struct bufshare_msg_buffer_info, 200);
SIZE(struct bufshare_msg_stream_info, 152);
SIZE(struct bufshare_msg_list_reply, 32);
SIZE(struct bufshare_msg_stats_reply, 128);
SIZE(struct bufshare_msg_watch, 24);
SIZE(struct bufshare_msg_event_buffer_added, 216);
SIZE(struct bufshare_msg_event_buffer_removed, 40);
SIZE(struct bufshare_msg_event_stream, 168);
SIZE(struct bufshare_msg_buffer_get, 40);
SIZE(struct bufshare_msg_buffer_get_reply, 224);
SIZE(struct bufshare_msg_buffer_extents, 40);
SIZE(struct bufshare_msg_extent, 24);
SIZE(struct bufshare_msg_buffer_extents_reply, 24);
SIZE(struct bufshare_msg_buffer_put, 32);
SIZE(struct bufshare_msg_stream_join, 152);
SIZE(struct bufshare_msg_stream_join_reply, 24);
SIZE(struct bufshare_msg_stream_leave, 24);
SIZE(struct bufshare_msg_event_frame, 72);
SIZE(struct bufshare_msg_frame_release, 32);
SIZE(struct bufshare_msg_event_stream_ended, 24);

FIELD(struct bufshare_msg_buffer_info, desc, 104);
FIELD(struct bufshare_msg_event_frame, uuid, 24);
FIELD(struct bufshare_msg_event_frame, received, 56);

_Static_assert(sizeof(struct bufshare_msg_buffer_get_reply) + VIRTIO_BUFSHARE_MAX_USER_LEN <=
		       BUFSHARE_MSG_MAX,
	       "a description does not fit one message");

/* ---- a guest's program and its driver ---- */

SIZE(struct bufshare_info, 128);
SIZE(struct bufshare_desc, 96);
SIZE(struct bufshare_export, 152);
SIZE(struct bufshare_unexport, 24);
SIZE(struct bufshare_next_buffer, 160);
SIZE(struct bufshare_extent, 16);
SIZE(struct bufshare_extents, 40);
SIZE(struct bufshare_stream_create, 80);
SIZE(struct bufshare_stream_destroy, 8);
SIZE(struct bufshare_publish, 48);
SIZE(struct bufshare_event, 40);

/* What the driver passes through has one meaning on both of its sides. */
SAME(BUFSHARE_UUID_SIZE, VIRTIO_BUFSHARE_UUID_SIZE);
SAME(BUFSHARE_LABEL_SIZE, VIRTIO_BUFSHARE_LABEL_SIZE);
SAME(BUFSHARE_MAX_PLANES, VIRTIO_BUFSHARE_MAX_PLANES);
SAME(BUFSHARE_MAX_USER_LEN, VIRTIO_BUFSHARE_MAX_USER_LEN);
SAME((int)BUFSHARE_CLOCK_NONE, (int)VIRTIO_BUFSHARE_CLOCK_NONE);
SAME((int)BUFSHARE_CLOCK_MONOTONIC, (int)VIRTIO_BUFSHARE_CLOCK_MONOTONIC);
SAME((int)BUFSHARE_CLOCK_REALTIME, (int)VIRTIO_BUFSHARE_CLOCK_REALTIME);
SAME((int)BUFSHARE_CLOCK_TAI, (int)VIRTIO_BUFSHARE_CLOCK_TAI);
SAME(offsetof(struct bufshare_desc, planes), offsetof(struct virtio_bufshare_desc, planes));
SAME(offsetof(struct bufshare_desc, range), offsetof(struct virtio_bufshare_desc, range));
