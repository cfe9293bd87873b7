/* SPDX-License-Identifier: MIT */
/*
 * How the known formats lie in memory.  Source: Linux, include/uapi/drm/drm_fourcc.h; all
 * are linear, and the components of YUV have the sizes given there.
 */
#include "internal.h"

#include <errno.h>
#include <unistd.h>

struct plane_layout {
	uint8_t bytes; /* of a sample; for packed 4:2:2, of two pixels */
	uint8_t hsub;  /* pixels of a row that a sample stands for */
	uint8_t vsub;
};

struct layout {
	uint32_t fourcc;
	uint32_t num_planes;
	struct plane_layout planes[3];
};

static const struct layout layouts[] = {
	{ BUFSHARE_FOURCC('X', 'R', '2', '4'), 1, { { 4, 1, 1 } } },
	{ BUFSHARE_FOURCC('A', 'R', '2', '4'), 1, { { 4, 1, 1 } } },
	{ BUFSHARE_FOURCC('X', 'B', '2', '4'), 1, { { 4, 1, 1 } } },
	{ BUFSHARE_FOURCC('A', 'B', '2', '4'), 1, { { 4, 1, 1 } } },
	{ BUFSHARE_FOURCC('R', 'G', '2', '4'), 1, { { 3, 1, 1 } } },
	{ BUFSHARE_FOURCC('B', 'G', '2', '4'), 1, { { 3, 1, 1 } } },
	{ BUFSHARE_FOURCC('R', 'G', '1', '6'), 1, { { 2, 1, 1 } } },
	{ BUFSHARE_FOURCC('Y', 'U', 'Y', 'V'), 1, { { 4, 2, 1 } } },
	{ BUFSHARE_FOURCC('U', 'Y', 'V', 'Y'), 1, { { 4, 2, 1 } } },
	{ BUFSHARE_FOURCC('N', 'V', '1', '2'), 2, { { 1, 1, 1 }, { 2, 2, 2 } } },
	{ BUFSHARE_FOURCC('Y', 'U', '1', '2'), 3, { { 1, 1, 1 }, { 1, 2, 2 }, { 1, 2, 2 } } },
	{ BUFSHARE_FOURCC('R', '8', ' ', ' '), 1, { { 1, 1, 1 } } },
	{ BUFSHARE_FOURCC('G', 'R', 'E', 'Y'), 1, { { 1, 1, 1 } } },
};

static const struct layout *find_layout(const struct bufshare_image *image)
{
	if (image->modifier != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].fourcc == image->fourcc)
			return &layouts[i];
	return NULL;
}

static uint64_t row_bytes(const struct plane_layout *plane, uint32_t width)
{
	return ((uint64_t)width + plane->hsub - 1) / plane->hsub * plane->bytes;
}

static uint64_t num_rows(const struct plane_layout *plane, uint32_t height)
{
	return ((uint64_t)height + plane->vsub - 1) / plane->vsub;
}

bool image_reserved_is_0(const struct bufshare_image *image)
{
	for (size_t i = 0; i < sizeof(image->reserved) / sizeof(image->reserved[0]); i++)
		if (image->reserved[i] != 0)
			return false;
	for (size_t i = 0; i < BUFSHARE_MAX_PLANES; i++)
		if (image->planes[i].reserved != 0)
			return false;
	return true;
}

int bufshare_image_check(const struct bufshare_image *image, uint64_t size)
{
	const struct layout *layout = find_layout(image);

	if (!image_reserved_is_0(image))
		return -EINVAL;
	if (layout == NULL)
		return -EOPNOTSUPP;
	if (image->width == 0 || image->height == 0 || image->num_planes != layout->num_planes)
		return -EINVAL;
	for (uint32_t i = 0; i < layout->num_planes; i++) {
		uint64_t row = row_bytes(&layout->planes[i], image->width);
		uint64_t rows = num_rows(&layout->planes[i], image->height);
		uint64_t end;

		/* The last row need not be a whole stride. */
		if (image->planes[i].stride < row ||
		    __builtin_mul_overflow(rows - 1, image->planes[i].stride, &end) ||
		    __builtin_add_overflow(end, row, &end) ||
		    __builtin_add_overflow(end, image->planes[i].offset, &end) || end > size)
			return -EINVAL;
	}
	return 0;
}

int bufshare_image_layout(struct bufshare_image *image, uint64_t *ret_size)
{
	const struct layout *layout = find_layout(image);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct bufshare_image_plane planes[BUFSHARE_MAX_PLANES] = { 0 };
	uint64_t size = 0;

	if (!image_reserved_is_0(image))
		return -EINVAL;
	if (layout == NULL)
		return -EOPNOTSUPP;
	if (image->width == 0 || image->height == 0)
		return -EINVAL;
	for (uint32_t i = 0; i < layout->num_planes; i++) {
		uint64_t row = row_bytes(&layout->planes[i], image->width);
		uint64_t bytes;

		if (row > UINT32_MAX ||
		    __builtin_mul_overflow(row, num_rows(&layout->planes[i], image->height), &bytes))
			return -EINVAL;
		planes[i].offset = size;
		planes[i].stride = (uint32_t)row;
		if (__builtin_add_overflow(size, bytes, &size))
			return -EINVAL;
	}
	if (__builtin_add_overflow(size, page - 1, &size))
		return -EINVAL;
	for (uint32_t i = 0; i < BUFSHARE_MAX_PLANES; i++)
		image->planes[i] = planes[i];
	image->num_planes = layout->num_planes;
	if (ret_size != NULL)
		*ret_size = size / page * page;
	return 0;
}
