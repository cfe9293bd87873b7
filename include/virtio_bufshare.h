/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-bufshare: the wire format between a guest driver and the device.
 *
 * This header is the C form of the chapter in virtio-spec/; a test holds the two
 * against each other.  The guest driver and the host daemon both include it, and
 * nothing else is shared between them.
 *
 * Everything is little-endian and naturally aligned.  A request is one
 * descriptor chain on the control queue: a device-readable part that starts with
 * struct virtio_bufshare_req_hdr, then a device-writable part that receives
 * struct virtio_bufshare_resp_hdr and what follows it.  Every request gets a
 * response.  Flags, reserved fields and request types that the device does not
 * know are refused, never ignored: that is what lets a later feature bit give
 * them a meaning.
 */
#ifndef VIRTIO_BUFSHARE_H
#define VIRTIO_BUFSHARE_H

#include <linux/types.h>

/* The ID that Linux and QEMU list as "dmabuf"; no specified device uses it. */
#define VIRTIO_ID_BUFSHARE 37

/* Device feature bits (0..23 are the device's own). */
#define VIRTIO_BUFSHARE_F_STREAM 0 /* STREAM_* requests and events */

/* Virtqueues. */
#define VIRTIO_BUFSHARE_VQ_CONTROL 0
#define VIRTIO_BUFSHARE_VQ_EVENT   1
#define VIRTIO_BUFSHARE_NUM_VQS    2

#define VIRTIO_BUFSHARE_UUID_SIZE    16
#define VIRTIO_BUFSHARE_LABEL_SIZE   64 /* label or name, NUL included */
#define VIRTIO_BUFSHARE_MAX_PLANES   4
#define VIRTIO_BUFSHARE_MAX_USER_LEN 1024 /* bytes of the user's own data */
#define VIRTIO_BUFSHARE_MAX_FRAMES   64	  /* in flight on one stream */
#define VIRTIO_BUFSHARE_EVENT_SPACE  64	  /* least size of an event buffer */

/* Device configuration space; read-only for the driver. */
struct virtio_bufshare_config {
	__le32 extent_align; /* bytes; a power of two, at least 4096 */
	__le32 max_request;  /* bytes in the device-readable part of a request */
	__le32 max_buffers;  /* per driver */
	__le32 max_extents;  /* per driver, over all its buffers */
	__le64 max_bytes;    /* per driver, over all its buffers */
	__le32 max_streams;  /* per driver */
	__le32 max_frames;   /* in flight on one stream */
	__u8 reserved[32];
};

enum virtio_bufshare_req_type {
	/* First request after DRIVER_OK: forget all that an earlier driver left. */
	VIRTIO_BUFSHARE_REQ_START = 0x0100,

	VIRTIO_BUFSHARE_REQ_BUFFER_CREATE = 0x0200,
	VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS = 0x0201,
	VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY = 0x0202,
	VIRTIO_BUFSHARE_REQ_BUFFER_QUERY = 0x0203,

	/* VIRTIO_BUFSHARE_F_STREAM */
	VIRTIO_BUFSHARE_REQ_STREAM_CREATE = 0x0300,
	VIRTIO_BUFSHARE_REQ_STREAM_DESTROY = 0x0301,
	VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH = 0x0302,
	VIRTIO_BUFSHARE_REQ_STREAM_QUERY = 0x0303,
};

enum virtio_bufshare_event_type {
	/* A destroyed buffer has no user left: its pages may be unpinned. */
	VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE = 0x8000,
	/* Events were lost: ask for the state with *_QUERY. */
	VIRTIO_BUFSHARE_EVENT_RESYNC = 0x8001,
	/* VIRTIO_BUFSHARE_F_STREAM: the last consumer gave a frame back. */
	VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED = 0x8100,
	/* VIRTIO_BUFSHARE_F_STREAM: the number of consumers changed. */
	VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS = 0x8101,
};

enum virtio_bufshare_status {
	VIRTIO_BUFSHARE_S_OK = 0,
	VIRTIO_BUFSHARE_S_UNSUPPORTED = 1, /* unknown request type */
	VIRTIO_BUFSHARE_S_INVALID = 2,	   /* length, flag, reserved field or value */
	VIRTIO_BUFSHARE_S_SHORT_REPLY = 3, /* no room for the response */
	VIRTIO_BUFSHARE_S_STATE = 4,	   /* not in this state: no START yet, ... */
	VIRTIO_BUFSHARE_S_NOT_FOUND = 5,   /* no such buffer or stream of yours */
	VIRTIO_BUFSHARE_S_BAD_EXTENT = 6,  /* unaligned, empty, or the sum is wrong */
	VIRTIO_BUFSHARE_S_NOT_RAM = 7,	   /* an address that is not guest RAM */
	VIRTIO_BUFSHARE_S_LIMIT = 8,	   /* a quota is reached */
	VIRTIO_BUFSHARE_S_NO_MEMORY = 9,   /* the device is out of memory */
	VIRTIO_BUFSHARE_S_EXISTS = 10,	   /* the name is in use */
	VIRTIO_BUFSHARE_S_BUSY = 11,	   /* the buffer is in flight already */
};

struct virtio_bufshare_req_hdr {
	__le32 type;
	__le32 flags; /* none defined: 0 */
};

struct virtio_bufshare_resp_hdr {
	__le32 status;
	__le32 reserved;
};

/* A piece of guest memory, as device addresses: aligned to extent_align. */
struct virtio_bufshare_extent {
	__le64 addr;
	__le64 len;
};

