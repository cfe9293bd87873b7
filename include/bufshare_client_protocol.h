/* SPDX-License-Identifier: MIT */
/*
 * The client socket: the wire format between a host program and the daemon.
 *
 * An AF_UNIX SOCK_SEQPACKET socket; one message is one packet of at most
 * BUFSHARE_MSG_MAX bytes, little-endian, naturally aligned.  The client sends
 * requests; each gets exactly one reply, of the same type and serial, in order.
 * In between the daemon sends events (serial 0).  A reply with a status other than
 * BUFSHARE_S_OK is struct bufshare_msg_error: it says why in words.  Unknown types,
 * flags, wrong lengths and non-zero reserved fields are refused.  A packet that is no
 * request at all (shorter than a header, longer than any request, serial 0, with file
 * descriptors that no type takes) ends the connection.
 *
 * HELLO comes first.  It agrees on the features (the intersection counts), so that
 * later messages and fields can be added.
 */
#ifndef BUFSHARE_CLIENT_PROTOCOL_H
#define BUFSHARE_CLIENT_PROTOCOL_H

#include <linux/types.h>

#include "virtio_bufshare.h" /* struct virtio_bufshare_desc, limits, clocks */

#define BUFSHARE_MSG_MAX     65536
#define BUFSHARE_MSG_MAX_FDS 16

/* HELLO features: none yet; bit 0 is the first that may be given a meaning. */

enum bufshare_msg_type {
	BUFSHARE_MSG_HELLO = 1,
	BUFSHARE_MSG_LIST_BUFFERS = 2,
	BUFSHARE_MSG_LIST_STREAMS = 3,
	BUFSHARE_MSG_STATS = 4,
	BUFSHARE_MSG_WATCH = 5,

	BUFSHARE_MSG_BUFFER_GET = 16,
	BUFSHARE_MSG_BUFFER_EXTENTS = 17,
	BUFSHARE_MSG_BUFFER_PUT = 18,

	BUFSHARE_MSG_STREAM_JOIN = 32,
	BUFSHARE_MSG_STREAM_LEAVE = 33,
	BUFSHARE_MSG_FRAME_RELEASE = 34,

	/* events */
	BUFSHARE_MSG_EVENT_BUFFER_ADDED = 128,
	BUFSHARE_MSG_EVENT_BUFFER_REMOVED = 129,
	BUFSHARE_MSG_EVENT_STREAM_ADDED = 130,
	BUFSHARE_MSG_EVENT_STREAM_REMOVED = 131,
	BUFSHARE_MSG_EVENT_FRAME = 132,
	BUFSHARE_MSG_EVENT_STREAM_ENDED = 133,
	BUFSHARE_MSG_EVENT_RESYNC = 134,
};

enum bufshare_msg_status {
	BUFSHARE_S_OK = 0,
	BUFSHARE_S_UNSUPPORTED = 1,   /* unknown type */
	BUFSHARE_S_INVALID = 2,	      /* length, flag, reserved field or value */
	BUFSHARE_S_STATE = 3,	      /* HELLO is missing, or came twice */
	BUFSHARE_S_NOT_FOUND = 4,     /* unknown, dead, or not for you */
	BUFSHARE_S_NOT_PERMITTED = 5, /* this client may not have memory that way */
	BUFSHARE_S_NO_PATH = 6,	      /* the host cannot make a dma-buf of it */
	BUFSHARE_S_LIMIT = 7,
	BUFSHARE_S_NO_MEMORY = 8,
	BUFSHARE_S_SUSPENDED = 9,     /* the guest is stopped or being reset */
};

struct bufshare_msg_hdr {
	__le32 type;
	__le32 serial; /* the client's choice, not 0; events have 0 */
	__le32 status; /* requests and events: 0 */
	__le32 num_fds;
};

struct bufshare_msg_error {
	struct bufshare_msg_hdr hdr;
	char text[256]; /* a sentence for a person, NUL-terminated */
};

/* ---- HELLO ---- */

