// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: where the pages of a dma-buf lie.
 *
 * Any exporter's dma-buf is good: it is attached, pinned and mapped for the device
 * that does the DMA, and only the DMA addresses of the mapping are looked at; an
 * exporter's sg_table need not have any struct page.  Whether an address is guest RAM
 * is the device's to judge: it knows the memory table, this driver does not.
 */
#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "bufshare.h"
#include "compat.h"

BUFSHARE_IMPORT_DMA_BUF;

/*
 * The buffer is pinned for as long as it is attached, so its exporter does not move
 * it; compat.h says which kernels want this all the same.
 */
static void __maybe_unused bufshare_pages_moved(struct dma_buf_attachment *attach)
{
	dev_err_ratelimited(attach->dev, "exporter %s moved a pinned dma-buf\n",
			    attach->dmabuf->exp_name);
}

static const struct dma_buf_attach_ops bufshare_attach_ops = {
	/* Memory of another device is not guest RAM: better moved than refused. */
	.allow_peer2peer = false,
	BUFSHARE_MOVED(bufshare_pages_moved)
};

/**
 * bufshare_pages_supported() - whether DMA addresses mean anything to the device
 * @vdev: The virtio device; its features are negotiated.
 *
 * Without VIRTIO_F_ACCESS_PLATFORM the device takes the addresses that it is told for
 * guest-physical ones, so DMA addresses must be just that.  In any case they must be
 * the addresses of the pages themselves: a bounce buffer of swiotlb (forced, or used
 * because the device cannot reach all memory, or because memory is encrypted) would be
 * shared instead of the picture.  dma_max_mapping_size() is bounded exactly when
 * mappings of the device can be bounced (kernel/dma/direct.c).
 *
 * Context: Process context, in probe.
 * Return: 0, or -ENODEV with a line in the log.
 */
int bufshare_pages_supported(struct virtio_device *vdev)
{
	struct device *dev = vdev->dev.parent;

	if (!virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		if (device_iommu_mapped(dev)) {
			dev_err(&vdev->dev, "%s is behind an IOMMU that the device does not use; start QEMU with iommu_platform=on for this device\n",
				dev_name(dev));
			return -ENODEV;
		}
		if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
			dev_err(&vdev->dev, "this guest's memory is encrypted: the host could not read a shared buffer\n");
			return -ENODEV;
		}
	}
	if (dma_max_mapping_size(dev) != SIZE_MAX) {
		dev_err(&vdev->dev, "DMA of %s goes through bounce buffers (swiotlb): the pages cannot be shared\n",
			dev_name(dev));
		return -ENODEV;
	}
	return 0;
}

/**
 * bufshare_pages_pin() - attach to a dma-buf and pin its pages
 * @pages: Filled in on success, untouched on failure.
 * @fd: The dma-buf.
 * @dev: The device that does the DMA.
 *
 * Context: Process context of the owner of @fd. Sleeps; may take as long as the
 *	    exporter takes to move the buffer to system memory.
 * Return: 0, -EBADF if @fd is not a dma-buf, -ERESTARTSYS if a signal came, or what the
 *	   exporter failed with.
 */
int bufshare_pages_pin(struct bufshare_pages *pages, int fd, struct device *dev)
{
	struct bufshare_pages p;
	int ret;

	p.dmabuf = dma_buf_get(fd);
	if (IS_ERR(p.dmabuf)) {
		ret = PTR_ERR(p.dmabuf);
		/* dma_buf_get() says EINVAL for a file that is no dma-buf. */
		return ret == -EINVAL ? -EBADF : ret;
	}

	p.attach = dma_buf_dynamic_attach(p.dmabuf, dev, &bufshare_attach_ops, NULL);
	if (IS_ERR(p.attach)) {
		ret = PTR_ERR(p.attach);
		goto err_put;
	}

	if (dma_resv_lock_interruptible(p.dmabuf->resv, NULL)) {
		ret = -ERESTARTSYS;
		goto err_detach;
	}
	ret = dma_buf_pin(p.attach);
	if (ret)
		goto err_unlock;
	p.sgt = dma_buf_map_attachment(p.attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(p.sgt)) {
		ret = PTR_ERR(p.sgt);
		goto err_unpin;
	}
	/*
	 * The exporter may have put a move or a clear in the pipeline.  Nobody must
	 * see what the pages held before.
	 */
	if (dma_resv_wait_timeout(p.dmabuf->resv, DMA_RESV_USAGE_KERNEL, true,
				  MAX_SCHEDULE_TIMEOUT) < 0) {
		ret = -ERESTARTSYS;
		goto err_unmap;
	}
	dma_resv_unlock(p.dmabuf->resv);
	*pages = p;
	return 0;

err_unmap:
	dma_buf_unmap_attachment(p.attach, p.sgt, DMA_BIDIRECTIONAL);
err_unpin:
	dma_buf_unpin(p.attach);
err_unlock:
	dma_resv_unlock(p.dmabuf->resv);
err_detach:
	dma_buf_detach(p.dmabuf, p.attach);
err_put:
	dma_buf_put(p.dmabuf);
	return ret;
}

