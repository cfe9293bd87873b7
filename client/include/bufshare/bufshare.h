/* SPDX-License-Identifier: MIT */
/*
 * libbufshare: buffers that live in one machine and are used by another without a copy.
 *
 * One handle, two sides.  In a guest it is an open /dev/bufshareN: the program exports
 * dma-bufs and publishes frames.  On the host it is a connection to the daemon: the
 * program gets buffers by UUID and consumes streams.  A call that the side does not have
 * returns -EOPNOTSUPP.
 *
 * Conventions.  Functions return 0, or a count, or a negative errno; ret_ parameters are
 * untouched on failure.  After a failure bufshare_error_text() has a sentence for a
 * person.  Destroy and free functions accept NULL.  A handle and what belongs to it is
 * used by one thread at a time; different handles are independent.  The library starts
 * no threads, has no global state, and never touches pixels.
 *
 * What libbufshare.so.0 promises: a program built with one of its headers runs with every
 * later libbufshare.so.0.  No structure changes its size or the place of a field.  New fields
 * take the room of those called reserved, which must be 0 in what the program hands in
 * (-EINVAL otherwise) and are 0 in what it gets; 0 in a new field means what was before it.
 * New values of an enum may come, of events too: a program passes over what it does not know.
 *
 * Requests are synchronous, with a time-out (bufshare_set_timeout()).  Events that arrive
 * in the meantime are kept for bufshare_next_event(); none is lost.
 */
#ifndef BUFSHARE_BUFSHARE_H
#define BUFSHARE_BUFSHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUFSHARE_UUID_SIZE    16   /* bytes of a UUID, network order (RFC 9562) */
#define BUFSHARE_UUID_TEXT    37   /* of its text form, NUL included */
#define BUFSHARE_LABEL_SIZE   64   /* bytes of a name, NUL included */
#define BUFSHARE_MAX_PLANES   4
#define BUFSHARE_MAX_USER_LEN 1024 /* bytes of the user's own data with a buffer */

/* A DRM fourcc, as DRM_FORMAT_* of drm_fourcc.h: BUFSHARE_FOURCC('X', 'R', '2', '4'). */
#define BUFSHARE_FOURCC(a, b, c, d)                                                      \
	((uint32_t)(a) | ((uint32_t)(b) << 8) | ((uint32_t)(c) << 16) | ((uint32_t)(d) << 24))

struct bufshare;

/* ---- the handle ---- */

enum bufshare_side {
	BUFSHARE_SIDE_GUEST = 1, /* /dev/bufshareN */
	BUFSHARE_SIDE_HOST = 2,	 /* the daemon's client socket */
};

/*
 * bufshare_open() - open a device node or connect to a daemon
 * @path: a character device or a socket; NULL: $BUFSHARE, else the first of
 *        /dev/bufshare0 and /run/bufshare/client.sock that is there; a program with more
 *        rights than its user (secure_getenv(3)) does not look at $BUFSHARE
 * @ret_handle: owned by the caller; bufshare_close()
 *
 * Returns 0 or a negative errno: -ENOENT (nothing there), -ENOTTY or -ENOTSOCK (something
 * else), -EPERM (the daemon refuses this uid), -ETIMEDOUT, -EPROTO (the daemon does not
 * keep to the protocol), those of open(2) and connect(2).
 */
int bufshare_open(const char *path, struct bufshare **ret_handle);

/*
 * The same, with the words of a failure, e.g. those of a daemon that refuses this program:
 * as bufshare_error_text(), for which there is no handle then.  Of @text_size bytes at
 * @ret_text what fits is used; untouched on success.
 */
int bufshare_open_explained(const char *path, struct bufshare **ret_handle, char *ret_text,
			    size_t text_size);

/*
 * Ends everything: exports and streams of a guest's handle, holds and frames of a host's.
 * Buffer objects that are left must be put first.
 */
void bufshare_close(struct bufshare *handle);

enum bufshare_side bufshare_get_side(const struct bufshare *handle);

/*
 * For poll(2): readable (POLLIN) when bufshare_next_event() has something to say.
 * Borrowed; valid until bufshare_close().
 */
int bufshare_get_fd(const struct bufshare *handle);

