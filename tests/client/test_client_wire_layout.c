/* SPDX-License-Identifier: MIT */
/*
 * The layouts of the client socket's messages: what a program in another language relies on.
 * Holds at compile time.
 */
#include <stddef.h>

#include "bufshare_client_protocol.h"

#define SIZE(type, bytes) _Static_assert(sizeof(struct bufshare_msg_##type) == (bytes), #type)
#define AT(type, field, bytes) \
	_Static_assert(offsetof(struct bufshare_msg_##type, field) == (bytes), #type)

SIZE(hdr, 16);
AT(hdr, serial, 4);
AT(hdr, status, 8);
AT(hdr, num_fds, 12);
SIZE(error, 272);

SIZE(hello, 88);
AT(hello, features, 16);
AT(hello, name, 24);
SIZE(hello_reply, 32);
AT(hello_reply, paths, 24);
AT(hello_reply, max_holds, 28);

SIZE(list, 24);
SIZE(list_reply, 32);
AT(list_reply, count, 24);
SIZE(buffer_info, 200);
AT(buffer_info, owner, 16);
AT(buffer_info, size, 80);
AT(buffer_info, num_extents, 88);
AT(buffer_info, state, 92);
AT(buffer_info, users, 96);
AT(buffer_info, desc, 104);
SIZE(stream_info, 152);
AT(stream_info, name, 64);
AT(stream_info, listeners, 128);
AT(stream_info, published, 136);
AT(stream_info, sequence, 144);

SIZE(stats_reply, 128);
AT(stats_reply, bytes_shared, 48);
AT(stats_reply, control_bytes, 120);

SIZE(watch, 24);
SIZE(event_buffer_added, 216);
SIZE(event_buffer_removed, 40);
AT(event_buffer_removed, reason, 32);
SIZE(event_stream, 168);

SIZE(buffer_get, 40);
AT(buffer_get, access, 32);
AT(buffer_get, paths, 36);
SIZE(buffer_get_reply, 224);
AT(buffer_get_reply, access, 20);
AT(buffer_get_reply, info, 24);
SIZE(buffer_extents, 40);
AT(buffer_extents, first, 32);
SIZE(extent, 24);
AT(extent, fd_index, 16);
SIZE(buffer_extents_reply, 24);
SIZE(buffer_put, 32);

SIZE(stream_join, 152);
AT(stream_join, name, 80);
AT(stream_join, mode, 144);
SIZE(stream_join_reply, 24);
SIZE(stream_leave, 24);
SIZE(event_frame, 72);
AT(event_frame, clock, 20);
AT(event_frame, uuid, 24);
AT(event_frame, sequence, 40);
AT(event_frame, received, 56);
AT(event_frame, flags, 64);
SIZE(frame_release, 32);
AT(frame_release, sequence, 24);
SIZE(event_stream_ended, 24);

_Static_assert(BUFSHARE_MSG_MAX == 65536 && BUFSHARE_MSG_MAX_FDS == 16, "limits of a packet");
_Static_assert(BUFSHARE_MSG_EVENT_RESYNC == 134 && BUFSHARE_MSG_FRAME_RELEASE == 34, "numbers");
