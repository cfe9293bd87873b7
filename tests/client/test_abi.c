/* SPDX-License-Identifier: MIT */
/*
 * What libbufshare.so.0 promises (bufshare.h): no structure changes its size or the place of a
 * field.  Holds at compile time; a number in here changes with the SONAME only.
 */
#include <stddef.h>

#include <bufshare/bufshare.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define AT(type, field, bytes) _Static_assert(offsetof(struct type, field) == (bytes), #type)

SIZE(bufshare_image_plane, 16);
SIZE(bufshare_image, 112);
AT(bufshare_image, modifier, 16);
AT(bufshare_image, planes, 24);
AT(bufshare_image, color_primaries, 88);
AT(bufshare_image, reserved, 92);

SIZE(bufshare_buffer_info, 256);
AT(bufshare_buffer_info, size, 80);
AT(bufshare_buffer_info, user_len, 104);
AT(bufshare_buffer_info, reserved, 108);
AT(bufshare_buffer_info, image, 144);

SIZE(bufshare_stream_info, 192);
AT(bufshare_stream_info, listeners, 128);
AT(bufshare_stream_info, sequence, 144);
AT(bufshare_stream_info, reserved, 152);

SIZE(bufshare_range, 24);
AT(bufshare_range, fd_index, 16);

SIZE(bufshare_stats, 256);
AT(bufshare_stats, control_bytes, 104);
AT(bufshare_stats, reserved, 112);

SIZE(bufshare_limits, 128);
AT(bufshare_limits, max_bytes, 64);
AT(bufshare_limits, max_frames, 84);
AT(bufshare_limits, reserved, 88);

SIZE(bufshare_ev, 576);
AT(bufshare_ev, uuid, 24);
AT(bufshare_ev, received, 56);
AT(bufshare_ev, reserved, 64);
AT(bufshare_ev, buffer, 128);
AT(bufshare_ev, stream, 384);

SIZE(bufshare_exported, 48);
AT(bufshare_exported, num_extents, 24);

SIZE(bufshare_frame, 64);
AT(bufshare_frame, sequence, 16);
AT(bufshare_frame, clock, 32);
AT(bufshare_frame, reserved, 36);
