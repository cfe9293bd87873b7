/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The interface of /dev/bufshareN, the node of the virtio_bufshare guest driver.
 *
 * A file owns what it made: closing it ends its exports and its streams.  Every
 * pointer is a __u64, every reserved field and unknown flag must be 0 (EINVAL).
 */
#ifndef _UAPI_LINUX_BUFSHARE_H
#define _UAPI_LINUX_BUFSHARE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BUFSHARE_UUID_SIZE    16
#define BUFSHARE_LABEL_SIZE   64
#define BUFSHARE_MAX_PLANES   4
#define BUFSHARE_MAX_USER_LEN 1024

struct bufshare_info {
	__u8 label[BUFSHARE_LABEL_SIZE]; /* the host's name for this guest */
	__u64 features;			 /* negotiated virtio feature bits */
	__u64 max_bytes;		 /* quotas of this guest */
	__u32 max_buffers;
	__u32 max_extents;
	__u32 max_streams;
	__u32 max_frames;
	__u64 reserved[4];
};

struct bufshare_plane {
	__u64 offset;
	__u32 stride;
	__u32 reserved;
};

/* As struct virtio_bufshare_desc, in the CPU's byte order. */
struct bufshare_desc {
	__u32 width;
	__u32 height;
	__u32 fourcc; /* DRM_FORMAT_*; 0: no picture */
	__u32 num_planes;
	__u64 modifier; /* DRM_FORMAT_MOD_* */
	struct bufshare_plane planes[BUFSHARE_MAX_PLANES];
	__u8 color_primaries;
	__u8 transfer;
	__u8 matrix;
	__u8 range;
	__u32 reserved;
};

/*
 * BUFSHARE_IOC_EXPORT: share a dma-buf.
 *
 * The dma-buf stays attached and pinned until the host no longer uses it, even
 * after BUFSHARE_IOC_UNEXPORT and after the file is closed.  Exporting a dma-buf
 * twice gives two UUIDs.
 *
 * EBADF    @fd is not a dma-buf            EXDEV   its memory is not guest RAM
 * EDQUOT   a quota of the host, or of      EINVAL  size or description
 *          this file, is reached           ENOMEM  out of memory, here or on the host
 * ENODEV   the device is gone              EIO     the device does not answer
 * EINTR    a signal came, nothing is done  EOPNOTSUPP  the exporter or the host cannot
 *
 * ENODEV, EIO, EFAULT, EINVAL for flags and reserved fields, ENOMEM and EINTR hold for
 * every request here; EOPNOTSUPP for those of streams if the host has none.
 */
struct bufshare_export {
	__s32 fd;
	__u32 flags;	/* 0 */
	__u64 user;	/* the user's own bytes */
	__u32 user_len; /* at most BUFSHARE_MAX_USER_LEN */
	__u32 reserved;
	struct bufshare_desc desc;
	__u64 size;		       /* out: bytes */
	__u32 num_extents;	       /* out: after merging */
	__u32 reserved2;
	__u8 uuid[BUFSHARE_UUID_SIZE]; /* out */
};

/* BUFSHARE_IOC_UNEXPORT: only by the file that exported.  ENOENT otherwise. */
struct bufshare_unexport {
	__u8 uuid[BUFSHARE_UUID_SIZE];
	__u32 flags; /* 0 */
	__u32 reserved;
};

enum bufshare_buffer_state {
	BUFSHARE_BUFFER_LIVE = 1,
	BUFSHARE_BUFFER_DRAINING = 2, /* unexported; the host still uses it */
};

/*
 * BUFSHARE_IOC_NEXT_BUFFER: walk the buffers of this device.
 *
 * @cursor is 0 at first and is moved on by each call; ENOENT at the end.  The
 * caller sees its own buffers, with CAP_SYS_ADMIN those of every file.
 */
struct bufshare_next_buffer {
	__u64 cursor; /* in, out */
	__u64 size;
	__u32 state; /* enum bufshare_buffer_state */
	__u32 num_extents;
	struct bufshare_desc desc;
	__u8 uuid[BUFSHARE_UUID_SIZE];
	__s32 pid; /* exporter's thread group, 0 outside the caller's pid namespace */
	__u32 user_len;
	__u64 user; /* in: room for BUFSHARE_MAX_USER_LEN bytes, or 0 */
	__u32 flags; /* 0 */
	__u32 reserved;
};

/*
 * BUFSHARE_IOC_EXTENTS: where a buffer's memory lies, as told to the device.
 *
 * Needs CAP_SYS_ADMIN: addresses of memory are nobody else's business.  At most
 * @count extents from index @first on are written to @extents; @count becomes the
 * number written.
 */