/*
 * The words of the last failure of a call on @handle, without a full stop; "" when there
 * was none.  Never NULL; owned by the handle, valid until the next call on it.
 */
const char *bufshare_error_text(const struct bufshare *handle);

/*
 * How long a request to the daemon waits for its reply, in milliseconds; -1: for ever.  10 s
 * at first, which also bound each step of bufshare_open().  After a time-out the connection is useless: every call returns -ENOTCONN.
 */
void bufshare_set_timeout(struct bufshare *handle, int milliseconds);

/* ---- what a buffer is ---- */

struct bufshare_image_plane {
	uint64_t offset; /* bytes from the start of the buffer */
	uint32_t stride; /* bytes from one row to the next */
	uint32_t reserved;
};

/*
 * What the bytes of a buffer mean.  fourcc 0: no picture, and all else is 0.  Colour is in
 * the code points of ITU-T H.273; 0 and 2 mean unspecified.
 */
struct bufshare_image {
	uint32_t width;	   /* pixels */
	uint32_t height;   /* pixels */
	uint32_t fourcc;   /* DRM_FORMAT_* */
	uint32_t num_planes;
	uint64_t modifier; /* DRM_FORMAT_MOD_*; 0: linear */
	struct bufshare_image_plane planes[BUFSHARE_MAX_PLANES];
	uint8_t color_primaries;
	uint8_t transfer;
	uint8_t matrix;
	uint8_t range; /* 0: unspecified, 1: limited, 2: full */
	uint32_t reserved[5];
};

/*
 * bufshare_image_check() - whether an image lies inside a buffer of @size bytes
 *
 * Knows the linear forms of XR24 AR24 XB24 AB24 RG24 BG24 RG16 YUYV UYVY NV12 YU12 R8 (and
 * GREY).  Returns 0; -EINVAL: a plane is missing, too narrow, or reaches beyond the buffer;
 * -EOPNOTSUPP: another format or modifier, about which nothing is known.  -EINVAL also when reserved
 * room is not 0.
 */
int bufshare_image_check(const struct bufshare_image *image, uint64_t size);

/*
 * bufshare_image_layout() - fill in num_planes and planes for rows without padding
 * @image: width, height and fourcc are set
 * @ret_size: bytes, page-aligned; may be NULL
 *
 * Returns 0 or as bufshare_image_check().
 */
int bufshare_image_layout(struct bufshare_image *image, uint64_t *ret_size);

enum bufshare_state {
	BUFSHARE_STATE_FILLING = 1,  /* its guest has not told all of it yet */
	BUFSHARE_STATE_LIVE = 2,
	BUFSHARE_STATE_DETACHED = 3, /* given up by its owner, still in use */
};

struct bufshare_buffer_info {
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	char owner[BUFSHARE_LABEL_SIZE]; /* the virtual machine; NUL-terminated */
	uint64_t size;			 /* bytes */
	uint32_t num_extents;		 /* contiguous pieces of memory */
	uint32_t state;			 /* enum bufshare_state */
	uint32_t users;			 /* host: who may still touch the pages; guest: 0 */
	int32_t pid;			 /* guest: of the exporter, 0 if hidden; host: 0 */
	uint32_t user_len;		 /* bytes of the user's own data */
	uint32_t reserved[9];
	struct bufshare_image image;
};

struct bufshare_stream_info {
	char owner[BUFSHARE_LABEL_SIZE];
	char name[BUFSHARE_LABEL_SIZE];
	uint32_t listeners; /* consumers */
	uint32_t in_flight; /* frames not released yet */
	uint64_t published; /* frames so far */
	uint64_t sequence;  /* of the last frame */
	uint64_t reserved[5];
};

/* Contiguous memory: a piece of a buffer. */
struct bufshare_range {
	uint64_t start;	   /* host: byte offset in the memfd; guest: device address */
	uint64_t len;	   /* bytes */
	uint32_t fd_index; /* host: which memfd; guest: 0 */
	uint32_t reserved;
};

/* ---- looking ---- */

/*
 * Both sides.  Host: the live buffers that this client may see.  Guest: the handle's own,
 * with CAP_SYS_ADMIN those of every program.  *@ret_list is an array of *@ret_num, owned
 * by the caller: free(3); NULL when there are none.
 */
