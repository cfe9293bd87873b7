// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: shared buffers, from export to idle.
 *
 * A buffer enters the device's table before the virtio device hears of it and leaves
 * it when the virtio device can no longer touch its pages, whatever happens in
 * between.  The table holds one reference; the phase says who may act on a buffer:
 * FILLING and DESTROYING belong to the thread that set them, LIVE to the owning file,
 * DRAINING to the event worker, LOST to the reset.
 */
#include <linux/dma-buf.h>
#include <linux/moduleparam.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "bufshare.h"
#include "compat.h"
#include "bufshare_trace.h"

static unsigned int max_buffers_per_file;
module_param(max_buffers_per_file, uint, 0644);
MODULE_PARM_DESC(max_buffers_per_file,
		 "Buffers that one open file can have; 0: as many as the host gives this guest");

static unsigned long max_bytes_per_file;
module_param(max_bytes_per_file, ulong, 0644);
MODULE_PARM_DESC(max_bytes_per_file,
		 "Bytes that the buffers of one open file can have; 0: as many as the host gives this guest");

static void bufshare_buffer_free(struct kref *ref)
{
	struct bufshare_buffer *buffer = container_of(ref, struct bufshare_buffer, ref);

	WARN_ON_ONCE(buffer->pages.dmabuf);
	put_pid(buffer->tgid);
	kvfree(buffer->extents);
	kfree(buffer->user);
	kfree(buffer);
}

/**
 * bufshare_buffer_put() - drop one reference to a buffer
 * @buffer: The buffer, or NULL.
 *
 * Context: Process context.
 */
void bufshare_buffer_put(struct bufshare_buffer *buffer)
{
	if (buffer)
		kref_put(&buffer->ref, bufshare_buffer_free);
}

static u32 bufshare_uuid_key(const uuid_t *uuid)
{
	u32 key;

	/* UUIDs of version 4 are random: any part of them is a hash. */
	memcpy(&key, uuid, sizeof(key));
	return key;
}

/**
 * bufshare_buffer_lookup() - find a buffer, whatever its phase
 * @bdev: The device.
 * @uuid: The name.
 *
 * Context: Process context, under bdev->lock.
 * Return: The buffer, borrowed until bdev->lock is dropped; or NULL.
 */
struct bufshare_buffer *bufshare_buffer_lookup(struct bufshare_device *bdev, const uuid_t *uuid)
{
	struct bufshare_buffer *buffer;

	lockdep_assert_held(&bdev->lock);
	hash_for_each_possible(bdev->by_uuid, buffer, hash, bufshare_uuid_key(uuid)) {
		if (uuid_equal(&buffer->uuid, uuid))
			return buffer;
	}
	return NULL;
}

/* Under bdev->lock: charges a buffer to the file that makes it. */
static int bufshare_buffer_charge(struct bufshare_buffer *buffer, struct bufshare_file *file)
{
	u32 max_buffers = READ_ONCE(max_buffers_per_file);
	u64 max_bytes = READ_ONCE(max_bytes_per_file);

	if (max_buffers && file->num_buffers >= max_buffers)
		return -EDQUOT;
	if (max_bytes && (buffer->size > max_bytes ||
			  file->num_bytes > max_bytes - buffer->size))
		return -EDQUOT;
	file->num_buffers++;
	file->num_bytes += buffer->size;
	buffer->file = file;
	list_add_tail(&buffer->file_node, &file->buffers);
	return 0;
}

/* Under bdev->lock: the buffer belongs to no file any more. */
static void bufshare_buffer_disown(struct bufshare_buffer *buffer)
{
	if (!buffer->file)
		return;
	buffer->file->num_buffers--;
	buffer->file->num_bytes -= buffer->size;
	buffer->file = NULL;
	list_del_init(&buffer->file_node);
}

/*
 * The virtio device cannot touch the pages any more: take the buffer out of the table
 * and unpin it.  Whoever finds it gone already leaves it alone.
 */
static void bufshare_buffer_release(struct bufshare_device *bdev, struct bufshare_buffer *buffer)
{
	spin_lock(&bdev->lock);
	if (!buffer->in_table) {
		spin_unlock(&bdev->lock);
		return;
	}
	buffer->in_table = false;
	xa_erase(&bdev->buffers, buffer->id);
	if (buffer->named)
		hash_del(&buffer->hash);
	if (buffer->frame)
		buffer->frame->buffer = NULL;
	buffer->frame = NULL;
	bufshare_buffer_disown(buffer);
	if (bdev->gone && xa_empty(&bdev->buffers))
		wake_up_all(&bdev->left);
	spin_unlock(&bdev->lock);

	trace_bufshare_idle(bdev->id, &buffer->uuid, buffer->size);
	bufshare_pages_unpin(&buffer->pages);
	bufshare_buffer_put(buffer);
}

