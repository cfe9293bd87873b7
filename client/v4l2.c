/* SPDX-License-Identifier: MIT */
/* Source of the interface: Linux, Documentation/userspace-api/media/v4l/. */
#include "v4l2.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "cmd.h"

static int xioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* ---- formats: most codes are the same in V4L2 and DRM ---- */

struct format_pair {
	uint32_t v4l2;
	uint32_t drm;
};

static const struct format_pair format_pairs[] = {
	{ V4L2_PIX_FMT_RGB24, BUFSHARE_FOURCC('B', 'G', '2', '4') }, /* R, G, B in memory */
	{ V4L2_PIX_FMT_BGR24, BUFSHARE_FOURCC('R', 'G', '2', '4') },
	{ V4L2_PIX_FMT_RGB565, BUFSHARE_FOURCC('R', 'G', '1', '6') },
	{ V4L2_PIX_FMT_GREY, BUFSHARE_FOURCC('R', '8', ' ', ' ') },
};

static uint32_t to_drm(uint32_t v4l2)
{
	for (size_t i = 0; i < sizeof(format_pairs) / sizeof(format_pairs[0]); i++)
		if (format_pairs[i].v4l2 == v4l2)
			return format_pairs[i].drm;
	return v4l2;
}

static uint32_t to_v4l2(uint32_t drm)
{
	for (size_t i = 0; i < sizeof(format_pairs) / sizeof(format_pairs[0]); i++)
		if (format_pairs[i].drm == drm)
			return format_pairs[i].v4l2;
	return drm;
}

static bool is_yuv(uint32_t fourcc)
{
	return fourcc == BUFSHARE_FOURCC('Y', 'U', 'Y', 'V') ||
	       fourcc == BUFSHARE_FOURCC('U', 'Y', 'V', 'Y') ||
	       fourcc == BUFSHARE_FOURCC('N', 'V', '1', '2') ||
	       fourcc == BUFSHARE_FOURCC('Y', 'U', '1', '2');
}

/* To the code points of ITU-T H.273; V4L2's defaults are those of its colorspace. */
static void set_color(struct bufshare_image *image, const struct v4l2_pix_format *pix)
{
	uint32_t encoding = pix->ycbcr_enc, range = pix->quantization;

	if (encoding == V4L2_YCBCR_ENC_DEFAULT)
		encoding = V4L2_MAP_YCBCR_ENC_DEFAULT(pix->colorspace);
	if (is_yuv(image->fourcc))
		image->matrix = encoding == V4L2_YCBCR_ENC_709 ? 1 : 6;
	if (range == V4L2_QUANTIZATION_DEFAULT)
		range = V4L2_MAP_QUANTIZATION_DEFAULT(!is_yuv(image->fourcc), pix->colorspace,
						      encoding);
	image->range = range == V4L2_QUANTIZATION_FULL_RANGE ? 2 : 1;
}

/* The single-planar formats of V4L2 have their planes one behind the other. */
static int set_planes(struct bufshare_image *image, const struct v4l2_pix_format *pix)
{
	uint64_t luma = (uint64_t)pix->bytesperline * pix->height;
	int error = bufshare_image_layout(image, NULL);

	if (error < 0)
		return error;
	image->planes[0].stride = pix->bytesperline;
	if (image->num_planes == 2) {
		image->planes[1].offset = luma;
		image->planes[1].stride = pix->bytesperline;
	} else if (image->num_planes == 3) {
		uint32_t stride = pix->bytesperline / 2;

		image->planes[1].offset = luma;
		image->planes[1].stride = stride;
		image->planes[2].offset = luma + (uint64_t)stride * ((pix->height + 1) / 2);
		image->planes[2].stride = stride;
	}
	return 0;
}

static int set_format(struct camera *camera, const char *device, uint32_t width, uint32_t height,
		      uint32_t fourcc)
{
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	struct v4l2_pix_format *pix = &format.fmt.pix;
	char name[5];
	int error;

	/* A user may know the camera's own name of it, e.g. GREY. */
	fourcc = to_drm(fourcc);
	error = xioctl(camera->fd, VIDIOC_G_FMT, &format);
	if (error == 0) {
		if (width != 0)
			pix->width = width;
		if (height != 0)
			pix->height = height;
		if (fourcc != 0)
			pix->pixelformat = to_v4l2(fourcc);
		pix->field = V4L2_FIELD_ANY;
		pix->bytesperline = 0;
		pix->sizeimage = 0;
		error = xioctl(camera->fd, VIDIOC_S_FMT, &format);
	}
	if (error < 0) {
		(void)cmd_say("%s: setting the format: %s", device, strerror(-error));
		return error;
	}
	camera->image = (struct bufshare_image){
		.width = pix->width,
		.height = pix->height,
		.fourcc = to_drm(pix->pixelformat),
	};
	format_fourcc(camera->image.fourcc, name);
	if ((fourcc != 0 && camera->image.fourcc != fourcc) ||
	    set_planes(&camera->image, pix) < 0 ||
	    bufshare_image_check(&camera->image, pix->sizeimage) < 0) {
		(void)cmd_say("%s offers %ux%u %s, which is not what is wanted or not known: choose "
			      "another --format",
			      device, pix->width, pix->height, name);
		return -EINVAL;
	}
	set_color(&camera->image, pix);
	return 0;
}

