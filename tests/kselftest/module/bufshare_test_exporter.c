// SPDX-License-Identifier: GPL-2.0-only
/*
 * bufshare_test_exporter: dma-bufs with any DMA addresses, for tests of importers.
 *
 * Its sg_tables have no struct page at all.  It is a dynamic exporter: it has pin and
 * unpin, counts both, and complains when something is mapped that is not pinned.
 */
#include <linux/atomic.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/wait.h>

#include "exporter.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("DMA_BUF");
#else
MODULE_IMPORT_NS(DMA_BUF);
#endif

struct test_buffer {
	unsigned int pins;
	u32 count;
	struct test_exporter_piece pieces[];
};

static atomic_t test_mapped;
static atomic_t test_alive;

/* While it is set, pinning waits. */
static bool slow_pin;
static DECLARE_WAIT_QUEUE_HEAD(slow_pin_wait);

static int test_set_slow_pin(const char *value, const struct kernel_param *param)
{
	int ret = param_set_bool(value, param);

	wake_up_all(&slow_pin_wait);
	return ret;
}

static const struct kernel_param_ops test_slow_pin_ops = {
	.set = test_set_slow_pin,
	.get = param_get_bool,
};
module_param_cb(slow_pin, &test_slow_pin_ops, &slow_pin, 0644);

static int test_pin(struct dma_buf_attachment *attach)
{
	struct test_buffer *buffer = attach->dmabuf->priv;

	if (READ_ONCE(slow_pin)) {
		pr_info("bufshare_test_exporter: pinning slowly\n");
		wait_event(slow_pin_wait, !READ_ONCE(slow_pin));
	}
	dma_resv_assert_held(attach->dmabuf->resv);
	buffer->pins++;
	return 0;
}

static void test_unpin(struct dma_buf_attachment *attach)
{
	struct test_buffer *buffer = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	WARN_ON(!buffer->pins);
	buffer->pins--;
}

static struct sg_table *test_map(struct dma_buf_attachment *attach, enum dma_data_direction dir)
{
	struct test_buffer *buffer = attach->dmabuf->priv;
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;

	WARN_ON(!buffer->pins);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
	/* An importer that hands out pages must not say that it can stop their use at once. */
	WARN_ON(dma_buf_attach_revocable(attach));
#endif
	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	if (sg_alloc_table(sgt, buffer->count, GFP_KERNEL)) {
		kfree(sgt);
		return ERR_PTR(-ENOMEM);
	}
	for_each_sgtable_dma_sg(sgt, sg, i) {
		sg_dma_address(sg) = buffer->pieces[i].addr;
		sg_dma_len(sg) = buffer->pieces[i].len;
	}
	atomic_inc(&test_mapped);
	return sgt;
}

static void test_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
	atomic_dec(&test_mapped);
	sg_free_table(sgt);
	kfree(sgt);
}

static void test_release(struct dma_buf *dmabuf)
{
	struct test_buffer *buffer = dmabuf->priv;

	WARN_ON(buffer->pins);
	kvfree(buffer);
	atomic_dec(&test_alive);
}

static const struct dma_buf_ops test_ops = {
	.pin = test_pin,
	.unpin = test_unpin,
	.map_dma_buf = test_map,
	.unmap_dma_buf = test_unmap,
	.release = test_release,
};

static int test_create(struct test_exporter_create *args)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct test_buffer *buffer;
	struct dma_buf *dmabuf;
	int fd;

	if (!args->count || args->count > TEST_EXPORTER_MAX_PIECES)
		return -EINVAL;
	buffer = kvzalloc(struct_size(buffer, pieces, args->count), GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	buffer->count = args->count;
	if (copy_from_user(buffer->pieces, u64_to_user_ptr(args->pieces),
			   array_size(args->count, sizeof(buffer->pieces[0])))) {
		kvfree(buffer);
		return -EFAULT;
	}
	info.ops = &test_ops;
	info.size = args->size;
	info.flags = O_RDWR | O_CLOEXEC;
	info.priv = buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		kvfree(buffer);
		return PTR_ERR(dmabuf);
	}
	atomic_inc(&test_alive);
	fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (fd < 0) {
		dma_buf_put(dmabuf);
		return fd;
	}
	args->fd = fd;
	return 0;
}

static long test_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct test_exporter_create create;
	struct test_exporter_stats stats;
	int ret;

	switch (cmd) {
	case TEST_EXPORTER_CREATE:
		if (copy_from_user(&create, (void __user *)arg, sizeof(create)))
			return -EFAULT;
		ret = test_create(&create);
		if (!ret && copy_to_user((void __user *)arg, &create, sizeof(create)))
			ret = -EFAULT;
		return ret;
	case TEST_EXPORTER_STATS:
		stats.mapped = atomic_read(&test_mapped);
		stats.alive = atomic_read(&test_alive);
		return copy_to_user((void __user *)arg, &stats, sizeof(stats)) ? -EFAULT : 0;
	default:
		return -ENOTTY;
	}
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = test_ioctl,
};

static struct miscdevice test_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bufshare_test_exporter",
	.fops = &test_fops,
};
module_misc_device(test_misc);

MODULE_DESCRIPTION("dma-bufs with any DMA addresses, for tests");
MODULE_LICENSE("GPL");
