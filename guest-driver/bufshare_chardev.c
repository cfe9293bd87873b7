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
 * Context: Process context, under bdev->lock.
 */
void bufshare_file_notify(struct bufshare_file *file, struct bufshare_notice *notice)
{
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
	if (list_empty(&notice->node))
		return;
	list_del_init(&notice->node);
	file->removals++;
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

	/* Also when the device is gone: then the requests fail at once. */
	down_read(&bdev->gate);
	bufshare_streams_close(bdev, file);
	bufshare_buffers_close(bdev, file);
	up_read(&bdev->gate);

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
						 struct bufshare_event *event, u64 *removals)
{
	struct bufshare_device *bdev = file->bdev;
	enum bufshare_readable what;

	spin_lock(&bdev->lock);
	what = bufshare_file_readable(file);
	if (what == BUFSHARE_READ_NOTICE)
		*event = list_first_entry(&file->notices, struct bufshare_notice, node)->event;
	else if (what == BUFSHARE_READ_GONE)
		*event = (struct bufshare_event) { .type = BUFSHARE_EVENT_GONE };
	*removals = file->removals;
	spin_unlock(&bdev->lock);
	return what;
}

/*
 * The file has @event: it need not be kept.  Only now, so that a read into memory that
 * is not there loses nothing.
 */
