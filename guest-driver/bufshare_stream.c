// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: streams and the frames that are in flight on them.
 *
 * A frame has a slot from its publication until the file has read of its release.  The
 * slot is the room for that notice, so a release needs no memory, and a file that
 * never reads cannot make the driver hold more than max_frames of them.
 *
 * A stream is in the device's list while the virtio device knows it and belongs to a
 * file; the list holds one reference.  An unbound device leaves its streams to their
 * files, which may still want to read what happened last.
 */
#include <linux/slab.h>
#include <linux/string.h>

#include "bufshare.h"
#include "compat.h"
#include "bufshare_trace.h"

static void bufshare_stream_free(struct kref *ref)
{
	kfree(container_of(ref, struct bufshare_stream, ref));
}

static void bufshare_stream_put(struct bufshare_stream *stream)
{
	kref_put(&stream->ref, bufshare_stream_free);
}

/* Under bdev->lock. */
static struct bufshare_stream *bufshare_stream_lookup(struct bufshare_device *bdev, u32 id)
{
	struct bufshare_stream *stream;

	lockdep_assert_held(&bdev->lock);
	list_for_each_entry(stream, &bdev->streams, node) {
		if (stream->id == id)
			return stream;
	}
	return NULL;
}

/* The file's own stream, with a reference for the caller; or NULL. */
static struct bufshare_stream *bufshare_stream_get(struct bufshare_device *bdev,
						   struct bufshare_file *file, u32 id)
{
	struct bufshare_stream *stream;

	spin_lock(&bdev->lock);
	stream = bufshare_stream_lookup(bdev, id);
	if (stream && stream->file == file)
		kref_get(&stream->ref);
	else
		stream = NULL;
	spin_unlock(&bdev->lock);
	return stream;
}

/* Under bdev->lock: the buffer may be published again. */
static void bufshare_frame_unlink(struct bufshare_frame *frame)
{
	if (frame->buffer)
		frame->buffer->frame = NULL;
	frame->buffer = NULL;
}

/* Under bdev->lock: tells the file, which frees the slot by reading that. */
static void bufshare_frame_release(struct bufshare_device *bdev, struct bufshare_stream *stream,
				   struct bufshare_frame *frame)
{
	trace_bufshare_release(bdev->id, stream->id, frame->sequence);
	bufshare_frame_unlink(frame);
	frame->state = BUFSHARE_FRAME_RELEASED;
	bufshare_file_notify(stream->file, &frame->notice);
}

/**
 * bufshare_stream_create() - make a stream
 * @bdev: The device.
 * @file: Will own it.
 * @args: Flags and reserved fields have been checked; stream_id and max_frames are
 *	  filled in on success.
 *
 * Context: Process context. Inside bufshare_device_enter(). Sleeps.
 * Return: 0 or a negative errno, see BUFSHARE_IOC_STREAM_CREATE.
 */
int bufshare_stream_create(struct bufshare_device *bdev, struct bufshare_file *file,
			   struct bufshare_stream_create *args)
{
	size_t len = strnlen(args->name, sizeof(args->name));
	const struct virtio_bufshare_stream_create_resp *resp;
	struct virtio_bufshare_stream_create *out;
	struct bufshare_stream *stream;
	struct bufshare_request *req;
	unsigned int i;
	u32 strays;
	int ret;

	if (!args->max_frames)
		args->max_frames = bdev->limits.max_frames;
	/* Which characters a name may have is the device's to say. */
	if (!len || len == sizeof(args->name) ||
	    memchr_inv(args->name + len, 0, sizeof(args->name) - len) ||
	    args->max_frames > bdev->limits.max_frames)
		return -EINVAL;

