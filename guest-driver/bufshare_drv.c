// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: shares dma-bufs of this guest with its host, without a copy.
 *
 * This file brings a device up and takes it down.  Taking down has one order: no new
 * opens, nobody inside, a farewell to the host, device reset, callbacks ended, control
 * queue emptied, worker stopped, event queue emptied, pages unpinned.  Pages before the
 * reset would be pages that the host can still read; and those who use them there would
 * not know of a reset without the farewell.  Whoever stays inside for long (an exporter
 * that pins slowly, say) delays farewell and reset for a bounded time; everything from the
 * emptying on waits for them all the same.
 */
#include <linux/idr.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "bufshare.h"
#include "compat.h"

/* Descriptors that one request takes. */
#define BUFSHARE_MIN_CONTROL_SIZE 2

/* A buffer with the longest user data must fit with one extent. */
#define BUFSHARE_MIN_REQUEST (sizeof(struct virtio_bufshare_buffer_create) + \
			      VIRTIO_BUFSHARE_MAX_USER_LEN + \
			      sizeof(struct virtio_bufshare_extent))

static_assert(BUFSHARE_MIN_REQUEST <= BUFSHARE_MAX_REQUEST);
static_assert(sizeof(struct virtio_bufshare_event) <= VIRTIO_BUFSHARE_EVENT_SPACE);

static unsigned int farewell_timeout = 5;
module_param(farewell_timeout, uint, 0644);
MODULE_PARM_DESC(farewell_timeout,
		 "Seconds (0 to 600) that unbinding waits for the host to give buffers back");

/* A machine that goes down does not wait long for others. */
#define BUFSHARE_SHUTDOWN_SECONDS 1

static DEFINE_IDA(bufshare_ida);

static void bufshare_device_free(struct kref *ref)
{
	struct bufshare_device *bdev = container_of(ref, struct bufshare_device, ref);

	xa_destroy(&bdev->buffers);
	kfree(bdev);
}

/**
 * bufshare_device_put() - drop one reference to a device
 * @bdev: The device.
 *
 * Context: Process context.
 */
void bufshare_device_put(struct bufshare_device *bdev)
{
	kref_put(&bdev->ref, bufshare_device_free);
}

/**
 * bufshare_device_enter() - start to use the virtio device
 * @bdev: The device.
 *
 * Unbinding waits for whoever is inside, so what happens there must be bounded: no
 * access to a process' memory.
 *
 * Context: Process context.
 * Return: True, and bufshare_device_exit() is due; false if the device is gone.
 */
bool bufshare_device_enter(struct bufshare_device *bdev)
{
	bool entered;

	spin_lock(&bdev->lock);
	entered = !bdev->gone;
	if (entered)
		bdev->inside++;
	spin_unlock(&bdev->lock);
	return entered;
}

/**
 * bufshare_device_exit() - stop using the virtio device
 * @bdev: The device.
 *
 * Context: Process context.
 */
void bufshare_device_exit(struct bufshare_device *bdev)
{
	spin_lock(&bdev->lock);
	if (!--bdev->inside && bdev->gone)
		wake_up_all(&bdev->left);
	spin_unlock(&bdev->lock);
}

static bool bufshare_device_empty(struct bufshare_device *bdev)
{
	bool empty;

	spin_lock(&bdev->lock);
	empty = !bdev->inside;
	spin_unlock(&bdev->lock);
	return empty;
}

/* From now on, or no longer, the callbacks of the virtqueues act. */
static void bufshare_device_ready(struct bufshare_device *bdev, bool ready)
{
	/* The callbacks must find what has been set up before; they use smp_load_acquire(). */
	smp_store_release(&bdev->ready, ready);
}

static int bufshare_read_config(struct bufshare_device *bdev)
{
	struct bufshare_limits *limits = &bdev->limits;
	struct virtio_device *vdev = bdev->vdev;

	virtio_cread_le(vdev, struct virtio_bufshare_config, extent_align, &limits->extent_align);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_request, &limits->max_request);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_buffers, &limits->max_buffers);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_extents, &limits->max_extents);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_bytes, &limits->max_bytes);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_streams, &limits->max_streams);
	virtio_cread_le(vdev, struct virtio_bufshare_config, max_frames, &limits->max_frames);

	if (!is_power_of_2(limits->extent_align) || limits->extent_align < SZ_4K ||
	    limits->extent_align > SZ_2M) {
		dev_err(&vdev->dev,
			"extent_align is %u: not a power of two from 4096 to 2 MiB\n",
			limits->extent_align);
		return -EINVAL;
	}
	if (limits->max_request < BUFSHARE_MIN_REQUEST) {
		dev_err(&vdev->dev, "max_request is %u: less than %zu\n", limits->max_request,
			BUFSHARE_MIN_REQUEST);
		return -EINVAL;
	}
	limits->max_request = min_t(u32, limits->max_request, BUFSHARE_MAX_REQUEST);
	if (virtio_has_feature(vdev, VIRTIO_BUFSHARE_F_STREAM) &&
	    (!limits->max_frames || limits->max_frames > VIRTIO_BUFSHARE_MAX_FRAMES)) {
		dev_err(&vdev->dev, "max_frames is %u: not from 1 to %d\n", limits->max_frames,
			VIRTIO_BUFSHARE_MAX_FRAMES);
		return -EINVAL;
	}
	return 0;
}

