// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: requests on the control queue.
 *
 * A request is a reference-counted object with memory of its own.  Once it is in the
 * queue the device may write to it until the device is reset, so a caller that gives
 * up waiting drops only its own reference; the queue's goes when the device returns
 * the request, or in bufshare_control_drain() after the reset.
 */
#include <linux/dma-mapping.h>
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "bufshare.h"
#include "compat.h"

/* Descriptors of one request: one to read, one to write. */
#define BUFSHARE_REQUEST_DESCS 2

static unsigned int request_timeout = 30;
module_param(request_timeout, uint, 0644);
MODULE_PARM_DESC(request_timeout,
		 "Seconds (1 to 600) without any answer after which the device is declared dead");

static unsigned long bufshare_request_timeout(struct bufshare_device *bdev)
{
	/* Who unbinds the driver does not wait that long. */
	if (smp_load_acquire(&bdev->gone)) /* paired with bufshare_stop() */
		return READ_ONCE(bdev->farewell);
	return clamp(READ_ONCE(request_timeout), 1U, 600U) * HZ;
}

/**
 * bufshare_request_alloc() - make a request
 * @type: enum virtio_bufshare_req_type.
 * @out_len: Bytes that the device reads, header included; at most BUFSHARE_MAX_REQUEST.
 * @in_len: Bytes that the device may write, header included.
 * @gfp: GFP_KERNEL, with __GFP_NOFAIL where the caller cannot undo what led here.
 *
 * Both parts are zeroed; the request header is filled in.
 *
 * Context: Process context. May sleep.
 * Return: A request with one reference, or NULL.
 */
struct bufshare_request *bufshare_request_alloc(u32 type, size_t out_len, size_t in_len,
						gfp_t gfp)
{
	/*
	 * What the device writes shares no cache line with anything else: not every
	 * platform's DMA is coherent, and the device is not trusted with our pointers.
	 */
	size_t line = max_t(size_t, dma_get_cache_alignment(), L1_CACHE_BYTES);
	size_t in_at = ALIGN(out_len, line);
	struct virtio_bufshare_req_hdr *hdr;
	struct bufshare_request *req;

	req = kzalloc_obj(*req, gfp);
	if (!req)
		return NULL;
	req->out = kzalloc(ALIGN(in_at + in_len, line), gfp);
	if (!req->out) {
		kfree(req);
		return NULL;
	}
	refcount_set(&req->ref, 1);
	INIT_LIST_HEAD(&req->node);
	init_completion(&req->done);
	req->error = -EIO;
	req->out_len = out_len;
	req->in_len = in_len;
	req->in = req->out + in_at;
	hdr = req->out;
	hdr->type = cpu_to_le32(type);
	return req;
}

/**
 * bufshare_request_put() - drop one reference to a request
 * @req: The request, or NULL.
 *
 * Context: Any.
 */
void bufshare_request_put(struct bufshare_request *req)
{
	if (req && refcount_dec_and_test(&req->ref)) {
		kfree(req->out);
		kfree(req);
	}
}

/**
 * bufshare_device_dead() - whether the device failed us
 * @bdev: The device.
 *
 * Context: Any.
 * Return: True after bufshare_device_kill().
 */
bool bufshare_device_dead(struct bufshare_device *bdev)
{
	return READ_ONCE(bdev->dead);
}

/**
 * bufshare_device_kill() - give the device up
 * @bdev: The device.
 * @why: The end of a sentence for the log, or NULL if nothing is wrong (unbinding).
 *
 * Everybody who waits for the device gets -EIO, and so does every later request.
 * Pages that the device knows stay pinned: only a reset ends its access.
 *
 * Context: Process context. Inside bufshare_device_enter(), or where remove() cannot run.
 */
void bufshare_device_kill(struct bufshare_device *bdev, const char *why)
{
	struct bufshare_request *req, *next;
	unsigned long flags;
	bool was_dead;

	spin_lock_irqsave(&bdev->control_lock, flags);
	was_dead = bdev->dead;
	WRITE_ONCE(bdev->dead, true);
	list_for_each_entry_safe(req, next, &bdev->outstanding, node) {
		list_del_init(&req->node);
		complete(&req->done);
	}
	spin_unlock_irqrestore(&bdev->control_lock, flags);
	if (was_dead)
		return;

	if (why)
		dev_err(&bdev->vdev->dev,
			"%s; not used any more: unbind the driver or reset the device\n", why);
	virtio_break_device(bdev->vdev);
	wake_up_all(&bdev->room);
	wake_up_all(&bdev->left);
	bufshare_files_wake(bdev);
}