struct bufshare_extent {
	__u64 addr;
	__u64 len;
};

struct bufshare_extents {
	__u8 uuid[BUFSHARE_UUID_SIZE];
	__u32 first;
	__u32 count;   /* in, out */
	__u64 extents; /* struct bufshare_extent[count] */
	__u32 flags;   /* 0 */
	__u32 reserved;
};

/* BUFSHARE_IOC_STREAM_CREATE: EEXIST when this guest has a stream of the name. */
struct bufshare_stream_create {
	__u8 name[BUFSHARE_LABEL_SIZE]; /* [A-Za-z0-9._-]+, NUL-padded */
	__u32 max_frames;		/* in flight; 0: as many as the host allows */
	__u32 flags;			/* 0 */
	__u32 stream_id;		/* out */
	__u32 reserved;
};

struct bufshare_stream_destroy {
	__u32 stream_id;
	__u32 reserved;
};

enum bufshare_clock {
	BUFSHARE_CLOCK_NONE = 0,
	BUFSHARE_CLOCK_MONOTONIC = 1,
	BUFSHARE_CLOCK_REALTIME = 2,
	BUFSHARE_CLOCK_TAI = 3,
};

/*
 * BUFSHARE_IOC_PUBLISH: hand a frame to the consumers of a stream.
 *
 * The frame must be complete: the driver does not wait for the fences of the dma-buf.
 * The caller waits until what writes to it has finished (poll(2) of the dma-buf for
 * POLLIN), and ends his own access by the CPU (DMA_BUF_IOCTL_SYNC), before he publishes.
 *
 * ENOENT  no such stream or buffer of this file   EBUSY  the buffer is in flight
 * EINVAL  sequence did not grow
 * EAGAIN  max_frames are in flight, or back but their release is not yet read
 */
struct bufshare_publish {
	__u32 stream_id;
	__u32 clock; /* enum bufshare_clock */
	__u8 uuid[BUFSHARE_UUID_SIZE];
	__u64 sequence;
	__u64 timestamp; /* ns */
	__u32 flags;	 /* 0 */
	__u32 listeners; /* out: consumers it went to; 0: released already */
};

/*
 * read(2) gives whole events, poll(2) tells that there are any.  No event is
 * lost: each frame in flight holds the room for its release.  A frame that went to
 * nobody (listeners 0) has none.  After STREAM_DESTROY there are none of that stream.
 *
 * EAGAIN  no event, O_NONBLOCK     EINVAL  no room for one
 * EIO     the device does not answer any more (poll: POLLERR)
 * After GONE read gives 0 (poll: POLLHUP).
 */
enum bufshare_event_type {
	BUFSHARE_EVENT_FRAME_RELEASED = 1,
	BUFSHARE_EVENT_LISTENERS = 2, /* @value: consumers now */
	BUFSHARE_EVENT_GONE = 3,      /* the device is gone; always the last one */
};

struct bufshare_event {
	__u32 type;
	__u32 stream_id;
	__u8 uuid[BUFSHARE_UUID_SIZE];
	__u64 sequence;
	__u32 value;
	__u32 reserved;
};

#define BUFSHARE_IOC_MAGIC 0xbf

#define BUFSHARE_IOC_INFO	    _IOR(BUFSHARE_IOC_MAGIC, 0x00, struct bufshare_info)
#define BUFSHARE_IOC_EXPORT	    _IOWR(BUFSHARE_IOC_MAGIC, 0x01, struct bufshare_export)
#define BUFSHARE_IOC_UNEXPORT	    _IOW(BUFSHARE_IOC_MAGIC, 0x02, struct bufshare_unexport)
#define BUFSHARE_IOC_NEXT_BUFFER    _IOWR(BUFSHARE_IOC_MAGIC, 0x03, struct bufshare_next_buffer)
#define BUFSHARE_IOC_EXTENTS	    _IOWR(BUFSHARE_IOC_MAGIC, 0x04, struct bufshare_extents)
#define BUFSHARE_IOC_STREAM_CREATE  _IOWR(BUFSHARE_IOC_MAGIC, 0x10, struct bufshare_stream_create)
#define BUFSHARE_IOC_STREAM_DESTROY _IOW(BUFSHARE_IOC_MAGIC, 0x11, struct bufshare_stream_destroy)
#define BUFSHARE_IOC_PUBLISH	    _IOWR(BUFSHARE_IOC_MAGIC, 0x12, struct bufshare_publish)

#endif /* _UAPI_LINUX_BUFSHARE_H */
