/* SPDX-License-Identifier: MIT */
/*
 * Source of the memory layouts: Linux, include/uapi/drm/drm_fourcc.h; of the coefficients:
 * ITU-T H.273, matrix coefficients 1 and 6, with the ranges of its equations 20 to 25.
 */
#include "convert.h"

/* Fixed point: 16 bits after the point. */
struct matrix {
	int32_t y_scale, y_offset;
	int32_t r_v, g_u, g_v, b_u;
};

static const struct matrix bt601_limited = { 76309, 16, 104597, -25675, -53279, 132201 };
static const struct matrix bt601_full = { 65536, 0, 91881, -22554, -46802, 116130 };
static const struct matrix bt709_limited = { 76309, 16, 117489, -13975, -34925, 138438 };
static const struct matrix bt709_full = { 65536, 0, 103206, -12277, -30679, 121609 };

static const struct matrix *find_matrix(const struct bufshare_image *image)
{
	if (image->matrix == 1)
		return image->range == 2 ? &bt709_full : &bt709_limited;
	return image->range == 2 ? &bt601_full : &bt601_limited;
}

static uint8_t clamp(int32_t value)
{
	value = (value + (1 << 15)) >> 16;
	if (value < 0)
		return 0;
	return value > 255 ? 255 : (uint8_t)value;
}

static void yuv_pixel(const struct matrix *m, uint8_t y, uint8_t u, uint8_t v, uint8_t *rgb)
{
	int32_t luma = (y - m->y_offset) * m->y_scale;
	int32_t cu = u - 128, cv = v - 128;

	rgb[0] = clamp(luma + m->r_v * cv);
	rgb[1] = clamp(luma + m->g_u * cu + m->g_v * cv);
	rgb[2] = clamp(luma + m->b_u * cu);
}

static const uint8_t *plane_row(const struct bufshare_image *image, const uint8_t *data,
				unsigned int plane, uint32_t row)
{
	return data + image->planes[plane].offset + (uint64_t)row * image->planes[plane].stride;
}

/* @y0, @u, @y1, @v: where they are in the four bytes of two pixels. */
static void packed_422(const struct bufshare_image *image, const uint8_t *in, unsigned int y0,
		       unsigned int u, unsigned int v, uint8_t *rgb)
{
	const struct matrix *m = find_matrix(image);

	for (uint32_t x = 0; x < image->width; x++) {
		const uint8_t *pair = in + (uint64_t)(x / 2) * 4;

		yuv_pixel(m, pair[y0 + (x & 1) * 2], pair[u], pair[v], rgb + (uint64_t)x * 3);
	}
}

static void planar_420(const struct bufshare_image *image, const uint8_t *luma, const uint8_t *u,
		       const uint8_t *v, unsigned int step, uint8_t *rgb)
{
	const struct matrix *m = find_matrix(image);

	for (uint32_t x = 0; x < image->width; x++) {
		uint64_t chroma = (uint64_t)(x / 2) * step;

		yuv_pixel(m, luma[x], u[chroma], v[chroma], rgb + (uint64_t)x * 3);
	}
}

/* @r, @g, @b: where they are in the @bytes of a pixel. */
static void packed_rgb(uint32_t width, const uint8_t *in, unsigned int bytes, unsigned int r,
		       unsigned int g, unsigned int b, uint8_t *rgb)
{
	for (uint32_t x = 0; x < width; x++, in += bytes, rgb += 3) {
		rgb[0] = in[r];
		rgb[1] = in[g];
		rgb[2] = in[b];
	}
}

static void rgb565(uint32_t width, const uint8_t *in, uint8_t *rgb)
{
	for (uint32_t x = 0; x < width; x++, in += 2, rgb += 3) {
		unsigned int pixel = in[0] | (unsigned int)in[1] << 8;
		unsigned int r = pixel >> 11, g = pixel >> 5 & 63, b = pixel & 31;

		rgb[0] = (uint8_t)(r << 3 | r >> 2);
		rgb[1] = (uint8_t)(g << 2 | g >> 4);
		rgb[2] = (uint8_t)(b << 3 | b >> 2);
	}
}

void convert_row(const struct bufshare_image *image, const uint8_t *data, uint32_t row,
		 uint8_t *ret_rgb)
{
	const uint8_t *in = plane_row(image, data, 0, row);
	const uint8_t *chroma;

	switch (image->fourcc) {
	case BUFSHARE_FOURCC('X', 'R', '2', '4'):
	case BUFSHARE_FOURCC('A', 'R', '2', '4'):
		packed_rgb(image->width, in, 4, 2, 1, 0, ret_rgb);
		break;
	case BUFSHARE_FOURCC('X', 'B', '2', '4'):
	case BUFSHARE_FOURCC('A', 'B', '2', '4'):
		packed_rgb(image->width, in, 4, 0, 1, 2, ret_rgb);
		break;
	case BUFSHARE_FOURCC('R', 'G', '2', '4'):
		packed_rgb(image->width, in, 3, 2, 1, 0, ret_rgb);
		break;
	case BUFSHARE_FOURCC('B', 'G', '2', '4'):
		packed_rgb(image->width, in, 3, 0, 1, 2, ret_rgb);
		break;
	case BUFSHARE_FOURCC('R', 'G', '1', '6'):
		rgb565(image->width, in, ret_rgb);
		break;
	case BUFSHARE_FOURCC('Y', 'U', 'Y', 'V'):
		packed_422(image, in, 0, 1, 3, ret_rgb);
		break;
	case BUFSHARE_FOURCC('U', 'Y', 'V', 'Y'):
		packed_422(image, in, 1, 0, 2, ret_rgb);
		break;
	case BUFSHARE_FOURCC('N', 'V', '1', '2'):
		chroma = plane_row(image, data, 1, row / 2);
		planar_420(image, in, chroma, chroma + 1, 2, ret_rgb);
		break;
	case BUFSHARE_FOURCC('Y', 'U', '1', '2'):
		planar_420(image, in, plane_row(image, data, 1, row / 2),
			   plane_row(image, data, 2, row / 2), 1, ret_rgb);
		break;
	default: /* grey: bufshare_image_check() lets no other one in */
		packed_rgb(image->width, in, 1, 0, 0, 0, ret_rgb);
		break;
	}
}