int bufshare_list_buffers(struct bufshare *handle, struct bufshare_buffer_info **ret_list,
			  size_t *ret_num);

/* Host.  As above. */
int bufshare_list_streams(struct bufshare *handle, struct bufshare_stream_info **ret_list,
			  size_t *ret_num);

/*
 * The extents of a buffer, in order.  Guest: with CAP_SYS_ADMIN (-EPERM).  Host: -EPERM
 * unless the daemon trusts this uid with the guest's RAM.  -ENOENT: no such buffer.
 * *@ret_list: owned by the caller, free(3).
 */
int bufshare_get_extents(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
			 struct bufshare_range **ret_list, size_t *ret_num);

struct bufshare_stats {
	uint64_t guests;
	uint64_t clients;
	uint64_t buffers;
	uint64_t extents;
	uint64_t bytes_shared;	   /* sum of the sizes of all buffers */
	uint64_t streams;
	uint64_t frames_published;
	uint64_t frames_delivered; /* a frame to two consumers counts two */
	uint64_t frames_released;
	uint64_t requests;	   /* of guests */
	uint64_t request_errors;
	uint64_t events;	   /* to guests */
	uint64_t event_overflows;
	uint64_t control_bytes;	   /* copied by the daemon: rings, requests, events; no pixels */
	uint64_t reserved[18];
};

/* Host: the daemon's counters. */
int bufshare_get_stats(struct bufshare *handle, struct bufshare_stats *ret_stats);

struct bufshare_limits {
	char label[BUFSHARE_LABEL_SIZE]; /* the host's name for this guest */
	uint64_t max_bytes;
	uint32_t max_buffers;
	uint32_t max_extents;
	uint32_t max_streams;
	uint32_t max_frames; /* in flight on one stream */
	uint64_t reserved[5];
};

/* Guest: the quotas that the host gives this machine. */
int bufshare_get_limits(struct bufshare *handle, struct bufshare_limits *ret_limits);

/* ---- events ---- */

enum bufshare_ev_type {
	/* guest */
	BUFSHARE_EV_FRAME_RELEASED = 1, /* stream_id, uuid, sequence: may be filled again */
	BUFSHARE_EV_LISTENERS = 2,	/* stream_id, listeners: consumers now */
	BUFSHARE_EV_GONE = 3,		/* the device is gone; the last event */
	/* host: to a consumer */
	BUFSHARE_EV_FRAME = 16,	       /* consumer_id, uuid, sequence, timestamp, received */
	BUFSHARE_EV_STREAM_ENDED = 17, /* consumer_id, reason */
	/* host: to a watcher; BUFFER_REMOVED also to who holds the buffer */
	BUFSHARE_EV_BUFFER_ADDED = 32,	 /* buffer */
	BUFSHARE_EV_BUFFER_REMOVED = 33, /* uuid, reason */
	BUFSHARE_EV_STREAM_ADDED = 34,	 /* stream */
	BUFSHARE_EV_STREAM_REMOVED = 35, /* stream */
	BUFSHARE_EV_RESYNC = 36,	 /* watch events were lost: list anew */
};

enum bufshare_reason {
	BUFSHARE_REASON_DESTROYED = 1,	/* by its owner, which keeps the pages until all left */
	BUFSHARE_REASON_RESET = 2,	/* the guest was reset: stop using the pages */
	BUFSHARE_REASON_OWNER_GONE = 3, /* the virtual machine ended */
};

enum bufshare_frame_clock {
	BUFSHARE_FRAME_CLOCK_NONE = 0, /* timestamp is 0 */
	BUFSHARE_FRAME_CLOCK_MONOTONIC = 1,
	BUFSHARE_FRAME_CLOCK_REALTIME = 2,
	BUFSHARE_FRAME_CLOCK_TAI = 3,
};

/* Fields that a type does not use are 0. */
struct bufshare_ev {
	uint32_t type; /* enum bufshare_ev_type */
	uint32_t stream_id;
	uint32_t consumer_id;
	uint32_t listeners;
	uint32_t reason; /* enum bufshare_reason */
	uint32_t clock;	 /* enum bufshare_frame_clock */
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t sequence;
	uint64_t timestamp; /* ns, of the producer's clock */
	uint64_t received;  /* ns, the host's CLOCK_MONOTONIC when the daemon took the frame */
	uint64_t reserved[8];
	struct bufshare_buffer_info buffer;
	struct bufshare_stream_info stream;
};