	stream = kzalloc_flex(*stream, frames, args->max_frames, GFP_KERNEL_ACCOUNT);
	if (!stream)
		return -ENOMEM;
	kref_init(&stream->ref);
	mutex_init(&stream->publish);
	stream->file = file;
	stream->num_frames = args->max_frames;
	memcpy(stream->name, args->name, sizeof(stream->name));
	INIT_LIST_HEAD(&stream->notice.node);
	for (i = 0; i < stream->num_frames; i++) {
		INIT_LIST_HEAD(&stream->frames[i].notice.node);
		stream->frames[i].notice.frame = &stream->frames[i];
	}

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_STREAM_CREATE, sizeof(*out),
				     sizeof(*resp), GFP_KERNEL);
	if (!req) {
		ret = -ENOMEM;
		goto err_put;
	}
	out = req->out;
	memcpy(out->name, args->name, sizeof(out->name));
	out->max_frames = cpu_to_le32(args->max_frames);
	spin_lock(&bdev->lock);
	strays = bdev->stray_events;
	spin_unlock(&bdev->lock);
	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	if (ret)
		goto err_free_req;
	resp = req->in;
	stream->id = le32_to_cpu(resp->stream_id);

	spin_lock(&bdev->lock);
	if (!stream->id || bufshare_stream_lookup(bdev, stream->id)) {
		ret = -EIO;
	} else {
		stream->serial = ++bdev->next_serial;
		list_add_tail(&stream->node, &bdev->streams);
		args->stream_id = stream->id;
		/* A consumer was so quick that there was no stream yet to note it in. */
		if (bdev->stray_events != strays) {
			bdev->ask_streams = true;
			queue_work(bdev->event_wq, &bdev->event_work);
		}
	}
	spin_unlock(&bdev->lock);
	if (ret) {
		bufshare_device_kill(bdev, "the device gave a stream number that is in use");
		goto err_free_req;
	}
	bufshare_request_put(req);
	return 0;

err_free_req:
	bufshare_request_put(req);
err_put:
	bufshare_stream_put(stream);
	return ret;
}

static int bufshare_stream_send_destroy(struct bufshare_device *bdev,
					struct bufshare_stream *stream)
{
	struct virtio_bufshare_stream_ref *out;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_STREAM_DESTROY, sizeof(*out),
				     sizeof(struct virtio_bufshare_resp_hdr),
				     GFP_KERNEL | __GFP_NOFAIL);
	out = req->out;
	out->stream_id = cpu_to_le32(stream->id);
	ret = bufshare_request_run(bdev, req, sizeof(struct virtio_bufshare_resp_hdr));
	bufshare_request_put(req);
	return ret == -ENOENT ? 0 : ret;
}

/*
 * Ends a stream for which the caller has a reference; with @tell the device, too.  The
 * file hears no more of it: what it has not read is dropped, and what the host gives back
 * now is nobody's.
 */
static int bufshare_stream_end(struct bufshare_device *bdev, struct bufshare_stream *stream,
			       bool tell)
{
	unsigned int i;
	int ret;

	/* Waits for a PUBLISH or a resync that is under way. */
	mutex_lock(&stream->publish);
	spin_lock(&bdev->lock);
	if (!stream->file) {
		spin_unlock(&bdev->lock);
		mutex_unlock(&stream->publish);
		return -ENOENT;
	}
	for (i = 0; i < stream->num_frames; i++) {
		bufshare_frame_unlink(&stream->frames[i]);
		bufshare_file_forget(stream->file, &stream->frames[i].notice);
	}
	bufshare_file_forget(stream->file, &stream->notice);
	stream->file = NULL;
	list_del(&stream->node);
	spin_unlock(&bdev->lock);
	mutex_unlock(&stream->publish);

	ret = tell ? bufshare_stream_send_destroy(bdev, stream) : 0;
	bufshare_stream_put(stream);
	return ret;
}

/**
 * bufshare_stream_destroy() - end a stream
 * @bdev: The device.
 * @file: Its owner.
 * @id: The stream.
 *
 * Context: Process context. Inside bufshare_device_enter(). Sleeps.
 * Return: 0, -ENOENT if @file has no such stream, -EIO if the device is dead.
 */
int bufshare_stream_destroy(struct bufshare_device *bdev, struct bufshare_file *file, u32 id)
{
	struct bufshare_stream *stream = bufshare_stream_get(bdev, file, id);
	int ret;

	if (!stream)
		return -ENOENT;
	ret = bufshare_stream_end(bdev, stream, true);
	bufshare_stream_put(stream);
	return ret;
}

/**
 * bufshare_streams_close() - end all streams of a file
 * @bdev: The device.
 * @file: The file; nobody uses it any more.
 * @tell: Tell the device. Otherwise it is gone: bufshare_streams_farewell() does or did.
 *
 * Context: Process context, maybe of a dying process. Inside bufshare_device_enter() if
 *	    @tell. Sleeps.
 */