struct bufshare_msg_hello {
	struct bufshare_msg_hdr hdr;
	__le64 features;
	char name[VIRTIO_BUFSHARE_LABEL_SIZE]; /* of the program; printable, not empty */
};

#define BUFSHARE_PATH_DMABUF 0x1 /* udmabuf over exactly the buffer's extents */
#define BUFSHARE_PATH_RAM    0x2 /* the guest's RAM memfd and the extents (--trust) */

struct bufshare_msg_hello_reply {
	struct bufshare_msg_hdr hdr;
	__le64 features;
	__le32 paths;	       /* BUFSHARE_PATH_*: what this client can be given to read */
	__le32 max_holds;      /* buffers this client may hold */
};

/* ---- lists: a page at a time ---- */

struct bufshare_msg_list {
	struct bufshare_msg_hdr hdr;
	__le64 cursor; /* 0 at first, then that of the reply */
};

struct bufshare_msg_buffer_info {
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	char owner[VIRTIO_BUFSHARE_LABEL_SIZE];
	__le64 size;
	__le32 num_extents; /* as the daemon holds them: the guest's may be split */
	__le32 state;	    /* enum virtio_bufshare_buffer_state */
	__le32 users;
	__le32 reserved;
	struct virtio_bufshare_desc desc;
};

struct bufshare_msg_stream_info {
	char owner[VIRTIO_BUFSHARE_LABEL_SIZE];
	char name[VIRTIO_BUFSHARE_LABEL_SIZE];
	__le32 listeners;
	__le32 in_flight;
	__le64 published; /* frames since the stream was made */
	__le64 sequence;  /* of the last frame */
};

/* Followed by count struct bufshare_msg_buffer_info or _stream_info. */
struct bufshare_msg_list_reply {
	struct bufshare_msg_hdr hdr;
	__le64 cursor; /* for the next page; 0 at the end */
	__le32 count;
	__le32 reserved;
};

/* ---- STATS: the request is a bare header ---- */

struct bufshare_msg_stats_reply {
	struct bufshare_msg_hdr hdr;
	__le64 guests;
	__le64 clients;
	__le64 buffers;
	__le64 extents;
	__le64 bytes_shared;	 /* sum of the sizes of all buffers */
	__le64 streams;
	__le64 frames_published;
	__le64 frames_delivered; /* a frame to two consumers counts two */
	__le64 frames_released;  /* frames given back to their guest */
	__le64 requests;	 /* of guests */
	__le64 request_errors;
	__le64 events;		 /* to guests */
	__le64 event_overflows;
	__le64 control_bytes;	 /* bytes copied out of and into guest memory: rings,
				    requests, responses, events; pixels are never read */
};

/* ---- WATCH: buffers and streams that come and go ---- */

#define BUFSHARE_WATCH_BUFFERS 0x1
#define BUFSHARE_WATCH_STREAMS 0x2

struct bufshare_msg_watch {
	struct bufshare_msg_hdr hdr;
	__le32 what; /* BUFSHARE_WATCH_*; replaces what was set before */
	__le32 reserved;
};

struct bufshare_msg_event_buffer_added {
	struct bufshare_msg_hdr hdr;
	struct bufshare_msg_buffer_info info;
};

enum bufshare_msg_removed_reason {
	BUFSHARE_REMOVED_DESTROYED = 1,	 /* by its owner */
	BUFSHARE_REMOVED_RESET = 2,	 /* the guest was reset or its driver left: the
					    pages are the guest's again, stop using them */
	BUFSHARE_REMOVED_OWNER_GONE = 3, /* the virtual machine ended */
};

/* Sent to watchers and, watching or not, to every holder of the buffer. */
struct bufshare_msg_event_buffer_removed {
	struct bufshare_msg_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le32 reason;
	__le32 reserved;
};

struct bufshare_msg_event_stream {
	struct bufshare_msg_hdr hdr;
	struct bufshare_msg_stream_info info;
};

/* ---- buffers ---- */

