/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that this driver is built for, 6.1 to 7.2.
 * Nothing else in the driver asks for a kernel version.
 */
#ifndef _BUFSHARE_COMPAT_H
#define _BUFSHARE_COMPAT_H

#include <linux/dma-buf.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

/* 6.13: MODULE_IMPORT_NS() takes a string. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define BUFSHARE_IMPORT_DMA_BUF MODULE_IMPORT_NS("DMA_BUF")
#else
#define BUFSHARE_IMPORT_DMA_BUF MODULE_IMPORT_NS(DMA_BUF)
#endif

/*
 * struct dma_buf_attach_ops: an importer without move_notify is refused as a dynamic one,
 * though a pinned buffer is not moved.  7.0 renamed it to invalidate_mappings.  With 7.2
 * (dma_buf_attach_revocable()) it came to mean that the importer stops its access when it
 * is called.  We cannot promise that, the host has the pages; there it stays NULL.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define BUFSHARE_MOVED(fn)
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define BUFSHARE_MOVED(fn) .invalidate_mappings = (fn),
#else
#define BUFSHARE_MOVED(fn) .move_notify = (fn),
#endif

/*
 * 7.0: struct virtio_driver has a shutdown of its own.  Kernels from 6.15 reset virtio
 * devices at shutdown by themselves (struct bus_type), and allow no driver's own beside
 * that; earlier ones have only that of struct device_driver.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define BUFSHARE_SHUTDOWN(fn)
#define BUFSHARE_SHUTDOWN_MEMBER(fn) .shutdown = (fn),
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define BUFSHARE_SHUTDOWN(fn)
#define BUFSHARE_SHUTDOWN_MEMBER(fn)
#else
#define BUFSHARE_SHUTDOWN(fn) \
	static void fn##_of_device(struct device *dev) \
	{ \
		fn(dev_to_virtio(dev)); \
	}
#define BUFSHARE_SHUTDOWN_MEMBER(fn) .driver.shutdown = fn##_of_device,
#endif

/* 7.0: allocation by object, not by size. */
#ifndef kzalloc_obj
#define kzalloc_obj(object, gfp) kzalloc(sizeof(object), gfp)
#define kzalloc_flex(object, member, count, gfp) kzalloc(struct_size(&(object), member, count), gfp)
#define kvmalloc_objs(object, count, gfp) kvmalloc_array(count, sizeof(object), gfp)
#endif

/**
 * bufshare_find_vqs() - find virtqueues by callback and name
 * @vdev: The device.
 * @count: Number of virtqueues.
 * @vqs: Receives the virtqueues.
 * @callbacks: One for each.
 * @names: One for each.
 *
 * 6.11 replaced the arrays of virtio_find_vqs() by struct virtqueue_info.
 *
 * Context: Process context, in probe.
 * Return: 0 or a negative errno.
 */
static inline int bufshare_find_vqs(struct virtio_device *vdev, unsigned int count,
				    struct virtqueue *vqs[], vq_callback_t *callbacks[],
				    const char * const names[])
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
	struct virtqueue_info info[VIRTIO_BUFSHARE_NUM_VQS] = {};
	unsigned int i;

	for (i = 0; i < count; i++) {
		info[i].name = names[i];
		info[i].callback = callbacks[i];
	}
	return virtio_find_vqs(vdev, count, vqs, info, NULL);
#else
	return virtio_find_vqs(vdev, count, vqs, callbacks, names, NULL);
#endif
}

#endif /* _BUFSHARE_COMPAT_H */