static void bufshare_file_consume(struct bufshare_file *file, const struct bufshare_event *event,
				  u64 removals)
{
	struct bufshare_notice *notice;

	spin_lock(&file->bdev->lock);
	if (event->type == BUFSHARE_EVENT_GONE) {
		file->told_gone = true;
	} else if (file->removals == removals) {
		/* The same as in the peek; but a number of listeners may be newer now. */
		notice = list_first_entry(&file->notices, struct bufshare_notice, node);
		if (!memcmp(&notice->event, event, sizeof(*event))) {
			list_del_init(&notice->node);
			if (notice->frame)
				notice->frame->state = BUFSHARE_FRAME_FREE;
		}
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
	u64 removals;
	int ret = 0;

	if (count < sizeof(event))
		return -EINVAL;
	if (mutex_lock_interruptible(&file->read_lock))
		return -ERESTARTSYS;
	while (count - done >= sizeof(event)) {
		what = bufshare_file_peek(file, &event, &removals);
		if (what == BUFSHARE_READ_NOTICE || what == BUFSHARE_READ_GONE) {
			if (copy_to_user(buf + done, &event, sizeof(event))) {
				ret = -EFAULT;
				break;
			}
			bufshare_file_consume(file, &event, removals);
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

static int bufshare_ioctl_info(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_device *bdev = file->bdev;
	struct bufshare_info *info = data;

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

static int bufshare_ioctl_export(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_device *bdev = file->bdev;
	struct bufshare_export *args = data;
	struct bufshare_buffer *buffer;
	void *user = NULL;
	uuid_t uuid;
	int ret;

	if (args->flags || args->reserved || args->user_len > BUFSHARE_MAX_USER_LEN ||
	    !bufshare_desc_valid(&args->desc))
		return -EINVAL;
	if (args->user_len) {
		user = memdup_user(u64_to_user_ptr(args->user), args->user_len);
		if (IS_ERR(user))
			return PTR_ERR(user);
	}

	ret = bufshare_buffer_export(bdev, file, args, user, &buffer);
	if (ret)
		return ret;
	uuid = buffer->uuid;
	args->size = buffer->size;
	args->num_extents = buffer->num_extents;
	args->reserved2 = 0;
	export_uuid(args->uuid, &uuid);
	bufshare_buffer_put(buffer);
	if (copy_to_user(arg, args, sizeof(*args))) {
		/* Nobody would know its name. */
		bufshare_buffer_unexport(bdev, file, &uuid);
		return -EFAULT;
	}
	return 0;
}

static int bufshare_ioctl_unexport(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_unexport *args = data;
	uuid_t uuid;

	import_uuid(&uuid, args->uuid);
	return bufshare_buffer_unexport(file->bdev, file, &uuid);
}

static int bufshare_ioctl_next_buffer(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_next_buffer *args = data;
	struct bufshare_buffer *buffer;
	int ret = 0;

	buffer = bufshare_buffer_next(file->bdev, file, capable(CAP_SYS_ADMIN), &args->cursor);
	if (!buffer)
		return -ENOENT;
	args->size = buffer->size;
	args->state = READ_ONCE(buffer->phase) == BUFSHARE_PHASE_LIVE ?
		BUFSHARE_BUFFER_LIVE : BUFSHARE_BUFFER_DRAINING;
	args->num_extents = buffer->num_extents;
	args->desc = buffer->desc;
	export_uuid(args->uuid, &buffer->uuid);
	args->pid = pid_nr_ns(buffer->tgid, task_active_pid_ns(current));
	args->user_len = buffer->user_len;
	if (args->user && copy_to_user(u64_to_user_ptr(args->user), buffer->user,
				       buffer->user_len))
		ret = -EFAULT;
	bufshare_buffer_put(buffer);
	return ret;
}

static int bufshare_ioctl_extents(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_extents *args = data;
	struct bufshare_buffer *buffer;
	uuid_t uuid;
	int ret = 0;
	u32 count;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	import_uuid(&uuid, args->uuid);
	buffer = bufshare_buffer_find(file->bdev, &uuid);
	if (!buffer)
		return -ENOENT;
	count = args->first < buffer->num_extents ?
		min(args->count, buffer->num_extents - args->first) : 0;
	if (copy_to_user(u64_to_user_ptr(args->extents), buffer->extents + args->first,
			 array_size(count, sizeof(*buffer->extents))))
		ret = -EFAULT;
	args->count = count;
	bufshare_buffer_put(buffer);
	return ret;
}

static int bufshare_ioctl_stream_create(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_stream_create *args = data;
	int ret;

	if (args->flags || args->reserved)
		return -EINVAL;
	ret = bufshare_stream_create(file->bdev, file, args);
	if (ret)
		return ret;
	if (copy_to_user(arg, args, sizeof(*args))) {
		bufshare_stream_destroy(file->bdev, file, args->stream_id);
		return -EFAULT;
	}
	return 0;
}

static int bufshare_ioctl_stream_destroy(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_stream_destroy *args = data;

	if (args->reserved)
		return -EINVAL;
	return bufshare_stream_destroy(file->bdev, file, args->stream_id);
}

static int bufshare_ioctl_publish(struct bufshare_file *file, void *data, void __user *arg)
{
	struct bufshare_publish *args = data;

	if (args->flags || args->clock > BUFSHARE_CLOCK_TAI)
		return -EINVAL;
	return bufshare_stream_publish(file->bdev, file, args);
}

struct bufshare_ioctl {
	unsigned int cmd;
	bool stream; /* needs VIRTIO_BUFSHARE_F_STREAM */
	bool copies; /* copies its result itself, to undo what it did if that fails */
	int (*fn)(struct bufshare_file *file, void *data, void __user *arg);
};

static const struct bufshare_ioctl bufshare_ioctls[] = {
	{ BUFSHARE_IOC_INFO, .fn = bufshare_ioctl_info },
	{ BUFSHARE_IOC_EXPORT, .copies = true, .fn = bufshare_ioctl_export },
	{ BUFSHARE_IOC_UNEXPORT, .fn = bufshare_ioctl_unexport },
	{ BUFSHARE_IOC_NEXT_BUFFER, .fn = bufshare_ioctl_next_buffer },
	{ BUFSHARE_IOC_EXTENTS, .fn = bufshare_ioctl_extents },
	{ BUFSHARE_IOC_STREAM_CREATE, .stream = true, .copies = true,
	  .fn = bufshare_ioctl_stream_create },
	{ BUFSHARE_IOC_STREAM_DESTROY, .stream = true, .fn = bufshare_ioctl_stream_destroy },
	{ BUFSHARE_IOC_PUBLISH, .stream = true, .fn = bufshare_ioctl_publish },
};

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

static long bufshare_ioctl_run(struct bufshare_file *file, const struct bufshare_ioctl *ioctl,
			       void __user *arg)
{
	union bufshare_ioctl_data data = {};
	int ret;

	if (ioctl->stream && !(file->bdev->features & BIT_ULL(VIRTIO_BUFSHARE_F_STREAM)))
		return -EOPNOTSUPP;
	if ((_IOC_DIR(ioctl->cmd) & _IOC_WRITE) &&
	    copy_from_user(&data, arg, _IOC_SIZE(ioctl->cmd)))
		return -EFAULT;
	ret = ioctl->fn(file, &data, arg);
	if (!ret && !ioctl->copies && (_IOC_DIR(ioctl->cmd) & _IOC_READ) &&
	    copy_to_user(arg, &data, _IOC_SIZE(ioctl->cmd)))
		ret = -EFAULT;
	return ret;
}

static long bufshare_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct bufshare_file *file = filp->private_data;
	long ret = -ENOTTY;
	unsigned int i;

	if (!bufshare_device_enter(file->bdev))
		return -ENODEV;
	for (i = 0; i < ARRAY_SIZE(bufshare_ioctls); i++) {
		if (bufshare_ioctls[i].cmd == cmd)
			ret = bufshare_ioctl_run(file, &bufshare_ioctls[i], (void __user *)arg);
	}
	/* The device was taken away from under the request. */
	if (ret == -EIO && READ_ONCE(file->bdev->gone))
		ret = -ENODEV;
	bufshare_device_exit(file->bdev);
	return ret;
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