void bufshare_streams_close(struct bufshare_device *bdev, struct bufshare_file *file, bool tell)
{
	struct bufshare_stream *stream, *found;

	for (;;) {
		found = NULL;
		spin_lock(&bdev->lock);
		list_for_each_entry(stream, &bdev->streams, node) {
			if (stream->file == file) {
				found = stream;
				kref_get(&found->ref);
				break;
			}
		}
		spin_unlock(&bdev->lock);
		if (!found)
			break;
		bufshare_stream_end(bdev, found, tell);
		bufshare_stream_put(found);
	}
}

/* The first stream made after @serial, with a reference for the caller; or NULL. */
static struct bufshare_stream *bufshare_stream_after(struct bufshare_device *bdev, u64 serial)
{
	struct bufshare_stream *stream, *found = NULL;

	spin_lock(&bdev->lock);
	list_for_each_entry(stream, &bdev->streams, node) {
		if (stream->serial > serial) {
			found = stream;
			kref_get(&found->ref);
			break;
		}
	}
	spin_unlock(&bdev->lock);
	return found;
}

/**
 * bufshare_streams_farewell() - destroy every stream, so that its consumers are told
 * @bdev: The device; gone. Others may be inside.
 * @deadline: Jiffies; nothing is begun after that.
 *
 * Context: Process context. Sleeps.
 */
void bufshare_streams_farewell(struct bufshare_device *bdev, unsigned long deadline)
{
	struct bufshare_stream *stream;
	u64 serial = 0;

	/* They stay with their files, which may want to read what happened before. */
	while (!bufshare_device_dead(bdev) && time_before(jiffies, deadline)) {
		stream = bufshare_stream_after(bdev, serial);
		if (!stream)
			break;
		serial = stream->serial;
		bufshare_stream_send_destroy(bdev, stream);
		bufshare_stream_put(stream);
	}
}

/*
 * Takes a slot for a frame and ties the buffer to it.  From here on the frame's
 * release may arrive.  Under stream->publish.
 */
static int bufshare_frame_claim(struct bufshare_device *bdev, struct bufshare_stream *stream,
				struct bufshare_file *file, const struct bufshare_publish *args,
				struct bufshare_frame **ret_frame)
{
	struct bufshare_frame *frame = NULL;
	struct bufshare_buffer *buffer;
	unsigned int i;
	uuid_t uuid;

	import_uuid(&uuid, args->uuid);
	lockdep_assert_held(&bdev->lock);
	if (!stream->file)
		return -ENOENT;
	buffer = bufshare_buffer_lookup(bdev, &uuid);
	if (!buffer || buffer->file != file || buffer->phase != BUFSHARE_PHASE_LIVE)
		return -ENOENT;
	if (stream->published && args->sequence <= stream->sequence)
		return -EINVAL;
	if (buffer->frame)
		return -EBUSY;
	for (i = 0; i < stream->num_frames && !frame; i++) {
		if (stream->frames[i].state == BUFSHARE_FRAME_FREE)
			frame = &stream->frames[i];
	}
	if (!frame)
		return -EAGAIN;

	frame->state = BUFSHARE_FRAME_PENDING;
	frame->sequence = args->sequence;
	frame->buffer = buffer;
	buffer->frame = frame;
	frame->notice.event = (struct bufshare_event) {
		.type = BUFSHARE_EVENT_FRAME_RELEASED,
		.stream_id = stream->id,
		.sequence = args->sequence,
	};
	export_uuid(frame->notice.event.uuid, &uuid);
	*ret_frame = frame;
	return 0;
}

/* What the device said of a frame that was claimed.  Under stream->publish. */
static void bufshare_frame_settle(struct bufshare_device *bdev, struct bufshare_stream *stream,
				  struct bufshare_frame *frame, u32 listeners, int error)
{
	lockdep_assert_held(&bdev->lock);
	if (!error) {
		stream->published = true;
		stream->sequence = frame->sequence;
	}
	if (error || !listeners) {
		/* Nobody has it: the publisher knows from the ioctl's result. */
		bufshare_frame_unlink(frame);
		frame->state = BUFSHARE_FRAME_FREE;
	} else if (frame->state == BUFSHARE_FRAME_PENDING_EARLY) {
		bufshare_frame_release(bdev, stream, frame);
	} else {
		frame->state = BUFSHARE_FRAME_IN_FLIGHT;
	}
}

