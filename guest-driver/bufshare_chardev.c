// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: /dev/bufshareN.
 *
 * Every structure that userspace passes is copied once, checked here for what the
 * interface reserves, and handed on.  A file outlives the device: then its ioctls say
 * ENODEV, and the last thing to read is that the device is gone.
 */
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "bufshare.h"
#include "compat.h"

static_assert(BUFSHARE_LABEL_SIZE == VIRTIO_BUFSHARE_LABEL_SIZE);
static_assert(BUFSHARE_UUID_SIZE == VIRTIO_BUFSHARE_UUID_SIZE);
static_assert(BUFSHARE_MAX_PLANES == VIRTIO_BUFSHARE_MAX_PLANES);
static_assert(BUFSHARE_MAX_USER_LEN == VIRTIO_BUFSHARE_MAX_USER_LEN);

/**
 * bufshare_file_notify() - give a file something to read
 * @file: The file.
 * @notice: What; if it is queued already it keeps its place, with its new contents.
 *
 * Once the device is gone nothing is queued: BUFSHARE_EVENT_GONE is the last event.
 *
 * Context: Process context, under bdev->lock.
 */
void bufshare_file_notify(struct bufshare_file *file, struct bufshare_notice *notice)
{
	if (file->bdev->gone)
		return;
	notice->serial = ++file->last_serial;
	if (list_empty(&notice->node))
		list_add_tail(&notice->node, &file->notices);
	wake_up_interruptible(&file->wait);
}

/**
 * bufshare_file_forget() - take back what a file has not read
 * @file: The file.
 * @notice: What; nothing happens if it is not queued.
 *
 * Context: Process context, under bdev->lock.
 */
void bufshare_file_forget(struct bufshare_file *file, struct bufshare_notice *notice)
{
	list_del_init(&notice->node);
}

/**
 * bufshare_files_wake() - have all files look at the state of the device
 * @bdev: The device.
 *
 * Context: Process context.
 */
void bufshare_files_wake(struct bufshare_device *bdev)
{
	struct bufshare_file *file;

	spin_lock(&bdev->lock);
	list_for_each_entry(file, &bdev->files, node)
		wake_up_interruptible(&file->wait);
	spin_unlock(&bdev->lock);
}