/* Asks whether a DRAINING buffer is idle, and releases it if so. */
static void bufshare_buffer_query(struct bufshare_device *bdev, struct bufshare_buffer *buffer)
{
	struct virtio_bufshare_buffer_ref *out;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_BUFFER_QUERY, sizeof(*out),
				     sizeof(struct virtio_bufshare_buffer_state_resp),
				     GFP_KERNEL | __GFP_NOFAIL);
	out = req->out;
	export_uuid(out->uuid, &buffer->uuid);
	ret = bufshare_request_run(bdev, req, sizeof(struct virtio_bufshare_buffer_state_resp));
	bufshare_request_put(req);
	if (ret == -ENOENT) {
		bufshare_buffer_release(bdev, buffer);
	} else if (ret) {
		spin_lock(&bdev->lock);
		bdev->retry_buffers = true;
		spin_unlock(&bdev->lock);
	}
}

/*
 * Ends a buffer that the caller has put in phase DESTROYING.  The caller has a
 * reference of its own.  After an error the pages stay pinned: when the device does not
 * know the buffer, until the reset, for it may have forgotten whom it gave it; otherwise
 * it is asked again with the next event.
 */
static int bufshare_buffer_retire(struct bufshare_device *bdev, struct bufshare_buffer *buffer)
{
	const struct virtio_bufshare_buffer_state_resp *resp;
	struct virtio_bufshare_buffer_ref *out;
	struct bufshare_request *req;
	bool idle, resynced, retry;
	u32 users = 0, resyncs;
	int ret;

	spin_lock(&bdev->lock);
	resyncs = bdev->resyncs;
	spin_unlock(&bdev->lock);

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_BUFFER_DESTROY, sizeof(*out),
				     sizeof(*resp), GFP_KERNEL | __GFP_NOFAIL);
	out = req->out;
	export_uuid(out->uuid, &buffer->uuid);
	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	resp = req->in;
	if (!ret)
		users = le32_to_cpu(READ_ONCE(resp->users));
	bufshare_request_put(req);
	if (ret && !bufshare_device_dead(bdev))
		dev_err_ratelimited(&bdev->vdev->dev, "buffer %pUb stays pinned: error %d\n",
				    &buffer->uuid, ret);
	retry = ret && ret != -ENOENT;
	if (ret)
		ret = -EIO;
	trace_bufshare_unexport(bdev->id, &buffer->uuid, buffer->size, users, ret);

	spin_lock(&bdev->lock);
	idle = (!ret && !users) || buffer->phase == BUFSHARE_PHASE_IDLE_EARLY;
	buffer->phase = ret ? BUFSHARE_PHASE_LOST : BUFSHARE_PHASE_DRAINING;
	buffer->retry = retry;
	if (retry)
		bdev->retry_buffers = true;
	resynced = bdev->resyncs != resyncs;
	spin_unlock(&bdev->lock);

	if (idle)
		bufshare_buffer_release(bdev, buffer);
	else if (!ret && resynced)
		/* The event may be among the lost ones, and the resync did not ask for us. */
		bufshare_buffer_query(bdev, buffer);
	return ret;
}

static void bufshare_desc_to_wire(struct virtio_bufshare_desc *wire,
				  const struct bufshare_desc *desc, u32 user_len)
{
	unsigned int i;

	wire->width = cpu_to_le32(desc->width);
	wire->height = cpu_to_le32(desc->height);
	wire->fourcc = cpu_to_le32(desc->fourcc);
	wire->num_planes = cpu_to_le32(desc->num_planes);
	wire->modifier = cpu_to_le64(desc->modifier);
	for (i = 0; i < VIRTIO_BUFSHARE_MAX_PLANES; i++) {
		wire->planes[i].offset = cpu_to_le64(desc->planes[i].offset);
		wire->planes[i].stride = cpu_to_le32(desc->planes[i].stride);
	}
	wire->color_primaries = desc->color_primaries;
	wire->transfer = desc->transfer;
	wire->matrix = desc->matrix;
	wire->range = desc->range;
	wire->user_len = cpu_to_le32(user_len);
}