static int bufshare_frame_send(struct bufshare_device *bdev, const struct bufshare_publish *args,
			       struct bufshare_request *req, u32 *ret_listeners)
{
	const struct virtio_bufshare_stream_publish_resp *resp = req->in;
	struct virtio_bufshare_stream_publish *out = req->out;
	int ret;

	out->stream_id = cpu_to_le32(args->stream_id);
	out->clock = cpu_to_le32(args->clock);
	memcpy(out->uuid, args->uuid, sizeof(out->uuid));
	out->sequence = cpu_to_le64(args->sequence);
	out->timestamp = cpu_to_le64(args->timestamp);
	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	*ret_listeners = ret ? 0 : le32_to_cpu(resp->listeners);
	/* The one limit that publishing meets is the number of frames in flight. */
	return ret == -EDQUOT ? -EAGAIN : ret;
}

/**
 * bufshare_stream_publish() - hand a frame to the consumers of a stream
 * @bdev: The device.
 * @file: Owner of stream and buffer.
 * @args: Flags and reserved fields have been checked; listeners is filled in.
 *
 * Context: Process context. Inside bufshare_device_enter(). Sleeps.
 * Return: 0, -ERESTARTSYS if a signal came before anything was done, or a negative
 *	   errno, see BUFSHARE_IOC_PUBLISH.
 */
int bufshare_stream_publish(struct bufshare_device *bdev, struct bufshare_file *file,
			    struct bufshare_publish *args)
{
	struct bufshare_stream *stream = bufshare_stream_get(bdev, file, args->stream_id);
	struct bufshare_request *req;
	struct bufshare_frame *frame;
	u32 listeners = 0;
	int ret;

	if (!stream)
		return -ENOENT;
	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_STREAM_PUBLISH,
				     sizeof(struct virtio_bufshare_stream_publish),
				     sizeof(struct virtio_bufshare_stream_publish_resp),
				     GFP_KERNEL);
	if (!req) {
		ret = -ENOMEM;
		goto out_put;
	}
	/* One at a time: the device wants growing sequence numbers. */
	if (mutex_lock_interruptible(&stream->publish)) {
		ret = -ERESTARTSYS;
		goto out_free_req;
	}

	spin_lock(&bdev->lock);
	ret = bufshare_frame_claim(bdev, stream, file, args, &frame);
	spin_unlock(&bdev->lock);
	if (ret)
		goto out_unlock;

	ret = bufshare_frame_send(bdev, args, req, &listeners);
	trace_bufshare_publish(bdev->id, stream->id, args->sequence, listeners, ret);

	spin_lock(&bdev->lock);
	bufshare_frame_settle(bdev, stream, frame, listeners, ret);
	spin_unlock(&bdev->lock);
	args->listeners = listeners;

out_unlock:
	mutex_unlock(&stream->publish);
out_free_req:
	bufshare_request_put(req);
out_put:
	bufshare_stream_put(stream);
	return ret;
}

/**
 * bufshare_stream_released() - the device said that a frame has no user any more
 * @bdev: The device.
 * @id: The stream.
 * @sequence: The frame.
 * @uuid: The frame's buffer.
 *
 * A frame that is not in flight is no error: a frame that went to nobody is known to
 * be free from its response already, and a resync can be ahead of events.
 *
 * Context: The event worker.
 */
void bufshare_stream_released(struct bufshare_device *bdev, u32 id, u64 sequence,
			      const u8 *uuid)
{
	struct bufshare_stream *stream;
	struct bufshare_frame *frame;
	unsigned int i;

	spin_lock(&bdev->lock);
	stream = bufshare_stream_lookup(bdev, id);
	for (i = 0; stream && i < stream->num_frames; i++) {
		frame = &stream->frames[i];
		if (frame->sequence != sequence ||
		    memcmp(frame->notice.event.uuid, uuid, sizeof(frame->notice.event.uuid)))
			continue;
		if (frame->state == BUFSHARE_FRAME_PENDING)
			frame->state = BUFSHARE_FRAME_PENDING_EARLY;
		else if (frame->state == BUFSHARE_FRAME_IN_FLIGHT)
			bufshare_frame_release(bdev, stream, frame);
	}
	spin_unlock(&bdev->lock);
}