/**
 * bufshare_control_done() - callback of the control queue
 * @vq: The control queue.
 *
 * Context: Interrupt.
 */
void bufshare_control_done(struct virtqueue *vq)
{
	struct bufshare_device *bdev = vq->vdev->priv;
	struct bufshare_request *req;
	unsigned long flags;
	unsigned int used;

	/* A device that is not to be trusted interrupts when it likes. */
	if (!smp_load_acquire(&bdev->ready)) /* paired with bufshare_device_ready() */
		return;
	spin_lock_irqsave(&bdev->control_lock, flags);
	do {
		virtqueue_disable_cb(vq);
		while ((req = virtqueue_get_buf(vq, &used))) {
			bdev->last_done = jiffies;
			/* After a kill the caller is gone: only the reference is left. */
			if (!list_empty(&req->node)) {
				list_del_init(&req->node);
				req->used = used;
				req->error = 0;
				complete(&req->done);
			}
			bufshare_request_put(req);
		}
		if (virtqueue_is_broken(vq)) {
			/* The worker tells everybody; not in an interrupt. */
			queue_work(bdev->event_wq, &bdev->event_work);
			break;
		}
	} while (!virtqueue_enable_cb(vq));
	spin_unlock_irqrestore(&bdev->control_lock, flags);
	wake_up_all(&bdev->room);
}

/**
 * bufshare_control_drain() - take back what the device never returned
 * @bdev: The device, killed and reset; no callback runs any more, but the worker may: it
 *	  adds nothing to the queue.
 *
 * Context: Process context.
 */
void bufshare_control_drain(struct bufshare_device *bdev)
{
	struct bufshare_request *req;
	unsigned long flags;

	spin_lock_irqsave(&bdev->control_lock, flags);
	while ((req = virtqueue_detach_unused_buf(bdev->control)))
		bufshare_request_put(req);
	spin_unlock_irqrestore(&bdev->control_lock, flags);
}

/**
 * bufshare_device_stale() - whether the device owes answers, and gives none
 * @bdev: The device.
 * @timeout: In jiffies.
 *
 * Context: Process context.
 * Return: True if it has requests and answered nothing for @timeout.
 */
bool bufshare_device_stale(struct bufshare_device *bdev, unsigned long timeout)
{
	unsigned long flags;
	bool stale;

	spin_lock_irqsave(&bdev->control_lock, flags);
	stale = !list_empty(&bdev->outstanding) &&
		time_after_eq(jiffies, bdev->last_done + timeout);
	spin_unlock_irqrestore(&bdev->control_lock, flags);
	return stale;
}

/*
 * After a wait of @timeout: how long to wait on.  0 if the device did nothing at all in
 * that time; a host that is slow, or stood still for some of it, is not dead.
 */
static unsigned long bufshare_time_left(struct bufshare_device *bdev,
					struct bufshare_request *req, unsigned long timeout)
{
	unsigned long flags, left = 0, now;

	spin_lock_irqsave(&bdev->control_lock, flags);
	now = jiffies;
	if (req && list_empty(&req->node))
		left = 1; /* it came just now */
	else if (time_before(now, bdev->last_done + timeout))
		left = bdev->last_done + timeout - now;
	spin_unlock_irqrestore(&bdev->control_lock, flags);
	return left;
}

