/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * virtio_bufshare: what the driver's files share.
 *
 * Who holds what.  A struct bufshare_device lives as long as the virtio device is
 * bound or a file is open; a struct bufshare_buffer as long as it is in the device's
 * table or somebody looks at it; a struct bufshare_stream likewise.  Pages of a
 * dma-buf have one owner, their buffer, and leave it in two places only: when the
 * device said that nobody uses them (bufshare_buffer_release()), and after the
 * device was reset (bufshare_buffers_release_all()).
 *
 * Locks, outermost first:
 *   bufshare_stream.publish    one PUBLISH or STREAM_QUERY of a stream at a time
 *   bufshare_device.lock       spinlock, process context: tables, states, events
 *   bufshare_device.control_lock  spinlock, also taken in interrupts: control queue
 *
 * Who uses the virtio device is counted in @inside, by bufshare_device_enter(); remove()
 * waits for the last one.  Nobody touches the memory of a user process inside: a fault
 * there can take for ever, and nothing could unbind the driver meanwhile.
 */
#ifndef _BUFSHARE_H
#define _BUFSHARE_H

#include <linux/completion.h>
#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <linux/bufshare.h>

#include "virtio_bufshare.h"

struct dma_buf;
struct dma_buf_attachment;
struct sg_table;

#define BUFSHARE_DRV_NAME "virtio_bufshare"

/*
 * A request is one kmalloc()ed piece: more than this is split, whatever the device
 * would take, so that no export depends on large contiguous kernel memory.
 */
#define BUFSHARE_MAX_REQUEST 12288

/* ---- the device ---- */

struct bufshare_limits {
	u64 max_bytes;
	u32 extent_align;
	u32 max_request;
	u32 max_buffers;
	u32 max_extents;
	u32 max_streams;
	u32 max_frames;
};

struct bufshare_device {
	struct kref ref;
	struct virtio_device *vdev; /* valid inside bufshare_device_enter() */
	int id;
	char name[24];
	u64 features;
	char label[BUFSHARE_LABEL_SIZE];
	struct bufshare_limits limits;

	unsigned int inside; /* users of @vdev; under @lock */
	bool gone; /* the driver is being unbound, or was; written under @lock */
	bool dead; /* the device failed us: only a reset helps; under @control_lock */
	bool ready; /* the callbacks of the virtqueues may act */
	bool config_changed; /* the worker is to look whether the device needs a reset */
	unsigned long farewell; /* jiffies; how long unbinding waits for the host */
	wait_queue_head_t left; /* once @gone: @inside or @buffers came to nothing */

	struct virtqueue *control;
	spinlock_t control_lock;      /* @control, @outstanding, @dead, @last_done */
	struct list_head outstanding; /* struct bufshare_request */
	unsigned long last_done;      /* jiffies when the device last answered, or got work */
	wait_queue_head_t room;	      /* for descriptors of @control */

	struct virtqueue *event;
	void *event_space;
	struct workqueue_struct *event_wq;
	struct work_struct event_work;

	spinlock_t lock; /* all below, and what it points to */
	struct xarray buffers; /* by struct bufshare_buffer.id; all of them */
	u32 next_id;
	u32 resyncs; /* how often the device lost events */
	DECLARE_HASHTABLE(by_uuid, 8); /* those that the device has named */
	struct list_head streams; /* by ascending serial */
	u64 next_serial;
	u32 stray_events; /* of streams that were not in the list when they came */
	bool ask_streams; /* the worker is to ask for the state of all streams */
	bool retry_buffers; /* the device could not answer for some: the worker asks again */
	struct list_head files;

	struct miscdevice misc;
	struct dentry *debugfs;
};

void bufshare_device_put(struct bufshare_device *bdev);
bool bufshare_device_enter(struct bufshare_device *bdev);
void bufshare_device_exit(struct bufshare_device *bdev);

/* ---- requests and the control queue (bufshare_queue.c) ---- */

