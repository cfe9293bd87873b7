/* SPDX-License-Identifier: MIT */
/*
 * Whether the description of a picture holds for a buffer of some size.
 *
 * The core does not know pixel formats; it refuses what cannot be true of any: a
 * linear plane that starts or goes on beyond the buffer.  A consumer that reads
 * pixels must still check what its own knowledge of the format tells.
 */
#include "internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FOURCC(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* Width and height of Linux' largest modes and surfaces stay well below. */
#define MAX_DIMENSION 65536

/* DRM_FORMAT_MOD_LINEAR (drm_fourcc.h) */
#define MODIFIER_LINEAR 0

/* At least this many rows lie @stride bytes apart in a linear plane. */
static uint64_t least_rows(uint32_t fourcc, uint32_t plane, uint32_t height)
{
	/* The coarsest chroma of drm_fourcc.h has a row for four of the picture. */
	if (plane > 0)
		return ((uint64_t)height + 3) / 4;
	switch (fourcc) {
	/* Rows of 2x2 blocks (drm_fourcc.h, "packed 4:2:0 with 2x2 tiles"). */
	case FOURCC('Y', '0', 'L', '0'):
	case FOURCC('X', '0', 'L', '0'):
	case FOURCC('Y', '0', 'L', '2'):
	case FOURCC('X', '0', 'L', '2'):
		return ((uint64_t)height + 1) / 2;
	default:
		return height;
	}
}

static bool is_zero(const void *data, size_t len)
{
	const uint8_t *byte = data;

	while (len && !*byte) {
		byte++;
		len--;
	}
	return len == 0;
}

static int check_plane(const struct virtio_bufshare_desc *desc, uint32_t n, uint64_t size)
{
	const struct virtio_bufshare_plane *plane = &desc->planes[n];
	uint64_t offset = le64toh(plane->offset);
	uint64_t stride = le32toh(plane->stride);
	uint64_t rows = least_rows(le32toh(desc->fourcc), n, le32toh(desc->height));

	if (plane->reserved || offset >= size)
		return -EINVAL;
	if (le64toh(desc->modifier) != MODIFIER_LINEAR)
		return 0;
	/* Below 2^32 * 2^16; the last row may be shorter than the stride. */
	if (!stride || stride * (rows - 1) >= size - offset)
		return -EINVAL;
	return 0;
}

int desc_check(const struct virtio_bufshare_desc *desc, uint64_t size)
{
	uint32_t width = le32toh(desc->width), height = le32toh(desc->height);
	uint32_t num_planes = le32toh(desc->num_planes);

	if (le32toh(desc->user_len) > VIRTIO_BUFSHARE_MAX_USER_LEN)
		return -EINVAL;
	if (!desc->fourcc)
		return is_zero(desc, offsetof(struct virtio_bufshare_desc, user_len)) ? 0 : -EINVAL;

	if (!width || width > MAX_DIMENSION || !height || height > MAX_DIMENSION ||
	    !num_planes || num_planes > VIRTIO_BUFSHARE_MAX_PLANES || desc->range > 2)
		return -EINVAL;
	for (uint32_t i = 0; i < num_planes; i++) {
		int ret = check_plane(desc, i, size);

		if (ret < 0)
			return ret;
	}
	if (!is_zero(&desc->planes[num_planes],
		     (VIRTIO_BUFSHARE_MAX_PLANES - num_planes) * sizeof(desc->planes[0])))
		return -EINVAL;
	return 0;
}