static int bufshare_find_queues(struct bufshare_device *bdev)
{
	static const char * const names[VIRTIO_BUFSHARE_NUM_VQS] = {
		[VIRTIO_BUFSHARE_VQ_CONTROL] = "control",
		[VIRTIO_BUFSHARE_VQ_EVENT] = "event",
	};
	vq_callback_t *callbacks[VIRTIO_BUFSHARE_NUM_VQS] = {
		[VIRTIO_BUFSHARE_VQ_CONTROL] = bufshare_control_done,
		[VIRTIO_BUFSHARE_VQ_EVENT] = bufshare_event_arrived,
	};
	struct virtqueue *vqs[VIRTIO_BUFSHARE_NUM_VQS];
	int ret;

	ret = bufshare_find_vqs(bdev->vdev, VIRTIO_BUFSHARE_NUM_VQS, vqs, callbacks, names);
	if (ret)
		return ret;
	bdev->control = vqs[VIRTIO_BUFSHARE_VQ_CONTROL];
	bdev->event = vqs[VIRTIO_BUFSHARE_VQ_EVENT];
	if (virtqueue_get_vring_size(bdev->control) < BUFSHARE_MIN_CONTROL_SIZE) {
		dev_err(&bdev->vdev->dev, "the control queue has less than %d descriptors\n",
			BUFSHARE_MIN_CONTROL_SIZE);
		/* No callback has acted yet, so there is no work to wait for. */
		virtio_reset_device(bdev->vdev);
		bdev->vdev->config->del_vqs(bdev->vdev);
		return -EINVAL;
	}
	return 0;
}

/* Makes the device forget what an earlier driver left, and learns our name. */
static int bufshare_start(struct bufshare_device *bdev)
{
	const struct virtio_bufshare_start_resp *resp;
	struct bufshare_request *req;
	int ret;

	req = bufshare_request_alloc(VIRTIO_BUFSHARE_REQ_START,
				     sizeof(struct virtio_bufshare_start), sizeof(*resp),
				     GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	ret = bufshare_request_run(bdev, req, sizeof(*resp));
	if (ret) {
		dev_err(&bdev->vdev->dev, "the device does not start: error %d\n", ret);
	} else {
		resp = req->in;
		memcpy(bdev->label, resp->label, sizeof(bdev->label) - 1);
	}
	bufshare_request_put(req);
	return ret;
}

/* How long it is from now to @deadline, in jiffies; 0 if that is past. */
static unsigned long bufshare_until(unsigned long deadline)
{
	unsigned long now = jiffies;

	return time_before(now, deadline) ? deadline - now : 0;
}

/*
 * Ends every stream and every buffer, and waits until nobody on the host uses a page: a
 * device need not see a reset, and would have nobody told that the pages change hands.
 */
static void bufshare_farewell(struct bufshare_device *bdev, unsigned long deadline)
{
	bufshare_streams_farewell(bdev, deadline);
	bufshare_buffers_farewell(bdev, deadline);
	wait_event_timeout(bdev->left, xa_empty(&bdev->buffers) || bufshare_device_dead(bdev),
			   bufshare_until(deadline));
}

static void bufshare_warn_in_use(struct bufshare_device *bdev)
{
	struct bufshare_buffer *buffer;
	unsigned int count = 0;
	unsigned long index;

	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, index, buffer)
		count++;
	spin_unlock(&bdev->lock);
	if (count)
		dev_warn(&bdev->vdev->dev,
			 "resetting the device while the host may use %u buffers; their pages are freed\n",
			 count);
}

/*
 * Waits about @seconds for those who are inside, says farewell to the host for at most
 * about as long, and resets the device.  Who is inside even then gets -EIO for every
 * request; no callback of a virtqueue runs any more.
 */