/**
 * bufshare_pages_unpin() - let the pages of a dma-buf go
 * @pages: What bufshare_pages_pin() filled in, or zeroes; zeroes afterwards.
 *
 * Context: Process context. Sleeps.
 */
void bufshare_pages_unpin(struct bufshare_pages *pages)
{
	struct dma_buf *dmabuf = pages->dmabuf;

	if (!dmabuf)
		return;
	dma_resv_lock(dmabuf->resv, NULL);
	dma_buf_unmap_attachment(pages->attach, pages->sgt, DMA_BIDIRECTIONAL);
	dma_buf_unpin(pages->attach);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, pages->attach);
	dma_buf_put(dmabuf);
	memset(pages, 0, sizeof(*pages));
}

/*
 * Merges neighbours.  With @extents NULL it only counts; otherwise there is room for
 * @max of them, and the sg_table has not changed since they were counted.
 */
static int bufshare_pages_walk(const struct bufshare_pages *pages,
			       const struct bufshare_limits *limits,
			       struct bufshare_extent *extents, u32 max, u32 *ret_count)
{
	struct bufshare_extent cur = {};
	struct scatterlist *sg;
	u64 total = 0, end;
	unsigned int i;
	u32 count = 0;

	for_each_sgtable_dma_sg(pages->sgt, sg, i) {
		u64 addr = sg_dma_address(sg);
		u64 len = sg_dma_len(sg);

		if (!(i & 1023))
			cond_resched();
		if (!len || check_add_overflow(addr, len, &end) ||
		    check_add_overflow(total, len, &total))
			return -EINVAL;
		if (count && addr == cur.addr + cur.len) {
			cur.len += len;
		} else {
			if (count == max)
				return -EDQUOT;
			cur.addr = addr;
			cur.len = len;
			count++;
		}
		/* An exporter's entries can be smaller than what they merge to. */
		if (extents)
			extents[count - 1] = cur;
	}
	if (!count || total != pages->dmabuf->size)
		return -EINVAL;
	if (extents) {
		for (i = 0; i < count; i++) {
			if (!IS_ALIGNED(extents[i].addr | extents[i].len, limits->extent_align))
				return -EINVAL;
		}
	}
	*ret_count = count;
	return 0;
}

/**
 * bufshare_pages_extents() - list the memory of a pinned dma-buf
 * @pages: The pages.
 * @limits: What the device takes.
 * @ret_extents: Receives an array, in the order of the buffer, to be freed by kvfree().
 * @ret_count: Receives its length, at least 1.
 *
 * Context: Process context. Sleeps.
 * Return: 0; -EINVAL if the mapping does not make up the whole buffer in pieces of
 *	   limits->extent_align; -EDQUOT if a limit is exceeded; -ENOMEM.
 */
int bufshare_pages_extents(const struct bufshare_pages *pages,
			   const struct bufshare_limits *limits,
			   struct bufshare_extent **ret_extents, u32 *ret_count)
{
	struct bufshare_extent *extents;
	u32 count;
	int ret;

	if (pages->dmabuf->size > limits->max_bytes)
		return -EDQUOT;
	ret = bufshare_pages_walk(pages, limits, NULL, limits->max_extents, &count);
	if (ret)
		return ret;
	extents = kvmalloc_objs(*extents, count, GFP_KERNEL_ACCOUNT);
	if (!extents)
		return -ENOMEM;
	ret = bufshare_pages_walk(pages, limits, extents, count, &count);
	if (ret) {
		kvfree(extents);
		return ret;
	}
	*ret_extents = extents;
	*ret_count = count;
	return 0;
}
