// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: events of the device.
 *
 * A worker handles them, one after the other, in process context.  What it does may
 * not fail for lack of memory, or an event would be lost: everything an event has to
 * leave behind has its room already.  An event can overtake the response of the
 * request that made it possible; the buffer's phase and the frame's state know that.
 */
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "bufshare.h"
#include "bufshare_trace.h"

/* More posted buffers than this do not help: the device keeps a backlog of its own. */
#define BUFSHARE_MAX_EVENT_BUFFERS 64

static int bufshare_event_post(struct bufshare_device *bdev, void *space)
{
	struct scatterlist sg;

	sg_init_one(&sg, space, VIRTIO_BUFSHARE_EVENT_SPACE);
	return virtqueue_add_inbuf(bdev->event, &sg, 1, space, GFP_KERNEL);
}

/*
 * The device dropped events.  All that they could have said is state, and is asked
 * for.  Events that are older than the answers may still come: they name buffers and
 * frames that are done with, and change nothing.
 */
static void bufshare_event_resync(struct bufshare_device *bdev)
{
	trace_bufshare_resync(bdev->id);
	dev_info_ratelimited(&bdev->vdev->dev, "events were lost, asking for the state\n");
	bufshare_buffers_resync(bdev);
	bufshare_streams_resync(bdev);
}

static void bufshare_event_handle(struct bufshare_device *bdev,
				  const struct virtio_bufshare_event *event)
{
	u32 type = le32_to_cpu(event->type);
	uuid_t uuid;

	switch (type) {
	case VIRTIO_BUFSHARE_EVENT_BUFFER_IDLE:
		import_uuid(&uuid, event->uuid);
		bufshare_buffer_idle(bdev, &uuid);
		break;
	case VIRTIO_BUFSHARE_EVENT_RESYNC:
		bufshare_event_resync(bdev);
		break;
	case VIRTIO_BUFSHARE_EVENT_FRAME_RELEASED:
		bufshare_stream_released(bdev, le32_to_cpu(event->stream_id),
					 le64_to_cpu(event->sequence), event->uuid);
		break;
	case VIRTIO_BUFSHARE_EVENT_STREAM_LISTENERS:
		bufshare_stream_listeners(bdev, le32_to_cpu(event->stream_id),
					  le32_to_cpu(event->listeners));
		break;
	default:
		dev_warn_ratelimited(&bdev->vdev->dev, "ignoring an event of unknown type 0x%x\n",
				     type);
	}
}

static void bufshare_event_work(struct work_struct *work)
{
	struct bufshare_device *bdev = container_of(work, struct bufshare_device, event_work);
	struct virtio_bufshare_event event;
	unsigned int used;
	void *space;

	if (virtqueue_is_broken(bdev->control) || virtqueue_is_broken(bdev->event))
		bufshare_device_kill(bdev, "a virtqueue is broken");
	if (xchg(&bdev->config_changed, false) &&
	    (bdev->vdev->config->get_status(bdev->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET))
		bufshare_device_kill(bdev, "the device says that it needs a reset");

	while (!bufshare_device_dead(bdev)) {
		space = virtqueue_get_buf(bdev->event, &used);
		if (!space)
			break;
		if (used < sizeof(event) || used > VIRTIO_BUFSHARE_EVENT_SPACE) {
			bufshare_device_kill(bdev, "the device sent an event of a wrong length");
			break;
		}
		/* Copied, then handed back at once: handling it can take time. */
		memcpy(&event, space, sizeof(event));
		if (bufshare_event_post(bdev, space)) {
			bufshare_device_kill(bdev, "the event queue takes no buffer");
			break;
		}
		virtqueue_kick(bdev->event);
		bufshare_event_handle(bdev, &event);
		cond_resched();
	}
	if (READ_ONCE(bdev->ask_streams))
		bufshare_streams_resync(bdev);
	if (READ_ONCE(bdev->retry_buffers))
		bufshare_buffers_retry(bdev);
}

/**
 * bufshare_event_arrived() - callback of the event queue
 * @vq: The event queue.
 *
 * Context: Interrupt.
 */
void bufshare_event_arrived(struct virtqueue *vq)
{
	struct bufshare_device *bdev = vq->vdev->priv;

	if (smp_load_acquire(&bdev->ready)) /* paired with bufshare_device_ready() */
		queue_work(bdev->event_wq, &bdev->event_work);
}

/**
 * bufshare_event_init() - make the worker
 * @bdev: The device; it has no virtqueues yet, so no callback needs the worker already.
 *
 * Context: Process context, in probe.
 * Return: 0 or a negative errno.
 */
int bufshare_event_init(struct bufshare_device *bdev)
{
	INIT_WORK(&bdev->event_work, bufshare_event_work);
	bdev->event_wq = alloc_ordered_workqueue("%s", 0, bdev->name);
	return bdev->event_wq ? 0 : -ENOMEM;
}

/**
 * bufshare_event_fill() - post all event buffers
 * @bdev: The device, not ready yet; the caller kicks the queue once it is.
 *
 * Context: Process context, in probe.
 * Return: 0 or a negative errno; bufshare_event_drain() is due in both cases.
 */
int bufshare_event_fill(struct bufshare_device *bdev)
{
	unsigned int i, count = min_t(unsigned int, virtqueue_get_vring_size(bdev->event),
				      BUFSHARE_MAX_EVENT_BUFFERS);
	int ret;

	bdev->event_space = kcalloc(count, VIRTIO_BUFSHARE_EVENT_SPACE, GFP_KERNEL);
	if (!bdev->event_space)
		return -ENOMEM;
	for (i = 0; i < count; i++) {
		ret = bufshare_event_post(bdev,
					  bdev->event_space + i * VIRTIO_BUFSHARE_EVENT_SPACE);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * bufshare_event_drain() - stop the worker and take the event buffers back
 * @bdev: The device, killed and reset: no callback runs any more.
 *
 * Context: Process context. Waits for the worker.
 */
void bufshare_event_drain(struct bufshare_device *bdev)
{
	cancel_work_sync(&bdev->event_work);
	while (virtqueue_detach_unused_buf(bdev->event))
		;
	kfree(bdev->event_space);
	bdev->event_space = NULL;
}