/* Under bdev->lock.  A state, not a history: the file reads the last number. */
static void bufshare_stream_set_listeners(struct bufshare_stream *stream, u32 listeners)
{
	if (stream->listeners == listeners)
		return;
	stream->listeners = listeners;
	stream->notice.event = (struct bufshare_event) {
		.type = BUFSHARE_EVENT_LISTENERS,
		.stream_id = stream->id,
		.value = listeners,
	};
	bufshare_file_notify(stream->file, &stream->notice);
}

/**
 * bufshare_stream_listeners() - the number of a stream's consumers changed
 * @bdev: The device.
 * @id: The stream.
 * @listeners: Consumers now.
 *
 * Context: The event worker.
 */
void bufshare_stream_listeners(struct bufshare_device *bdev, u32 id, u32 listeners)
{
	struct bufshare_stream *stream;

	spin_lock(&bdev->lock);
	stream = bufshare_stream_lookup(bdev, id);
	if (stream)
		bufshare_stream_set_listeners(stream, listeners);
	else
		/* Of a stream that is done with, or that is just being made. */
		bdev->stray_events++;
	spin_unlock(&bdev->lock);
}

static bool bufshare_sequence_listed(const struct virtio_bufshare_stream_query_resp *resp,
				     u32 count, u64 sequence)
{
	const __le64 *list = (const __le64 *)(resp + 1);
	u32 i;

	for (i = 0; i < count; i++) {
		if (le64_to_cpu(list[i]) == sequence)
			return true;
	}
	return false;
}

/* Under stream->publish, so that no frame is PENDING: what is not listed is released. */
static void bufshare_stream_resync(struct bufshare_device *bdev, struct bufshare_stream *stream)
{
	const size_t in_len = sizeof(struct virtio_bufshare_stream_query_resp) +
			      VIRTIO_BUFSHARE_MAX_FRAMES * sizeof(__le64);
	const struct virtio_bufshare_stream_query_resp *resp;
	struct virtio_bufshare_stream_ref *out;
	struct bufshare_request *req;
	struct bufshare_frame *frame;
	u32 i, count = 0, listeners = 0;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_STREAM_QUERY, sizeof(*out), in_len,
				     GFP_KERNEL | __GFP_NOFAIL);
	out = req->out;
	out->stream_id = cpu_to_le32(stream->id);
	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	resp = req->in;
	if (!ret) {
		/* Once: the device can still change what it wrote. */
		listeners = le32_to_cpu(READ_ONCE(resp->listeners));
		count = le32_to_cpu(READ_ONCE(resp->num_frames));
		if (count > VIRTIO_BUFSHARE_MAX_FRAMES ||
		    req->used < sizeof(*resp) + count * sizeof(__le64)) {
			bufshare_device_kill(bdev, "the device sent a list of frames that is cut");
			ret = -EIO;
		}
	}
	if (!ret || ret == -ENOENT) {
		spin_lock(&bdev->lock);
		for (i = 0; stream->file && i < stream->num_frames; i++) {
			frame = &stream->frames[i];
			if (frame->state == BUFSHARE_FRAME_IN_FLIGHT &&
			    !bufshare_sequence_listed(resp, count, frame->sequence))
				bufshare_frame_release(bdev, stream, frame);
		}
		if (stream->file)
			bufshare_stream_set_listeners(stream, listeners);
		spin_unlock(&bdev->lock);
	}
	bufshare_request_put(req);
}

/**
 * bufshare_streams_resync() - find out which frames were released, and who listens
 * @bdev: The device.
 *
 * Context: The event worker. Sleeps.
 */
void bufshare_streams_resync(struct bufshare_device *bdev)
{
	struct bufshare_stream *stream;
	u64 serial = 0;

	spin_lock(&bdev->lock);
	/* A stream that is just being made is not in the list, and has to be asked for later. */
	bdev->stray_events++;
	bdev->ask_streams = false;
	spin_unlock(&bdev->lock);

	while ((stream = bufshare_stream_after(bdev, serial))) {
		serial = stream->serial;
		mutex_lock(&stream->publish);
		bufshare_stream_resync(bdev, stream);
		mutex_unlock(&stream->publish);
		bufshare_stream_put(stream);
		cond_resched();
	}
}