struct virtio_bufshare_plane {
	__le64 offset; /* bytes from the start of the buffer */
	__le32 stride; /* bytes */
	__le32 reserved;
};

/*
 * What the bytes mean.  fourcc 0 is a buffer without a picture: then all of this
 * but user_len is 0.  fourcc and modifier are those of drm_fourcc.h.  Colour is in
 * the code points of ITU-T H.273; 2 is "unspecified" in each of the first three,
 * and so is 0.
 */
struct virtio_bufshare_desc {
	__le32 width;  /* pixels */
	__le32 height; /* pixels */
	__le32 fourcc;
	__le32 num_planes;
	__le64 modifier;
	struct virtio_bufshare_plane planes[VIRTIO_BUFSHARE_MAX_PLANES];
	__u8 color_primaries;
	__u8 transfer;
	__u8 matrix;
	__u8 range;	 /* 0 unspecified, 1 limited, 2 full */
	__le32 user_len; /* bytes of user data, at most MAX_USER_LEN */
};

struct virtio_bufshare_start {
	struct virtio_bufshare_req_hdr hdr;
};

struct virtio_bufshare_start_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__u8 label[VIRTIO_BUFSHARE_LABEL_SIZE]; /* the host's name for this guest */
};

/*
 * Followed by user_len bytes of user data, zero padding to a multiple of 8, then
 * num_inline extents.  With num_inline == num_extents the buffer is live when the
 * response arrives; otherwise BUFFER_ADD_EXTENTS brings the rest, in order.
 */
struct virtio_bufshare_buffer_create {
	struct virtio_bufshare_req_hdr hdr;
	__le64 size;	    /* bytes; the sum of all extents */
	__le32 num_extents; /* in the whole buffer, at least 1 */
	__le32 num_inline;  /* in this request */
	struct virtio_bufshare_desc desc;
};

struct virtio_bufshare_buffer_create_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE]; /* RFC 9562 version 4, network order */
};

/* Followed by count extents.  The last of them makes the buffer live. */
struct virtio_bufshare_buffer_add_extents {
	struct virtio_bufshare_req_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le32 first; /* index of the first extent here: the number sent so far */
	__le32 count;
};

/* BUFFER_DESTROY, BUFFER_QUERY */
struct virtio_bufshare_buffer_ref {
	struct virtio_bufshare_req_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
};

enum virtio_bufshare_buffer_state {
	VIRTIO_BUFSHARE_BUFFER_FILLING = 1,  /* extents are missing */
	VIRTIO_BUFSHARE_BUFFER_LIVE = 2,
	VIRTIO_BUFSHARE_BUFFER_DETACHED = 3, /* destroyed, still in use */
};

/*
 * users counts those who may still touch the pages.  After BUFFER_DESTROY, 0 means
 * that the buffer is gone and no event will follow; otherwise EVENT_BUFFER_IDLE
 * tells when it is.
 */
struct virtio_bufshare_buffer_state_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__le32 state; /* after BUFFER_DESTROY with no users: 0 */
	__le32 users;
};

struct virtio_bufshare_stream_create {
	struct virtio_bufshare_req_hdr hdr;
	__u8 name[VIRTIO_BUFSHARE_LABEL_SIZE]; /* [A-Za-z0-9._-]+, NUL-padded */
	__le32 max_frames;		       /* in flight: 1 .. config max_frames */
	__le32 reserved;
};

struct virtio_bufshare_stream_create_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__le32 stream_id; /* never 0 */
	__le32 reserved;
};

/* STREAM_DESTROY, STREAM_QUERY */
struct virtio_bufshare_stream_ref {
	struct virtio_bufshare_req_hdr hdr;
	__le32 stream_id;
	__le32 reserved;
};

enum virtio_bufshare_clock {
	VIRTIO_BUFSHARE_CLOCK_NONE = 0,	     /* timestamp is 0 */
	VIRTIO_BUFSHARE_CLOCK_MONOTONIC = 1, /* the producer's CLOCK_MONOTONIC */
	VIRTIO_BUFSHARE_CLOCK_REALTIME = 2,
	VIRTIO_BUFSHARE_CLOCK_TAI = 3,
};

struct virtio_bufshare_stream_publish {
	struct virtio_bufshare_req_hdr hdr;
	__le32 stream_id;
	__le32 clock; /* enum virtio_bufshare_clock */
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le64 sequence;  /* larger than that of the frame before */
	__le64 timestamp; /* ns */
};

struct virtio_bufshare_stream_publish_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__le32 listeners; /* consumers that this frame went to; 0: released at once */
	__le32 in_flight; /* frames of this stream not yet released */
};

/* Followed by num_frames le64: the sequence numbers in flight, ascending. */
struct virtio_bufshare_stream_query_resp {
	struct virtio_bufshare_resp_hdr hdr;
	__le32 listeners;
	__le32 num_frames;
};

/*
 * What the device writes into a buffer of the event queue.  The driver posts
 * buffers of at least VIRTIO_BUFSHARE_EVENT_SPACE bytes.  Fields that a type
 * does not use are 0.
 */
struct virtio_bufshare_event {
	__le32 type;
	__le32 stream_id;		      /* FRAME_RELEASED, STREAM_LISTENERS */
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE]; /* BUFFER_IDLE, FRAME_RELEASED */
	__le64 sequence;		      /* FRAME_RELEASED */
	__le32 listeners;		      /* STREAM_LISTENERS */
	__le32 reserved;
};

#endif /* VIRTIO_BUFSHARE_H */