static void bufshare_extents_to_wire(struct virtio_bufshare_extent *wire,
				     const struct bufshare_extent *extents, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		wire[i].addr = cpu_to_le64(extents[i].addr);
		wire[i].len = cpu_to_le64(extents[i].len);
	}
}

/* On success *ret_sent extents are with the device, and the buffer has its name. */
static int bufshare_buffer_send_create(struct bufshare_device *bdev,
				       struct bufshare_buffer *buffer, u32 *ret_sent)
{
	size_t head = sizeof(struct virtio_bufshare_buffer_create) + ALIGN(buffer->user_len, 8);
	u32 count = min_t(size_t, buffer->num_extents,
			  (bdev->limits.max_request - head) /
			  sizeof(struct virtio_bufshare_extent));
	const struct virtio_bufshare_buffer_create_resp *resp;
	struct virtio_bufshare_buffer_create *out;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_BUFFER_CREATE,
				     head + count * sizeof(struct virtio_bufshare_extent),
				     sizeof(*resp), GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	out = req->out;
	out->size = cpu_to_le64(buffer->size);
	out->num_extents = cpu_to_le32(buffer->num_extents);
	out->num_inline = cpu_to_le32(count);
	bufshare_desc_to_wire(&out->desc, &buffer->desc, buffer->user_len);
	memcpy(req->out + sizeof(*out), buffer->user, buffer->user_len);
	bufshare_extents_to_wire(req->out + head, buffer->extents, count);

	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	if (!ret) {
		resp = req->in;
		import_uuid(&buffer->uuid, resp->uuid);
		spin_lock(&bdev->lock);
		if (uuid_is_null(&buffer->uuid) || bufshare_buffer_lookup(bdev, &buffer->uuid)) {
			ret = -EIO;
		} else {
			buffer->named = true;
			hash_add(bdev->by_uuid, &buffer->hash, bufshare_uuid_key(&buffer->uuid));
		}
		spin_unlock(&bdev->lock);
		if (ret)
			bufshare_device_kill(bdev, "the device gave a name that is in use");
	}
	bufshare_request_put(req);
	*ret_sent = count;
	return ret;
}

static int bufshare_buffer_send_extents(struct bufshare_device *bdev,
					struct bufshare_buffer *buffer, u32 first, u32 *ret_sent)
{
	u32 count = min_t(size_t, buffer->num_extents - first,
			  (bdev->limits.max_request -
			   sizeof(struct virtio_bufshare_buffer_add_extents)) /
			  sizeof(struct virtio_bufshare_extent));
	struct virtio_bufshare_buffer_add_extents *out;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_BUFFER_ADD_EXTENTS,
				     sizeof(*out) + count * sizeof(struct virtio_bufshare_extent),
				     sizeof(struct virtio_bufshare_resp_hdr), GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	out = req->out;
	export_uuid(out->uuid, &buffer->uuid);
	out->first = cpu_to_le32(first);
	out->count = cpu_to_le32(count);
	bufshare_extents_to_wire(req->out + sizeof(*out), buffer->extents + first, count);
	ret = bufshare_request_run(bdev, req, sizeof(struct virtio_bufshare_resp_hdr));
	bufshare_request_put(req);
	*ret_sent = count;
	return ret;
}

/* Tells the device of a buffer that is in the table; LIVE on success. */
static int bufshare_buffer_announce(struct bufshare_device *bdev, struct bufshare_buffer *buffer)
{
	u32 sent, n;
	int ret;

	ret = bufshare_buffer_send_create(bdev, buffer, &sent);
	if (ret)
		return ret;
	while (sent < buffer->num_extents) {
		/* Unbinding waits for us. */
		if (READ_ONCE(bdev->gone))
			return -ENODEV;
		ret = bufshare_buffer_send_extents(bdev, buffer, sent, &n);
		if (ret)
			return ret;
		sent += n;
		cond_resched();
	}
	return 0;
}

/**
 * bufshare_buffer_export() - share a dma-buf
 * @bdev: The device.
 * @file: Will own the buffer.
 * @args: What to share; its flags, reserved fields and lengths have been checked.
 * @user: args->user_len bytes, kmalloc()ed; taken over, also on failure.
 * @ret_buffer: Receives the live buffer, with a reference for the caller.
 *
 * Context: Process context of the owner of args->fd. Inside bufshare_device_enter().
 *	    Sleeps.
 * Return: 0 or a negative errno, see BUFSHARE_IOC_EXPORT.
 */
