// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_bufshare: /sys/kernel/debug/virtio_bufshare/bufshareN/{buffers,streams}.
 *
 * For people.  Programs use BUFSHARE_IOC_NEXT_BUFFER.
 */
#include <linux/debugfs.h>
#include <linux/pid.h>
#include <linux/seq_file.h>

#include "bufshare.h"

static struct dentry *bufshare_debugfs_root;

static const char *bufshare_phase_name(enum bufshare_buffer_phase phase)
{
	switch (phase) {
	case BUFSHARE_PHASE_FILLING:
		return "filling";
	case BUFSHARE_PHASE_LIVE:
		return "live";
	case BUFSHARE_PHASE_DESTROYING:
	case BUFSHARE_PHASE_IDLE_EARLY:
		return "destroying";
	case BUFSHARE_PHASE_DRAINING:
		return "draining";
	case BUFSHARE_PHASE_LOST:
		return "lost";
	}
	return "?";
}

static int bufshare_debugfs_buffers_show(struct seq_file *m, void *unused)
{
	struct bufshare_device *bdev = m->private;
	struct bufshare_buffer *buffer;
	unsigned long index;

	seq_puts(m, "uuid                                 state      bytes        extents  pid      in-flight  picture\n");
	spin_lock(&bdev->lock);
	xa_for_each(&bdev->buffers, index, buffer) {
		seq_printf(m, "%pUb %-10s %-12llu %-8u %-8d %-10s ", &buffer->uuid,
			   bufshare_phase_name(buffer->phase), buffer->size, buffer->num_extents,
			   pid_nr(buffer->tgid), buffer->frame ? "yes" : "no");
		if (buffer->desc.fourcc)
			seq_printf(m, "%ux%u %p4cc\n", buffer->desc.width, buffer->desc.height,
				   &buffer->desc.fourcc);
		else
			seq_puts(m, "-\n");
	}
	spin_unlock(&bdev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bufshare_debugfs_buffers);

static int bufshare_debugfs_streams_show(struct seq_file *m, void *unused)
{
	struct bufshare_device *bdev = m->private;
	struct bufshare_stream *stream;
	unsigned int i, in_flight, unread;

	seq_puts(m, "id         listeners  in-flight  unread     max        sequence             name\n");
	spin_lock(&bdev->lock);
	list_for_each_entry(stream, &bdev->streams, node) {
		in_flight = 0;
		unread = 0;
		for (i = 0; i < stream->num_frames; i++) {
			if (stream->frames[i].state == BUFSHARE_FRAME_RELEASED)
				unread++;
			else if (stream->frames[i].state != BUFSHARE_FRAME_FREE)
				in_flight++;
		}
		seq_printf(m, "%-10u %-10u %-10u %-10u %-10u %-20llu %*pE\n", stream->id,
			   stream->listeners, in_flight, unread, stream->num_frames,
			   stream->sequence, (int)strnlen(stream->name, sizeof(stream->name)),
			   stream->name);
	}
	spin_unlock(&bdev->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bufshare_debugfs_streams);

/**
 * bufshare_debugfs_init() - make the folder of all devices
 *
 * Errors are ignored, as debugfs wants it.
 *
 * Context: Process context, when the module is loaded.
 */
void bufshare_debugfs_init(void)
{
	bufshare_debugfs_root = debugfs_create_dir(BUFSHARE_DRV_NAME, NULL);
}

/**
 * bufshare_debugfs_exit() - remove the folder of all devices
 *
 * Context: Process context, when the module is unloaded.
 */
void bufshare_debugfs_exit(void)
{
	debugfs_remove(bufshare_debugfs_root);
}

/**
 * bufshare_debugfs_add() - show a device
 * @bdev: The device.
 *
 * Context: Process context, in probe.
 */
void bufshare_debugfs_add(struct bufshare_device *bdev)
{
	bdev->debugfs = debugfs_create_dir(bdev->name, bufshare_debugfs_root);
	debugfs_create_file("buffers", 0400, bdev->debugfs, bdev, &bufshare_debugfs_buffers_fops);
	debugfs_create_file("streams", 0400, bdev->debugfs, bdev, &bufshare_debugfs_streams_fops);
}

/**
 * bufshare_debugfs_remove() - do not show a device any more
 * @bdev: The device.
 *
 * Context: Process context. Waits for readers.
 */
void bufshare_debugfs_remove(struct bufshare_device *bdev)
{
	debugfs_remove(bdev->debugfs);
	bdev->debugfs = NULL;
}