#define BUFSHARE_ACCESS_READ  0x1
#define BUFSHARE_ACCESS_WRITE 0x2

struct bufshare_msg_buffer_get {
	struct bufshare_msg_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le32 access; /* BUFSHARE_ACCESS_* */
	__le32 paths;  /* BUFSHARE_PATH_* that the client takes; the first possible
			  one in the order of their bits is used */
};

/*
 * NOT_FOUND after the owner destroyed the buffer, unless the client has a frame of it
 * (EVENT_FRAME, until FRAME_RELEASE): that can still be got.  NOT_FOUND for everybody once
 * the owner was reset or is gone.
 *
 * Comes with hdr.num_fds file descriptors: for PATH_DMABUF the dma-buf, for
 * PATH_RAM one memfd for each fd_index of the extents.  Followed by user_len bytes
 * of user data (info.desc.user_len).  The client holds the buffer until BUFFER_PUT,
 * once for each GET.
 */
struct bufshare_msg_buffer_get_reply {
	struct bufshare_msg_hdr hdr;
	__le32 path; /* BUFSHARE_PATH_* */
	__le32 access;
	struct bufshare_msg_buffer_info info;
};

/*
 * Only for a buffer that the client holds, and if it may have PATH_RAM.  NOT_FOUND also
 * once the buffer's owner was reset or is gone: the client holds it still, but where it lay
 * is known no more.
 */
struct bufshare_msg_buffer_extents {
	struct bufshare_msg_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le32 first;
	__le32 reserved;
};

struct bufshare_msg_extent {
	__le64 offset; /* in the memfd */
	__le64 len;
	__le32 fd_index;
	__le32 reserved;
};

/* Followed by count extents from index first on: as many as fit. */
struct bufshare_msg_buffer_extents_reply {
	struct bufshare_msg_hdr hdr;
	__le32 total;
	__le32 count;
};

struct bufshare_msg_buffer_put {
	struct bufshare_msg_hdr hdr;
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
};

/* ---- streams ---- */

/* Every frame, in order; the producer waits for this consumer's releases. */
#define BUFSHARE_JOIN_ALL_FRAMES 0

struct bufshare_msg_stream_join {
	struct bufshare_msg_hdr hdr;
	char owner[VIRTIO_BUFSHARE_LABEL_SIZE];
	char name[VIRTIO_BUFSHARE_LABEL_SIZE];
	__le32 mode; /* BUFSHARE_JOIN_* */
	__le32 reserved;
};

struct bufshare_msg_stream_join_reply {
	struct bufshare_msg_hdr hdr;
	__le32 consumer_id; /* of this connection; never 0 */
	__le32 reserved;
};

struct bufshare_msg_stream_leave {
	struct bufshare_msg_hdr hdr;
	__le32 consumer_id;
	__le32 reserved;
};

/* The client holds the frame, and so its buffer, until FRAME_RELEASE. */
struct bufshare_msg_event_frame {
	struct bufshare_msg_hdr hdr;
	__le32 consumer_id;
	__le32 clock;	  /* enum virtio_bufshare_clock */
	__u8 uuid[VIRTIO_BUFSHARE_UUID_SIZE];
	__le64 sequence;
	__le64 timestamp; /* ns, of the producer */
	__le64 received;  /* ns, the host's CLOCK_MONOTONIC when the daemon took it */
	__le32 flags;	  /* none defined: 0 */
	__le32 reserved;
};

struct bufshare_msg_frame_release {
	struct bufshare_msg_hdr hdr;
	__le32 consumer_id;
	__le32 reserved;
	__le64 sequence;
};

/* The producer is gone.  Frames that the client holds stay held until released. */
struct bufshare_msg_event_stream_ended {
	struct bufshare_msg_hdr hdr;
	__le32 consumer_id;
	__le32 reason; /* enum bufshare_msg_removed_reason */
};

/* EVENT_RESYNC is a bare header: watch events were lost, list anew. */

#endif /* BUFSHARE_CLIENT_PROTOCOL_H */