int bufshare_buffer_export(struct bufshare_device *bdev, struct bufshare_file *file,
			   const struct bufshare_export *args, void *user,
			   struct bufshare_buffer **ret_buffer)
{
	struct bufshare_buffer *buffer;
	int ret;

	/* What a dead device is told stays pinned until the reset: tell it nothing. */
	if (bufshare_device_dead(bdev)) {
		kfree(user);
		return -EIO;
	}

	buffer = kzalloc_obj(*buffer, GFP_KERNEL_ACCOUNT);
	if (!buffer) {
		kfree(user);
		return -ENOMEM;
	}
	kref_init(&buffer->ref);
	buffer->phase = BUFSHARE_PHASE_FILLING;
	INIT_LIST_HEAD(&buffer->file_node);
	buffer->desc = args->desc;
	buffer->user = user;
	buffer->user_len = args->user_len;
	buffer->tgid = get_pid(task_tgid(current));

	ret = bufshare_pages_pin(&buffer->pages, args->fd, bdev->vdev->dev.parent);
	if (ret)
		goto err_put;
	buffer->size = buffer->pages.dmabuf->size;
	ret = bufshare_pages_extents(&buffer->pages, &bdev->limits, &buffer->extents,
				     &buffer->num_extents);
	if (ret)
		goto err_unpin;

	spin_lock(&bdev->lock);
	/* An exporter can take long to pin: the host need not hear of a buffer that late. */
	ret = bdev->gone ? -ENODEV : bufshare_buffer_charge(buffer, file);
	spin_unlock(&bdev->lock);
	if (ret)
		goto err_unpin;
	buffer->in_table = true;
	ret = xa_alloc_cyclic(&bdev->buffers, &buffer->id, buffer, XA_LIMIT(1, UINT_MAX),
			      &bdev->next_id, GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		goto err_disown;

	kref_get(&buffer->ref);
	ret = bufshare_buffer_announce(bdev, buffer);
	trace_bufshare_export(bdev->id, &buffer->uuid, buffer->size, buffer->num_extents, ret);
	if (ret)
		goto err_retire;

	spin_lock(&bdev->lock);
	/* The farewell ends those that are live; it may be over. */
	if (bdev->gone)
		ret = -ENODEV;
	else
		buffer->phase = BUFSHARE_PHASE_LIVE;
	spin_unlock(&bdev->lock);
	if (ret)
		goto err_retire;
	*ret_buffer = buffer;
	return 0;

err_retire:
	spin_lock(&bdev->lock);
	bufshare_buffer_disown(buffer);
	buffer->phase = buffer->named ? BUFSHARE_PHASE_DESTROYING : BUFSHARE_PHASE_LOST;
	spin_unlock(&bdev->lock);
	if (buffer->named)
		bufshare_buffer_retire(bdev, buffer);
	else if (!bufshare_device_dead(bdev))
		bufshare_buffer_release(bdev, buffer); /* the device said no */
	bufshare_buffer_put(buffer);
	return ret;

err_disown:
	spin_lock(&bdev->lock);
	bufshare_buffer_disown(buffer);
	spin_unlock(&bdev->lock);
err_unpin:
	bufshare_pages_unpin(&buffer->pages);
err_put:
	bufshare_buffer_put(buffer);
	return ret;
}

/**
 * bufshare_buffer_unexport() - end a buffer's name
 * @bdev: The device.
 * @file: The buffer's owner.
 * @uuid: The buffer.
 *
 * Context: Process context. Inside bufshare_device_enter(). Sleeps.
 * Return: 0, -ENOENT if @file has no such live buffer, -EIO if the device is dead.
 */
int bufshare_buffer_unexport(struct bufshare_device *bdev, struct bufshare_file *file,
			     const uuid_t *uuid)
{
	struct bufshare_buffer *buffer;
	int ret;

	spin_lock(&bdev->lock);
	buffer = bufshare_buffer_lookup(bdev, uuid);
	if (!buffer || buffer->file != file || buffer->phase != BUFSHARE_PHASE_LIVE) {
		spin_unlock(&bdev->lock);
		return -ENOENT;
	}
	buffer->phase = BUFSHARE_PHASE_DESTROYING;
	kref_get(&buffer->ref);
	spin_unlock(&bdev->lock);

	ret = bufshare_buffer_retire(bdev, buffer);
	bufshare_buffer_put(buffer);
	return ret;
}

/**
 * bufshare_buffer_find() - find a buffer that the device has a name for
 * @bdev: The device.
 * @uuid: The name.
 *
 * Context: Process context.
 * Return: The buffer with a reference for the caller, live or draining; or NULL.
 */
struct bufshare_buffer *bufshare_buffer_find(struct bufshare_device *bdev, const uuid_t *uuid)
{
	struct bufshare_buffer *buffer;