struct bufshare_request {
	refcount_t ref; /* one of the caller, one of the queue that has it */
	struct list_head node;
	struct completion done;
	int error;
	u32 used; /* bytes that the device says it wrote */
	u32 out_len;
	u32 in_len;
	void *out; /* a piece of memory with @in; starts with struct virtio_bufshare_req_hdr */
	void *in;  /* starts with struct virtio_bufshare_resp_hdr */
};

struct bufshare_request *bufshare_request_alloc(u32 type, size_t out_len, size_t in_len,
						gfp_t gfp);
void bufshare_request_put(struct bufshare_request *req);
int bufshare_request_run(struct bufshare_device *bdev, struct bufshare_request *req,
			 size_t need);
void bufshare_device_kill(struct bufshare_device *bdev, const char *why);
bool bufshare_device_dead(struct bufshare_device *bdev);
bool bufshare_device_stale(struct bufshare_device *bdev, unsigned long timeout);
void bufshare_control_done(struct virtqueue *vq);
void bufshare_control_drain(struct bufshare_device *bdev);

/* ---- the event queue (bufshare_event.c) ---- */

int bufshare_event_init(struct bufshare_device *bdev);
void bufshare_event_arrived(struct virtqueue *vq);
int bufshare_event_fill(struct bufshare_device *bdev);
void bufshare_event_drain(struct bufshare_device *bdev);

/* ---- pages of a dma-buf (bufshare_pages.c) ---- */

struct bufshare_pages {
	struct dma_buf *dmabuf; /* a reference; NULL: nothing is held */
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
};

int bufshare_pages_supported(struct virtio_device *vdev);
int bufshare_pages_pin(struct bufshare_pages *pages, int fd, struct device *dev);
void bufshare_pages_unpin(struct bufshare_pages *pages);
int bufshare_pages_extents(const struct bufshare_pages *pages,
			   const struct bufshare_limits *limits,
			   struct bufshare_extent **ret_extents, u32 *ret_count);

/* ---- buffers (bufshare_buffer.c) ---- */

enum bufshare_buffer_phase {
	BUFSHARE_PHASE_FILLING,	   /* not yet told to anybody */
	BUFSHARE_PHASE_LIVE,
	BUFSHARE_PHASE_DESTROYING, /* BUFFER_DESTROY is under way */
	BUFSHARE_PHASE_IDLE_EARLY, /* ... and the IDLE event overtook its response */
	BUFSHARE_PHASE_DRAINING,   /* destroyed; the device still uses it */
	BUFSHARE_PHASE_LOST,	   /* the device did not say what became of it */
};

struct bufshare_frame;

struct bufshare_buffer {
	struct kref ref;
	struct hlist_node hash;
	u32 id; /* in bufshare_device.buffers; never 0 */
	bool named; /* has @uuid and is in by_uuid */
	bool in_table;
	bool retry; /* LOST, but the device may answer better the next time */
	enum bufshare_buffer_phase phase;
	uuid_t uuid;
	struct bufshare_file *file; /* the owner; NULL once closed */
	struct list_head file_node; /* in bufshare_file.buffers, or empty */
	struct bufshare_frame *frame; /* in flight, or NULL */
	struct pid *tgid;
	u64 size;
	struct bufshare_extent *extents;
	u32 num_extents;
	struct bufshare_desc desc;
	u32 user_len;
	void *user;
	struct bufshare_pages pages;
};

int bufshare_buffer_export(struct bufshare_device *bdev, struct bufshare_file *file,
			   const struct bufshare_export *args, void *user,
			   struct bufshare_buffer **ret_buffer);
int bufshare_buffer_unexport(struct bufshare_device *bdev, struct bufshare_file *file,
			     const uuid_t *uuid);
void bufshare_buffer_put(struct bufshare_buffer *buffer);
struct bufshare_buffer *bufshare_buffer_lookup(struct bufshare_device *bdev, const uuid_t *uuid);
struct bufshare_buffer *bufshare_buffer_find(struct bufshare_device *bdev, const uuid_t *uuid);
struct bufshare_buffer *bufshare_buffer_next(struct bufshare_device *bdev,
					     struct bufshare_file *file, bool all, u64 *cursor);