static void bufshare_stop(struct bufshare_device *bdev, unsigned int seconds)
{
	unsigned long timeout = max(seconds * HZ, 1U), deadline;
	bool empty;

	/* Before it is dead, or files would be told of a failure. */
	spin_lock(&bdev->lock);
	WRITE_ONCE(bdev->farewell, timeout);
	/* Who sees it reads @farewell next; paired with bufshare_request_timeout(). */
	smp_store_release(&bdev->gone, true);
	spin_unlock(&bdev->lock);
	bufshare_files_wake(bdev);

	empty = wait_event_timeout(bdev->left, bufshare_device_empty(bdev), timeout);
	deadline = jiffies + timeout;
	if (!empty && bufshare_device_stale(bdev, timeout)) {
		/* It would not hear a farewell.  Wakes whoever waits for it. */
		bufshare_device_kill(bdev, NULL);
	} else if (!empty) {
		/* It may not be the device that they wait for: the host is told meanwhile. */
		bufshare_farewell(bdev, deadline);
		if (!wait_event_timeout(bdev->left, bufshare_device_empty(bdev),
					bufshare_until(deadline)))
			bufshare_device_kill(bdev, NULL);
	}
	/* Or of what they made meanwhile. */
	bufshare_farewell(bdev, deadline);
	bufshare_warn_in_use(bdev);
	bufshare_device_kill(bdev, NULL);
	bufshare_device_ready(bdev, false);
	virtio_reset_device(bdev->vdev);
	/* Not every transport's reset waits for a callback that runs on another processor. */
	virtio_synchronize_cbs(bdev->vdev);
}

/* Files that are open keep the bufshare_device; nobody has the virtio device any more. */
static void bufshare_shut(struct bufshare_device *bdev)
{
	struct virtio_device *vdev = bdev->vdev;

	bufshare_stop(bdev, clamp(READ_ONCE(farewell_timeout), 0U, 600U));
	/* The device holds nobody up any more; an exporter does for as long as it likes. */
	wait_event(bdev->left, bufshare_device_empty(bdev));
	bufshare_control_drain(bdev);
	bufshare_event_drain(bdev);
	bufshare_buffers_release_all(bdev);
	vdev->config->del_vqs(vdev);
	bufshare_files_wake(bdev);
}

static struct bufshare_device *bufshare_device_alloc(struct virtio_device *vdev)
{
	struct bufshare_device *bdev;
	int ret;

	bdev = kzalloc_obj(*bdev, GFP_KERNEL);
	if (!bdev)
		return ERR_PTR(-ENOMEM);
	kref_init(&bdev->ref);
	bdev->vdev = vdev;
	bdev->features = vdev->features;
	init_waitqueue_head(&bdev->left);
	spin_lock_init(&bdev->control_lock);
	INIT_LIST_HEAD(&bdev->outstanding);
	init_waitqueue_head(&bdev->room);
	spin_lock_init(&bdev->lock);
	xa_init_flags(&bdev->buffers, XA_FLAGS_ALLOC1);
	hash_init(bdev->by_uuid);
	INIT_LIST_HEAD(&bdev->streams);
	INIT_LIST_HEAD(&bdev->files);

	ret = ida_alloc(&bufshare_ida, GFP_KERNEL);
	if (ret < 0)
		goto err_put;
	bdev->id = ret;
	snprintf(bdev->name, sizeof(bdev->name), "bufshare%d", bdev->id);
	ret = bufshare_event_init(bdev);
	if (ret)
		goto err_free_id;
	return bdev;

err_free_id:
	ida_free(&bufshare_ida, bdev->id);
err_put:
	bufshare_device_put(bdev);
	return ERR_PTR(ret);
}

/* The counterpart of bufshare_device_alloc(), when the virtio device is done with. */
static void bufshare_device_finish(struct bufshare_device *bdev)
{
	destroy_workqueue(bdev->event_wq);
	ida_free(&bufshare_ida, bdev->id);
	bdev->vdev->priv = NULL;
	bdev->vdev = NULL;
	bufshare_device_put(bdev);
}