/*
 * The next event; never blocks.  -EAGAIN: none now.  -ENOTCONN: the connection ended (and
 * no event is left).  -EPROTO: the daemon does not keep to the protocol; the same follows.
 */
int bufshare_next_event(struct bufshare *handle, struct bufshare_ev *ret_event);

/*
 * Waits for bufshare_next_event() to have something to say, at most @milliseconds (-1: for
 * ever).  Returns 1, or 0 after the time, or -EINTR for a signal.
 */
int bufshare_wait(struct bufshare *handle, int milliseconds);

#define BUFSHARE_WATCH_BUFFERS 0x1
#define BUFSHARE_WATCH_STREAMS 0x2

/* Host: which comings and goings become events; replaces what was set before. */
int bufshare_watch(struct bufshare *handle, uint32_t what);

/* ---- guest: sharing ---- */

struct bufshare_exported {
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	uint64_t size;	      /* bytes */
	uint32_t num_extents; /* contiguous pieces */
	uint32_t reserved[5];
};

/*
 * bufshare_export() - share a dma-buf with the host
 * @fd: the dma-buf; borrowed: may be closed afterwards, the pages stay until the host has
 *      no use for them
 * @image: what it holds; NULL: no picture
 * @user: @user_len bytes of the user's own, at most BUFSHARE_MAX_USER_LEN
 *
 * Exporting twice gives two UUIDs.  The export ends with bufshare_unexport() or with the
 * handle.  Returns -EBADF: no dma-buf; -EXDEV: its memory is not this machine's RAM;
 * -EDQUOT: a quota of the host; -EINVAL: size or description; -ENODEV: the device is gone;
 * -EIO: it does not answer.
 */
int bufshare_export(struct bufshare *handle, int fd, const struct bufshare_image *image,
		    const void *user, size_t user_len, struct bufshare_exported *ret_exported);

/* -ENOENT: not an export of this handle. */
int bufshare_unexport(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE]);

/*
 * A stream of frames, named for consumers ([A-Za-z0-9._-]+).  @max_frames: in flight; 0: as
 * many as the host allows.  -EEXIST: this machine has one of that name.  *@ret_stream_id
 * is never 0.
 */
int bufshare_stream_create(struct bufshare *handle, const char *name, uint32_t max_frames,
			   uint32_t *ret_stream_id);
int bufshare_stream_destroy(struct bufshare *handle, uint32_t stream_id);

struct bufshare_frame {
	uint8_t uuid[BUFSHARE_UUID_SIZE]; /* an export of this handle, not in flight */
	uint64_t sequence;		  /* larger than that of the frame before */
	uint64_t timestamp;		  /* ns */
	uint32_t clock;			  /* enum bufshare_frame_clock */
	uint32_t reserved[7];		  /* 0 */
};

/*
 * Hands a frame to the consumers.  The buffer is not to be written until its
 * BUFSHARE_EV_FRAME_RELEASED.  *@ret_listeners (may be NULL): consumers it went to; with 0
 * the buffer is free at once.  -ENOENT: no such stream or buffer; -EBUSY: the buffer is in
 * flight; -EAGAIN: max_frames are; -EINVAL: the sequence did not grow, or
 * reserved room is not 0.
 */
int bufshare_publish(struct bufshare *handle, uint32_t stream_id,
		     const struct bufshare_frame *frame, uint32_t *ret_listeners);

/* ---- host: using buffers ---- */

struct bufshare_buffer;

#define BUFSHARE_ACCESS_READ  0x1
#define BUFSHARE_ACCESS_WRITE 0x2

enum bufshare_path {
	BUFSHARE_VIA_DMABUF = 1, /* a dma-buf of exactly this buffer */
	BUFSHARE_VIA_RAM = 2,	 /* the memfds of the guest's RAM, for trusted programs */
};

/* For bufshare_get(): what the program can use. */
#define BUFSHARE_TAKE_DMABUF 0x1
#define BUFSHARE_TAKE_RAM    0x2
#define BUFSHARE_TAKE_ANY    (BUFSHARE_TAKE_DMABUF | BUFSHARE_TAKE_RAM)