	spin_lock(&bdev->lock);
	buffer = bufshare_buffer_lookup(bdev, uuid);
	if (buffer && buffer->phase == BUFSHARE_PHASE_FILLING)
		buffer = NULL;
	if (buffer)
		kref_get(&buffer->ref);
	spin_unlock(&bdev->lock);
	return buffer;
}

/**
 * bufshare_buffer_next() - walk the buffers
 * @bdev: The device.
 * @file: Whose buffers.
 * @all: Everybody's buffers, also those whose file is closed.
 * @cursor: 0 at first; moved on to the buffer that is returned.
 *
 * Context: Process context.
 * Return: The next buffer with a reference for the caller, or NULL at the end.
 */
struct bufshare_buffer *bufshare_buffer_next(struct bufshare_device *bdev,
					     struct bufshare_file *file, bool all, u64 *cursor)
{
	struct bufshare_buffer *buffer;
	unsigned long index;

	if (*cursor >= U32_MAX)
		return NULL;
	index = *cursor + 1;

	spin_lock(&bdev->lock);
	buffer = xa_find(&bdev->buffers, &index, U32_MAX, XA_PRESENT);
	while (buffer && (!buffer->named || buffer->phase == BUFSHARE_PHASE_FILLING ||
			  !(all || buffer->file == file)))
		buffer = xa_find_after(&bdev->buffers, &index, U32_MAX, XA_PRESENT);
	if (buffer) {
		kref_get(&buffer->ref);
		*cursor = index;
	}
	spin_unlock(&bdev->lock);
	return buffer;
}

/* Takes what the device said no to, too, unless that was final.  Under bdev->lock. */
static bool bufshare_buffer_begin_retire(struct bufshare_buffer *buffer)
{
	if (buffer->phase != BUFSHARE_PHASE_LIVE &&
	    !(buffer->phase == BUFSHARE_PHASE_LOST && buffer->retry))
		return false;
	buffer->phase = BUFSHARE_PHASE_DESTROYING;
	return true;
}

/**
 * bufshare_buffers_close() - unexport all that a file exported
 * @bdev: The device.
 * @file: The file; nobody uses it any more.
 * @tell: Tell the device. Otherwise it is gone: bufshare_buffers_farewell() does or did.
 *
 * Context: Process context, maybe of a dying process. Inside bufshare_device_enter() if
 *	    @tell; then it sleeps.
 */
void bufshare_buffers_close(struct bufshare_device *bdev, struct bufshare_file *file, bool tell)
{
	struct bufshare_buffer *buffer;
	bool retire;

	for (;;) {
		spin_lock(&bdev->lock);
		buffer = list_first_entry_or_null(&file->buffers, struct bufshare_buffer,
						  file_node);
		if (!buffer) {
			spin_unlock(&bdev->lock);
			break;
		}
		bufshare_buffer_disown(buffer);
		retire = tell && bufshare_buffer_begin_retire(buffer);
		if (retire)
			kref_get(&buffer->ref);
		spin_unlock(&bdev->lock);

		if (retire) {
			bufshare_buffer_retire(bdev, buffer);
			bufshare_buffer_put(buffer);
		}
		cond_resched();
	}
}

/* Ends those that @live, or that the device could not end before, until @deadline. */
static void bufshare_buffers_retire(struct bufshare_device *bdev, bool live,
				    unsigned long deadline)
{
	struct bufshare_buffer *buffer;
	unsigned long index = 0;
	bool retire;

	while (!bufshare_device_dead(bdev) && time_before(jiffies, deadline)) {
		spin_lock(&bdev->lock);
		buffer = xa_find_after(&bdev->buffers, &index, U32_MAX, XA_PRESENT);
		retire = buffer && (live || buffer->phase == BUFSHARE_PHASE_LOST) &&
			 bufshare_buffer_begin_retire(buffer);
		if (retire)
			kref_get(&buffer->ref);
		spin_unlock(&bdev->lock);
		if (!buffer)
			break;
		if (retire) {
			bufshare_buffer_retire(bdev, buffer);
			bufshare_buffer_put(buffer);
		}
		cond_resched();
	}
}

/**
 * bufshare_buffers_farewell() - destroy every buffer, so that its users are told
 * @bdev: The device; gone. Others may be inside: none of their buffers becomes live now.
 * @deadline: Jiffies; nothing is begun after that.
 *
 * Context: Process context. Sleeps.
 */
void bufshare_buffers_farewell(struct bufshare_device *bdev, unsigned long deadline)
{
	bufshare_buffers_retire(bdev, true, deadline);
}

/* Asks for every draining buffer whether it is idle. */
static void bufshare_buffers_query(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buffer;
	unsigned long index = 0;

	for (;;) {
		spin_lock(&bdev->lock);
		buffer = xa_find_after(&bdev->buffers, &index, U32_MAX, XA_PRESENT);
		while (buffer && !(buffer->named && buffer->phase == BUFSHARE_PHASE_DRAINING))
			buffer = xa_find_after(&bdev->buffers, &index, U32_MAX, XA_PRESENT);
		if (buffer)
			kref_get(&buffer->ref);
		spin_unlock(&bdev->lock);
		if (!buffer)
			break;
		bufshare_buffer_query(bdev, buffer);
		bufshare_buffer_put(buffer);
		cond_resched();
	}
}

/**
 * bufshare_buffers_retry() - ask again what the device could not answer
 * @bdev: The device.
 *
 * What fails again is asked again with the next event, not before.
 *
 * Context: The event worker. Sleeps.
 */
void bufshare_buffers_retry(struct bufshare_device *bdev)
{
	spin_lock(&bdev->lock);
	bdev->retry_buffers = false;
	spin_unlock(&bdev->lock);
	bufshare_buffers_retire(bdev, false, jiffies + MAX_JIFFY_OFFSET);
	bufshare_buffers_query(bdev);
}

/**
 * bufshare_buffer_idle() - the device said that nobody uses a destroyed buffer any more
 * @bdev: The device.
 * @uuid: The buffer.
 *
 * Context: The event worker.
 */
void bufshare_buffer_idle(struct bufshare_device *bdev, const uuid_t *uuid)
{
	struct bufshare_buffer *buffer;
	bool release = false, early = false;

	spin_lock(&bdev->lock);
	buffer = bufshare_buffer_lookup(bdev, uuid);
	if (buffer) {
		switch (buffer->phase) {
		case BUFSHARE_PHASE_DRAINING:
			release = true;
			kref_get(&buffer->ref);
			break;
		case BUFSHARE_PHASE_DESTROYING:
			buffer->phase = BUFSHARE_PHASE_IDLE_EARLY;
			break;
		case BUFSHARE_PHASE_FILLING:
		case BUFSHARE_PHASE_LIVE:
			early = true;
			break;
		case BUFSHARE_PHASE_IDLE_EARLY:
		case BUFSHARE_PHASE_LOST:
			break;
		}
	}
	spin_unlock(&bdev->lock);

	if (early)
		dev_warn_ratelimited(&bdev->vdev->dev,
				     "ignoring that buffer %pUb is idle: it is not destroyed\n",
				     uuid);
	if (release) {
		bufshare_buffer_release(bdev, buffer);
		bufshare_buffer_put(buffer);
	}
}

/**
 * bufshare_buffers_resync() - find out which draining buffers are idle
 * @bdev: The device.
 *
 * Context: The event worker. Sleeps.
 */
void bufshare_buffers_resync(struct bufshare_device *bdev)
{
	/* Whoever is in DESTROYING now sees the new number, and asks for itself. */
	spin_lock(&bdev->lock);
	bdev->resyncs++;
	spin_unlock(&bdev->lock);
	bufshare_buffers_query(bdev);
}

/**
 * bufshare_buffers_release_all() - unpin everything
 * @bdev: The device; the virtio device was reset, nobody else acts on it any more.
 *
 * Context: Process context. Sleeps.
 */
void bufshare_buffers_release_all(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buffer;
	unsigned long index;

	xa_for_each(&bdev->buffers, index, buffer) {
		bufshare_buffer_release(bdev, buffer);
		cond_resched();
	}
}