static int bufshare_open(struct inode *inode, struct file *filp)
{
	/* misc_open() has put the device there; it is not deregistered meanwhile. */
	struct bufshare_device *bdev = container_of(filp->private_data, struct bufshare_device,
						    misc);
	struct bufshare_file *file;

	file = kzalloc_obj(*file, GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	init_waitqueue_head(&file->wait);
	mutex_init(&file->read_lock);
	INIT_LIST_HEAD(&file->notices);
	INIT_LIST_HEAD(&file->buffers);
	kref_get(&bdev->ref);
	file->bdev = bdev;

	spin_lock(&bdev->lock);
	list_add_tail(&file->node, &bdev->files);
	spin_unlock(&bdev->lock);
	filp->private_data = file;
	return stream_open(inode, filp);
}

static int bufshare_release(struct inode *inode, struct file *filp)
{
	struct bufshare_file *file = filp->private_data;
	struct bufshare_device *bdev = file->bdev;
	/* Who takes the device away ends what is there, and is not waited for here. */
	bool tell = bufshare_device_enter(bdev);

	bufshare_streams_close(bdev, file, tell);
	bufshare_buffers_close(bdev, file, tell);
	if (tell)
		bufshare_device_exit(bdev);

	spin_lock(&bdev->lock);
	list_del(&file->node);
	spin_unlock(&bdev->lock);
	mutex_destroy(&file->read_lock);
	kfree(file);
	bufshare_device_put(bdev);
	return 0;
}

/* ---- events ---- */

enum bufshare_readable {
	BUFSHARE_READ_NOTHING,
	BUFSHARE_READ_NOTICE,
	BUFSHARE_READ_GONE, /* once, after the last notice */
	BUFSHARE_READ_END,  /* ... and after that */
	BUFSHARE_READ_DEAD,
};

/* Under bdev->lock. */
static enum bufshare_readable bufshare_file_readable(struct bufshare_file *file)
{
	if (!list_empty(&file->notices))
		return BUFSHARE_READ_NOTICE;
	if (file->bdev->gone)
		return file->told_gone ? BUFSHARE_READ_END : BUFSHARE_READ_GONE;
	if (bufshare_device_dead(file->bdev))
		return BUFSHARE_READ_DEAD;
	return BUFSHARE_READ_NOTHING;
}

static enum bufshare_readable bufshare_file_peek(struct bufshare_file *file,
						 struct bufshare_event *event, u64 *serial)
{
	struct bufshare_device *bdev = file->bdev;
	struct bufshare_notice *notice;
	enum bufshare_readable what;

	spin_lock(&bdev->lock);
	what = bufshare_file_readable(file);
	if (what == BUFSHARE_READ_NOTICE) {
		notice = list_first_entry(&file->notices, struct bufshare_notice, node);
		*event = notice->event;
		*serial = notice->serial;
	} else if (what == BUFSHARE_READ_GONE) {
		*event = (struct bufshare_event) { .type = BUFSHARE_EVENT_GONE };
	}
	spin_unlock(&bdev->lock);
	return what;
}

/*
 * The file has @event: it need not be kept.  Only now, so that a read into memory that
 * is not there loses nothing.
 */
static void bufshare_file_consume(struct bufshare_file *file, const struct bufshare_event *event,
				  u64 serial)
{
	struct bufshare_notice *notice;

	spin_lock(&file->bdev->lock);
	notice = list_first_entry_or_null(&file->notices, struct bufshare_notice, node);
	if (event->type == BUFSHARE_EVENT_GONE) {
		file->told_gone = true;
	} else if (notice && notice->serial == serial) {
		/* Otherwise it was taken back, or is a newer number of listeners. */
		list_del_init(&notice->node);
		if (notice->frame)
			notice->frame->state = BUFSHARE_FRAME_FREE;
	}
	spin_unlock(&file->bdev->lock);
}

static bool bufshare_file_wakes(struct bufshare_file *file)
{
	bool wakes;

	spin_lock(&file->bdev->lock);
	wakes = bufshare_file_readable(file) != BUFSHARE_READ_NOTHING;
	spin_unlock(&file->bdev->lock);
	return wakes;
}

static ssize_t bufshare_read(struct file *filp, char __user *buf, size_t count, loff_t *ppos)
{
	struct bufshare_file *file = filp->private_data;
	struct bufshare_event event;
	enum bufshare_readable what;
	ssize_t done = 0;
	u64 serial = 0;
	int ret = 0;

	if (count < sizeof(event))
		return -EINVAL;
	if (filp->f_flags & O_NONBLOCK) {
		/* Who has it may be waiting for an event. */
		if (!mutex_trylock(&file->read_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&file->read_lock)) {
		return -ERESTARTSYS;
	}
	while (count - done >= sizeof(event)) {
		what = bufshare_file_peek(file, &event, &serial);
		if (what == BUFSHARE_READ_NOTICE || what == BUFSHARE_READ_GONE) {
			if (copy_to_user(buf + done, &event, sizeof(event))) {
				ret = -EFAULT;
				break;
			}
			bufshare_file_consume(file, &event, serial);
			done += sizeof(event);
			continue;
		}
		if (done || what == BUFSHARE_READ_END)
			break;
		if (what == BUFSHARE_READ_DEAD) {
			ret = -EIO;
			break;
		}
		if (filp->f_flags & O_NONBLOCK) {
			ret = -EAGAIN;
			break;
		}
		ret = wait_event_interruptible(file->wait, bufshare_file_wakes(file));
		if (ret)
			break;
	}
	mutex_unlock(&file->read_lock);
	return done ? done : ret;
}

static __poll_t bufshare_poll(struct file *filp, struct poll_table_struct *table)
{
	struct bufshare_file *file = filp->private_data;
	struct bufshare_device *bdev = file->bdev;
	enum bufshare_readable what;
	__poll_t events = 0;

	poll_wait(filp, &file->wait, table);
	spin_lock(&bdev->lock);
	what = bufshare_file_readable(file);
	if (what != BUFSHARE_READ_NOTHING)
		events |= EPOLLIN | EPOLLRDNORM;
	if (bdev->gone)
		events |= EPOLLHUP;
	else if (bufshare_device_dead(bdev))
		events |= EPOLLERR;
	spin_unlock(&bdev->lock);
	return events;
}

/* ---- ioctls ---- */

/* Room for the argument of any ioctl, zeroed: what is not copied in is 0. */
union bufshare_ioctl_data {
	struct bufshare_info info;
	struct bufshare_export export;
	struct bufshare_unexport unexport;
	struct bufshare_next_buffer next_buffer;
	struct bufshare_extents extents;
	struct bufshare_stream_create stream_create;
	struct bufshare_stream_destroy stream_destroy;
	struct bufshare_publish publish;
};

struct bufshare_call {
	struct bufshare_file *file;
	union bufshare_ioctl_data data;
	void *user; /* EXPORT: the user's bytes, until they are taken over */
	struct bufshare_buffer *buffer; /* a reference, or NULL */
};

/*
 * An ioctl in the order of its steps, each of which may be missing.  Only @run and @undo
 * are inside bufshare_device_enter(), only @prepare and @report touch the process'
 * memory beyond the argument itself, which is copied in first and out last.
 */
struct bufshare_ioctl {
	unsigned int cmd;
	bool stream; /* needs VIRTIO_BUFSHARE_F_STREAM */
	int (*prepare)(struct bufshare_call *call);
	int (*run)(struct bufshare_call *call);
	int (*report)(struct bufshare_call *call);
	void (*undo)(struct bufshare_call *call); /* the process did not get its result */
};

static int bufshare_info_run(struct bufshare_call *call)
{
	struct bufshare_device *bdev = call->file->bdev;
	struct bufshare_info *info = &call->data.info;

	memcpy(info->label, bdev->label, sizeof(info->label));
	info->features = bdev->features;
	info->max_bytes = bdev->limits.max_bytes;
	info->max_buffers = bdev->limits.max_buffers;
	info->max_extents = bdev->limits.max_extents;
	info->max_streams = bdev->limits.max_streams;
	info->max_frames = bdev->limits.max_frames;
	return 0;
}

static bool bufshare_desc_valid(const struct bufshare_desc *desc)
{
	unsigned int i;

	/* What has no place on the wire; the rest is the device's to check. */
	if (desc->reserved || desc->num_planes > BUFSHARE_MAX_PLANES)
		return false;
	for (i = 0; i < BUFSHARE_MAX_PLANES; i++) {
		if (desc->planes[i].reserved)
			return false;
	}
	return true;
}

static int bufshare_export_prepare(struct bufshare_call *call)
{
	struct bufshare_export *args = &call->data.export;

	if (args->flags || args->reserved || args->reserved2 ||
	    args->user_len > BUFSHARE_MAX_USER_LEN || !bufshare_desc_valid(&args->desc))
		return -EINVAL;
	if (!args->user_len)
		return 0;
	/* Not memdup_user(): the process has to account for what we keep. */
	call->user = kmalloc(args->user_len, GFP_KERNEL_ACCOUNT);
	if (!call->user)
		return -ENOMEM;
	if (copy_from_user(call->user, u64_to_user_ptr(args->user), args->user_len))
		return -EFAULT;
	return 0;
}

static int bufshare_export_run(struct bufshare_call *call)
{
	struct bufshare_export *args = &call->data.export;
	void *user = call->user;
	int ret;

	call->user = NULL;
	ret = bufshare_buffer_export(call->file->bdev, call->file, args, user, &call->buffer);
	if (ret)
		return ret;
	args->size = call->buffer->size;
	args->num_extents = call->buffer->num_extents;
	export_uuid(args->uuid, &call->buffer->uuid);
	return 0;
}

static void bufshare_export_undo(struct bufshare_call *call)
{
	/* Nobody would know its name. */
	bufshare_buffer_unexport(call->file->bdev, call->file, &call->buffer->uuid);
}

static int bufshare_unexport_run(struct bufshare_call *call)
{
	struct bufshare_unexport *args = &call->data.unexport;
	uuid_t uuid;

	if (args->flags || args->reserved)
		return -EINVAL;
	import_uuid(&uuid, args->uuid);
	return bufshare_buffer_unexport(call->file->bdev, call->file, &uuid);
}

static int bufshare_next_buffer_run(struct bufshare_call *call)
{
	struct bufshare_next_buffer *args = &call->data.next_buffer;
	/* Who has not the capability asks for nothing that he is denied: no audit. */
	bool all = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
	struct bufshare_buffer *buffer;

	if (args->flags || args->reserved)
		return -EINVAL;
	buffer = bufshare_buffer_next(call->file->bdev, call->file, all, &args->cursor);
	if (!buffer)
		return -ENOENT;
	call->buffer = buffer;
	args->size = buffer->size;
	args->state = READ_ONCE(buffer->phase) == BUFSHARE_PHASE_LIVE ?
		BUFSHARE_BUFFER_LIVE : BUFSHARE_BUFFER_DRAINING;
	args->num_extents = buffer->num_extents;
	args->desc = buffer->desc;
	export_uuid(args->uuid, &buffer->uuid);
	args->pid = pid_nr_ns(buffer->tgid, task_active_pid_ns(current));
	args->user_len = buffer->user_len;
	return 0;
}

static int bufshare_next_buffer_report(struct bufshare_call *call)
{
	u64 user = call->data.next_buffer.user;

	if (user && copy_to_user(u64_to_user_ptr(user), call->buffer->user,
				 call->buffer->user_len))
		return -EFAULT;
	return 0;
}

static int bufshare_extents_run(struct bufshare_call *call)
{
	struct bufshare_extents *args = &call->data.extents;
	uuid_t uuid;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (args->flags || args->reserved)
		return -EINVAL;
	import_uuid(&uuid, args->uuid);
	call->buffer = bufshare_buffer_find(call->file->bdev, &uuid);
	if (!call->buffer)
		return -ENOENT;
	args->count = args->first < call->buffer->num_extents ?
		min(args->count, call->buffer->num_extents - args->first) : 0;
	return 0;
}

static int bufshare_extents_report(struct bufshare_call *call)
{
	struct bufshare_extents *args = &call->data.extents;

	/* Extents of a buffer do not change once it has a name. */
	if (args->count && copy_to_user(u64_to_user_ptr(args->extents),
					call->buffer->extents + args->first,
					array_size(args->count, sizeof(struct bufshare_extent))))
		return -EFAULT;
	return 0;
}

static int bufshare_stream_create_run(struct bufshare_call *call)
{
	struct bufshare_stream_create *args = &call->data.stream_create;

	if (args->flags || args->reserved)
		return -EINVAL;
	return bufshare_stream_create(call->file->bdev, call->file, args);
}

static void bufshare_stream_create_undo(struct bufshare_call *call)
{
	bufshare_stream_destroy(call->file->bdev, call->file, call->data.stream_create.stream_id);
}

static int bufshare_stream_destroy_run(struct bufshare_call *call)
{
	struct bufshare_stream_destroy *args = &call->data.stream_destroy;

	if (args->reserved)
		return -EINVAL;
	return bufshare_stream_destroy(call->file->bdev, call->file, args->stream_id);
}

static int bufshare_publish_run(struct bufshare_call *call)
{
	struct bufshare_publish *args = &call->data.publish;

	if (args->flags || args->clock > BUFSHARE_CLOCK_TAI)
		return -EINVAL;
	return bufshare_stream_publish(call->file->bdev, call->file, args);
}

static const struct bufshare_ioctl bufshare_ioctls[] = {
	{ BUFSHARE_IOC_INFO, .run = bufshare_info_run },
	{ BUFSHARE_IOC_EXPORT, .prepare = bufshare_export_prepare, .run = bufshare_export_run,
	  .undo = bufshare_export_undo },
	{ BUFSHARE_IOC_UNEXPORT, .run = bufshare_unexport_run },
	{ BUFSHARE_IOC_NEXT_BUFFER, .run = bufshare_next_buffer_run,
	  .report = bufshare_next_buffer_report },
	{ BUFSHARE_IOC_EXTENTS, .run = bufshare_extents_run, .report = bufshare_extents_report },
	{ BUFSHARE_IOC_STREAM_CREATE, .stream = true, .run = bufshare_stream_create_run,
	  .undo = bufshare_stream_create_undo },
	{ BUFSHARE_IOC_STREAM_DESTROY, .stream = true, .run = bufshare_stream_destroy_run },
	{ BUFSHARE_IOC_PUBLISH, .stream = true, .run = bufshare_publish_run },
};

static int bufshare_ioctl_enter(const struct bufshare_ioctl *ioctl, struct bufshare_call *call)
{
	struct bufshare_device *bdev = call->file->bdev;
	int ret;

	if (!bufshare_device_enter(bdev))
		return -ENODEV;
	ret = ioctl->run(call);
	/* The device was taken away from under the request. */
	if (ret == -EIO && READ_ONCE(bdev->gone))
		ret = -ENODEV;
	bufshare_device_exit(bdev);
	return ret;
}

static int bufshare_ioctl_steps(const struct bufshare_ioctl *ioctl, struct bufshare_call *call,
				void __user *arg)
{
	struct bufshare_device *bdev = call->file->bdev;
	size_t size = _IOC_SIZE(ioctl->cmd);
	int ret = 0;

	if (ioctl->stream && !(bdev->features & BIT_ULL(VIRTIO_BUFSHARE_F_STREAM)))
		return -EOPNOTSUPP;
	if ((_IOC_DIR(ioctl->cmd) & _IOC_WRITE) && copy_from_user(&call->data, arg, size))
		return -EFAULT;
	if (ioctl->prepare)
		ret = ioctl->prepare(call);
	if (!ret)
		ret = bufshare_ioctl_enter(ioctl, call);
	if (ret)
		return ret;
	if (ioctl->report)
		ret = ioctl->report(call);
	if (!ret && (_IOC_DIR(ioctl->cmd) & _IOC_READ) && copy_to_user(arg, &call->data, size))
		ret = -EFAULT;
	/* If the device went meanwhile, it took along what there is to undo. */
	if (ret && ioctl->undo && bufshare_device_enter(bdev)) {
		ioctl->undo(call);
		bufshare_device_exit(bdev);
	}
	return ret;
}

static long bufshare_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct bufshare_call call = { .file = filp->private_data };
	unsigned int i;
	long ret;

	for (i = 0; i < ARRAY_SIZE(bufshare_ioctls); i++) {
		if (bufshare_ioctls[i].cmd != cmd)
			continue;
		ret = bufshare_ioctl_steps(&bufshare_ioctls[i], &call, (void __user *)arg);
		kfree(call.user);
		bufshare_buffer_put(call.buffer);
		return ret;
	}
	return -ENOTTY;
}

const struct file_operations bufshare_fops = {
	.owner = THIS_MODULE,
	.open = bufshare_open,
	.release = bufshare_release,
	.read = bufshare_read,
	.poll = bufshare_poll,
	.unlocked_ioctl = bufshare_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