/*
 * bufshare_get() - hold a buffer and get at its memory
 * @access: BUFSHARE_ACCESS_*
 * @take: BUFSHARE_TAKE_*; the dma-buf comes first
 * @ret_buffer: owned by the caller: bufshare_put(), before bufshare_close()
 *
 * The guest keeps the pages until bufshare_put().  When the guest was reset it does not:
 * BUFSHARE_EV_BUFFER_REMOVED says so, and the contents are then the guest's again.
 * -ENOENT: no such buffer for this program; -EPERM: not with that access or that way;
 * -ENXIO: the host cannot make a dma-buf of it; -EDQUOT: holds too many; -EAGAIN: the
 * guest is stopped.
 */
int bufshare_get(struct bufshare *handle, const uint8_t uuid[BUFSHARE_UUID_SIZE],
		 uint32_t access, uint32_t take, struct bufshare_buffer **ret_buffer);

/* Unmaps, closes, gives the hold back.  Returns 0 or what the daemon said. */
int bufshare_put(struct bufshare_buffer *buffer);

/* Borrowed; valid until bufshare_put(). */
const struct bufshare_buffer_info *bufshare_buffer_get_info(const struct bufshare_buffer *buffer);
/* info->user_len bytes; borrowed likewise. */
const void *bufshare_buffer_get_user_data(const struct bufshare_buffer *buffer);
enum bufshare_path bufshare_buffer_get_path(const struct bufshare_buffer *buffer);
/*
 * The dma-buf, borrowed until bufshare_put(): to be imported by EGL, VA-API, V4L2...
 * -EOPNOTSUPP when the buffer came by RAM.
 */
int bufshare_buffer_get_fd(const struct bufshare_buffer *buffer);

/*
 * bufshare_buffer_map() - the buffer as one contiguous piece of memory
 * @ret_data: info->size bytes, readable, and writable if the buffer was got so; valid until
 *            bufshare_buffer_unmap() or bufshare_put()
 *
 * Mapping twice gives the same.  Reads and writes lie between bufshare_buffer_begin() and
 * _end().  -E2BIG: the buffer has more pieces than vm.max_map_count admits; -EPROTO: what
 * the daemon sent does not hold what it should; those of mmap(2).
 */
int bufshare_buffer_map(struct bufshare_buffer *buffer, void **ret_data);
void bufshare_buffer_unmap(struct bufshare_buffer *buffer);

/*
 * Bracket the CPU's access (DMA_BUF_IOCTL_SYNC); @access: BUFSHARE_ACCESS_*, the same in
 * both.  They do nothing for a buffer that came by RAM.
 */
int bufshare_buffer_begin(struct bufshare_buffer *buffer, uint32_t access);
int bufshare_buffer_end(struct bufshare_buffer *buffer, uint32_t access);

/* ---- host: consuming streams ---- */

/*
 * Every frame of stream @name of the machine @owner from now on, as BUFSHARE_EV_FRAME.
 * *@ret_consumer_id is never 0.  -ENOENT: no such stream (yet: see bufshare_watch()).
 */
int bufshare_stream_join(struct bufshare *handle, const char *owner, const char *name,
			 uint32_t *ret_consumer_id);
/* Releases the frames that are held.  After BUFSHARE_EV_STREAM_ENDED too. */
int bufshare_stream_leave(struct bufshare *handle, uint32_t consumer_id);
/* Gives a frame back: the producer may fill its buffer again.  -ENOENT: not held. */
int bufshare_frame_release(struct bufshare *handle, uint32_t consumer_id, uint64_t sequence);

/* ---- small things ---- */

void bufshare_uuid_format(const uint8_t uuid[BUFSHARE_UUID_SIZE], char ret_text[BUFSHARE_UUID_TEXT]);
/* -EINVAL: not the text of a UUID. */
int bufshare_uuid_parse(const char *text, uint8_t ret_uuid[BUFSHARE_UUID_SIZE]);

/* The library's version, "MAJOR.MINOR.PATCH"; static. */
const char *bufshare_version(void);

#ifdef __cplusplus
}
#endif

#endif /* BUFSHARE_BUFSHARE_H */