static int bufshare_request_submit(struct bufshare_device *bdev, struct bufshare_request *req)
{
	unsigned long timeout = bufshare_request_timeout(bdev);
	struct virtqueue *vq = bdev->control;
	struct scatterlist out, in, *sgs[] = { &out, &in };
	unsigned long flags;
	bool notify;
	int ret;

	sg_init_one(&out, req->out, req->out_len);
	sg_init_one(&in, req->in, req->in_len);

	for (;;) {
		notify = false;
		spin_lock_irqsave(&bdev->control_lock, flags);
		ret = bdev->dead ? -EIO : virtqueue_add_sgs(vq, sgs, 1, 1, req, GFP_ATOMIC);
		if (!ret) {
			refcount_inc(&req->ref);
			/* It had nothing to answer until now. */
			if (list_empty(&bdev->outstanding))
				bdev->last_done = jiffies;
			list_add_tail(&req->node, &bdev->outstanding);
			notify = virtqueue_kick_prepare(vq);
		}
		spin_unlock_irqrestore(&bdev->control_lock, flags);

		if (notify)
			virtqueue_notify(vq);
		if (ret == -EIO)
			/* Says so once; a device that was pulled out comes here. */
			bufshare_device_kill(bdev, "the control queue is broken");
		if (ret != -ENOSPC)
			return ret;
		/* A full queue is a moment, not an error of the caller. */
		if (!wait_event_timeout(bdev->room,
					bufshare_device_dead(bdev) ||
					READ_ONCE(vq->num_free) >= BUFSHARE_REQUEST_DESCS,
					timeout) &&
		    !bufshare_time_left(bdev, NULL, timeout)) {
			bufshare_device_kill(bdev, "the device takes no more requests");
			return -EIO;
		}
	}
}

static int bufshare_request_wait(struct bufshare_device *bdev, struct bufshare_request *req)
{
	unsigned long timeout = bufshare_request_timeout(bdev);
	unsigned long left = timeout;

	while (!wait_for_completion_timeout(&req->done, left)) {
		left = bufshare_time_left(bdev, req, timeout);
		if (!left) {
			bufshare_device_kill(bdev, "the device did not answer a request in time");
			return -EIO;
		}
	}
	return req->error;
}

static int bufshare_status_to_errno(u32 status)
{
	switch (status) {
	case VIRTIO_BUFSHARE_S_OK:
		return 0;
	case VIRTIO_BUFSHARE_S_UNSUPPORTED:
		return -EOPNOTSUPP;
	case VIRTIO_BUFSHARE_S_INVALID:
	case VIRTIO_BUFSHARE_S_BAD_EXTENT:
		return -EINVAL;
	case VIRTIO_BUFSHARE_S_NOT_FOUND:
		return -ENOENT;
	case VIRTIO_BUFSHARE_S_NOT_RAM:
		return -EXDEV;
	case VIRTIO_BUFSHARE_S_LIMIT:
		return -EDQUOT;
	case VIRTIO_BUFSHARE_S_NO_MEMORY:
		return -ENOMEM;
	case VIRTIO_BUFSHARE_S_EXISTS:
		return -EEXIST;
	case VIRTIO_BUFSHARE_S_BUSY:
		return -EBUSY;
	case VIRTIO_BUFSHARE_S_SHORT_REPLY:
	case VIRTIO_BUFSHARE_S_STATE:
	default:
		return -EIO;
	}
}

/**
 * bufshare_request_run() - send a request and wait for its response
 * @bdev: The device.
 * @req: The request; the caller keeps its reference.
 * @need: Bytes of a successful response, header included.
 *
 * The wait cannot be interrupted: what the device made of the request must be known.
 * It ends when the device answers nothing for as long as the module parameter
 * request_timeout says.
 *
 * Context: Process context. Sleeps. Inside bufshare_device_enter(), in probe or in the
 *	    event worker.
 * Return: 0 and @need bytes at req->in are valid, or a negative errno; -EIO when the
 *	   device is dead, may have carried out the request, and its memory stays its own.
 */
int bufshare_request_run(struct bufshare_device *bdev, struct bufshare_request *req,
			 size_t need)
{
	const struct virtio_bufshare_resp_hdr *resp = req->in;
	u32 status;
	int ret;

	ret = bufshare_request_submit(bdev, req);
	if (!ret)
		ret = bufshare_request_wait(bdev, req);
	if (ret)
		return ret;

	if (req->used < sizeof(*resp) || req->used > req->in_len) {
		bufshare_device_kill(bdev, "the device sent a response of a wrong length");
		return -EIO;
	}
	status = le32_to_cpu(READ_ONCE(resp->status));
	ret = bufshare_status_to_errno(status);
	if (ret == -EIO)
		dev_err_ratelimited(&bdev->vdev->dev, "request 0x%x failed with status %u\n",
				    le32_to_cpup(req->out), status);
	if (!ret && req->used < need) {
		bufshare_device_kill(bdev, "the device sent a response that is too short");
		return -EIO;
	}
	return ret;
}