/* ---- buffers ---- */

static int make_buffer(struct camera *camera, uint32_t index)
{
	struct camera_buffer *buffer = &camera->buffers[index];
	struct v4l2_buffer query = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
		.index = index,
	};
	struct v4l2_exportbuffer export = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.index = index,
		.flags = O_RDWR | O_CLOEXEC,
	};
	int error = xioctl(camera->fd, VIDIOC_QUERYBUF, &query);

	if (error == 0)
		error = xioctl(camera->fd, VIDIOC_EXPBUF, &export);
	if (error < 0)
		return error;
	buffer->dmabuf = export.fd;
	buffer->size = query.length;
	buffer->map = mmap(NULL, query.length, PROT_READ | PROT_WRITE, MAP_SHARED, camera->fd,
			   (off_t)query.m.offset);
	if (buffer->map == MAP_FAILED) {
		buffer->map = NULL;
		return -errno;
	}
	return 0;
}

int camera_open(struct camera *camera, const char *device, uint32_t width, uint32_t height,
		uint32_t fourcc, uint32_t num_buffers)
{
	struct v4l2_requestbuffers request = {
		.count = num_buffers,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	int error;

	*camera = (struct camera){ .fd = -1 };
	for (uint32_t i = 0; i < CAMERA_MAX_BUFFERS; i++)
		camera->buffers[i].dmabuf = -1;
	camera->fd = open(device, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (camera->fd < 0) {
		error = -errno;
		(void)cmd_say("%s: %s", device, strerror(-error));
		return error;
	}
	error = set_format(camera, device, width, height, fourcc);
	if (error < 0)
		return error;
	error = xioctl(camera->fd, VIDIOC_REQBUFS, &request);
	if (error == 0 && (request.count == 0 || request.count > CAMERA_MAX_BUFFERS))
		error = -ENOBUFS;
	for (uint32_t i = 0; error == 0 && i < request.count; i++) {
		camera->num_buffers = i + 1;
		error = make_buffer(camera, i);
	}
	if (error < 0)
		(void)cmd_say("%s: making %u buffers that are dma-bufs: %s", device, num_buffers,
			      strerror(-error));
	return error;
}

void camera_close(struct camera *camera)
{
	for (uint32_t i = 0; i < camera->num_buffers; i++) {
		if (camera->buffers[i].map != NULL)
			(void)munmap(camera->buffers[i].map, camera->buffers[i].size);
		if (camera->buffers[i].dmabuf >= 0)
			close(camera->buffers[i].dmabuf);
	}
	camera->num_buffers = 0;
	if (camera->fd >= 0)
		close(camera->fd);
	camera->fd = -1;
}

/* ---- streaming ---- */

int camera_queue(struct camera *camera, uint32_t index)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
		.index = index,
	};
	int error = xioctl(camera->fd, VIDIOC_QBUF, &buffer);

	if (error < 0)
		return error;
	camera->buffers[index].queued = true;
	camera->num_queued++;
	return 0;
}

int camera_dequeue(struct camera *camera, struct camera_frame *ret_frame)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	int error = xioctl(camera->fd, VIDIOC_DQBUF, &buffer);

	if (error < 0)
		return error;
	if (buffer.index >= camera->num_buffers)
		return -EPROTO;
	camera->buffers[buffer.index].queued = false;
	camera->num_queued--;
	*ret_frame = (struct camera_frame){
		.index = buffer.index,
		.sequence = buffer.sequence,
		.timestamp = (uint64_t)buffer.timestamp.tv_sec * 1000000000u +
			     (uint64_t)buffer.timestamp.tv_usec * 1000u,
		.monotonic = (buffer.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) ==
			     V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
		.damaged = (buffer.flags & V4L2_BUF_FLAG_ERROR) != 0,
	};
	return 0;
}

int camera_start(struct camera *camera)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

	for (uint32_t i = 0; i < camera->num_buffers; i++) {
		int error = camera_queue(camera, i);

		if (error < 0)
			return error;
	}
	return xioctl(camera->fd, VIDIOC_STREAMON, &type);
}

int camera_stop(struct camera *camera)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	int error = xioctl(camera->fd, VIDIOC_STREAMOFF, &type);

	if (error < 0)
		return error;
	for (uint32_t i = 0; i < camera->num_buffers; i++)
		camera->buffers[i].queued = false;
	camera->num_queued = 0;
	return 0;
}