void bufshare_buffers_close(struct bufshare_device *bdev, struct bufshare_file *file, bool tell);
void bufshare_buffers_farewell(struct bufshare_device *bdev, unsigned long deadline);
void bufshare_buffers_retry(struct bufshare_device *bdev);
void bufshare_buffer_idle(struct bufshare_device *bdev, const uuid_t *uuid);
void bufshare_buffers_resync(struct bufshare_device *bdev);
void bufshare_buffers_release_all(struct bufshare_device *bdev);

/* ---- streams (bufshare_stream.c) ---- */

enum bufshare_frame_state {
	BUFSHARE_FRAME_FREE,
	BUFSHARE_FRAME_PENDING,	      /* PUBLISH is under way */
	BUFSHARE_FRAME_PENDING_EARLY, /* ... and its release overtook the response */
	BUFSHARE_FRAME_IN_FLIGHT,
	BUFSHARE_FRAME_RELEASED,      /* the file has not read that yet */
};

/* Something that a file can read.  Embedded: queueing one cannot fail. */
struct bufshare_notice {
	struct list_head node; /* in bufshare_file.notices, or empty */
	u64 serial; /* of these contents, unique in the file */
	struct bufshare_event event;
	struct bufshare_frame *frame; /* NULL: listeners of a stream */
};

struct bufshare_frame {
	enum bufshare_frame_state state;
	u64 sequence;
	struct bufshare_buffer *buffer; /* cleared when the buffer goes */
	struct bufshare_notice notice;
};

struct bufshare_stream {
	struct kref ref;
	struct list_head node;
	struct bufshare_file *file; /* NULL: destroyed */
	u64 serial; /* for walks that sleep */
	u32 id; /* the device's name for it */
	char name[BUFSHARE_LABEL_SIZE];
	struct mutex publish; /* see above */
	bool published;
	u64 sequence; /* of the last frame, if @published */
	u32 listeners;
	u32 num_frames;
	struct bufshare_notice notice;
	struct bufshare_frame frames[];
};

int bufshare_stream_create(struct bufshare_device *bdev, struct bufshare_file *file,
			   struct bufshare_stream_create *args);
int bufshare_stream_destroy(struct bufshare_device *bdev, struct bufshare_file *file, u32 id);
int bufshare_stream_publish(struct bufshare_device *bdev, struct bufshare_file *file,
			    struct bufshare_publish *args);
void bufshare_streams_close(struct bufshare_device *bdev, struct bufshare_file *file, bool tell);
void bufshare_streams_farewell(struct bufshare_device *bdev, unsigned long deadline);
void bufshare_stream_released(struct bufshare_device *bdev, u32 id, u64 sequence,
			      const u8 *uuid);
void bufshare_stream_listeners(struct bufshare_device *bdev, u32 id, u32 listeners);
void bufshare_streams_resync(struct bufshare_device *bdev);

/* ---- the node (bufshare_chardev.c) ---- */

struct bufshare_file {
	struct bufshare_device *bdev; /* a reference */
	struct list_head node;
	wait_queue_head_t wait;
	struct mutex read_lock;	  /* one reader at a time */
	struct list_head notices; /* bufshare_device.lock, as all below */
	u64 last_serial;	  /* of a notice */
	bool told_gone;
	struct list_head buffers; /* struct bufshare_buffer.file_node */
	u32 num_buffers;	  /* in @buffers */
	u64 num_bytes;		  /* in @buffers */
};

extern const struct file_operations bufshare_fops;

void bufshare_file_notify(struct bufshare_file *file, struct bufshare_notice *notice);
void bufshare_file_forget(struct bufshare_file *file, struct bufshare_notice *notice);
void bufshare_files_wake(struct bufshare_device *bdev);

/* ---- debugfs (bufshare_debugfs.c) ---- */

void bufshare_debugfs_init(void);
void bufshare_debugfs_exit(void);
void bufshare_debugfs_add(struct bufshare_device *bdev);
void bufshare_debugfs_remove(struct bufshare_device *bdev);

#endif /* _BUFSHARE_H */