static int bufshare_probe(struct virtio_device *vdev)
{
	struct device *parent = vdev->dev.parent;
	struct bufshare_device *bdev;
	int ret;

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "the device is a legacy one: VIRTIO_F_VERSION_1 is missing\n");
		return -ENODEV;
	}
	ret = bufshare_pages_supported(vdev);
	if (ret)
		return ret;
	/* Extents are 64 bits wide: let no exporter cut its segments for us. */
	if (parent->dma_parms)
		dma_set_max_seg_size(parent, UINT_MAX);

	bdev = bufshare_device_alloc(vdev);
	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	vdev->priv = bdev;
	ret = bufshare_read_config(bdev);
	if (ret)
		goto err_finish;
	ret = bufshare_find_queues(bdev);
	if (ret)
		goto err_finish;
	ret = bufshare_event_fill(bdev);
	if (ret)
		goto err_shut;
	bufshare_device_ready(bdev, true);
	virtio_device_ready(vdev);
	virtqueue_kick(bdev->event);
	ret = bufshare_start(bdev);
	if (ret)
		goto err_shut;

	bdev->misc.minor = MISC_DYNAMIC_MINOR;
	bdev->misc.name = bdev->name;
	bdev->misc.fops = &bufshare_fops;
	bdev->misc.parent = &vdev->dev;
	bdev->misc.mode = 0600; /* udev gives it to a group */
	bufshare_debugfs_add(bdev);
	ret = misc_register(&bdev->misc);
	if (ret)
		goto err_debugfs;
	dev_info(&vdev->dev, "%s is \"%*pE\" on the host\n", bdev->name,
		 (int)strlen(bdev->label), bdev->label);
	return 0;

err_debugfs:
	bufshare_debugfs_remove(bdev);
err_shut:
	bufshare_shut(bdev);
err_finish:
	bufshare_device_finish(bdev);
	return ret;
}

static void bufshare_remove(struct virtio_device *vdev)
{
	struct bufshare_device *bdev = vdev->priv;

	misc_deregister(&bdev->misc);
	bufshare_debugfs_remove(bdev);
	bufshare_shut(bdev);
	bufshare_device_finish(bdev);
}

static void bufshare_config_changed(struct virtio_device *vdev)
{
	struct bufshare_device *bdev = vdev->priv;

	if (!smp_load_acquire(&bdev->ready)) /* paired with bufshare_device_ready() */
		return;
	WRITE_ONCE(bdev->config_changed, true);
	queue_work(bdev->event_wq, &bdev->event_work);
}

/*
 * The machine goes down, or another kernel takes it over (kexec): that one must find a
 * device that writes nowhere.  Processes may still run, so the pages stay pinned and
 * the virtqueues stay, as after an unbinding that never ends.
 */
static void __maybe_unused bufshare_shutdown(struct virtio_device *vdev)
{
	bufshare_stop(vdev->priv, BUFSHARE_SHUTDOWN_SECONDS);
}

BUFSHARE_SHUTDOWN(bufshare_shutdown)

#ifdef CONFIG_PM_SLEEP
static int bufshare_freeze(struct virtio_device *vdev)
{
	dev_err(&vdev->dev,
		"cannot suspend while the host may use shared buffers; unload this driver first\n");
	return -EOPNOTSUPP;
}

static int bufshare_restore(struct virtio_device *vdev)
{
	return 0;
}
#endif

static const unsigned int bufshare_features[] = {
	VIRTIO_BUFSHARE_F_STREAM,
};

static const struct virtio_device_id bufshare_ids[] = {
	{ VIRTIO_ID_BUFSHARE, VIRTIO_DEV_ANY_ID },
	{},
};
MODULE_DEVICE_TABLE(virtio, bufshare_ids);

static struct virtio_driver bufshare_driver = {
	.feature_table = bufshare_features,
	.feature_table_size = ARRAY_SIZE(bufshare_features),
	.driver.name = BUFSHARE_DRV_NAME,
	.driver.owner = THIS_MODULE,
	.id_table = bufshare_ids,
	.probe = bufshare_probe,
	.remove = bufshare_remove,
	.config_changed = bufshare_config_changed,
	BUFSHARE_SHUTDOWN_MEMBER(bufshare_shutdown)
#ifdef CONFIG_PM_SLEEP
	.freeze = bufshare_freeze,
	.restore = bufshare_restore,
#endif
};

static int __init bufshare_init(void)
{
	int ret;

	bufshare_debugfs_init();
	ret = register_virtio_driver(&bufshare_driver);
	if (ret)
		bufshare_debugfs_exit();
	return ret;
}
module_init(bufshare_init);

static void __exit bufshare_exit(void)
{
	unregister_virtio_driver(&bufshare_driver);
	bufshare_debugfs_exit();
}
module_exit(bufshare_exit);

MODULE_DESCRIPTION("Shares dma-bufs of a guest with its host, without a copy");
MODULE_AUTHOR("The bufshare authors");
MODULE_LICENSE("GPL");
