/* SPDX-License-Identifier: MIT */
/* The command's conversions to RGB, and what the library knows of formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "convert.h"

static void expect_near(const uint8_t *rgb, int r, int g, int b, int tolerance)
{
	const int want[] = { r, g, b };

	for (int i = 0; i < 3; i++) {
		int low = want[i] - tolerance, high = want[i] + tolerance;

		assert_in_range(rgb[i], low < 0 ? 0 : low, high > 255 ? 255 : high);
	}
}

static struct bufshare_image image_of(const char *fourcc, uint32_t width, uint32_t height)
{
	struct bufshare_image image = {
		.width = width,
		.height = height,
		.fourcc = BUFSHARE_FOURCC(fourcc[0], fourcc[1], fourcc[2], fourcc[3]),
	};

	assert_int_equal(bufshare_image_layout(&image, NULL), 0);
	return image;
}

static void rgb_formats(void **state)
{
	static const struct {
		const char *fourcc;
		uint8_t bytes[4]; /* of a pixel that is (10, 20, 30) */
	} table[] = {
		{ "XR24", { 30, 20, 10, 0 } }, { "AR24", { 30, 20, 10, 255 } },
		{ "XB24", { 10, 20, 30, 0 } }, { "AB24", { 10, 20, 30, 255 } },
		{ "RG24", { 30, 20, 10 } },    { "BG24", { 10, 20, 30 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bufshare_image image = image_of(table[i].fourcc, 1, 1);
		uint8_t rgb[3];

		convert_row(&image, table[i].bytes, 0, rgb);
		expect_near(rgb, 10, 20, 30, 0);
	}
}

static void rgb565_extremes(void **state)
{
	struct bufshare_image image = image_of("RG16", 4, 1);
	/* Little-endian: white, red, green, blue. */
	const uint8_t data[] = { 0xff, 0xff, 0x00, 0xf8, 0xe0, 0x07, 0x1f, 0x00 };
	uint8_t rgb[12];

	(void)state;
	convert_row(&image, data, 0, rgb);
	expect_near(rgb, 255, 255, 255, 0);
	expect_near(rgb + 3, 255, 0, 0, 0);
	expect_near(rgb + 6, 0, 255, 0, 0);
	expect_near(rgb + 9, 0, 0, 255, 0);
}

static void grey(void **state)
{
	struct bufshare_image image = image_of("R8  ", 2, 1);
	const uint8_t data[] = { 7, 200 };
	uint8_t rgb[6];

	(void)state;
	convert_row(&image, data, 0, rgb);
	expect_near(rgb, 7, 7, 7, 0);
	expect_near(rgb + 3, 200, 200, 200, 0);
}

/* The primaries of BT.601 and BT.709, limited range, as the standards' tables give them. */
static void yuv_primaries(void **state)
{
	static const struct {
		uint8_t matrix, y, u, v, r, g, b;
	} table[] = {
		{ 6, 81, 90, 240, 255, 0, 0 },	 { 6, 145, 54, 34, 0, 255, 0 },
		{ 6, 41, 240, 110, 0, 0, 255 },	 { 6, 235, 128, 128, 255, 255, 255 },
		{ 6, 16, 128, 128, 0, 0, 0 },	 { 1, 63, 102, 240, 255, 0, 0 },
		{ 1, 173, 42, 26, 0, 255, 0 },	 { 1, 32, 240, 118, 0, 0, 255 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bufshare_image yuyv = image_of("YUYV", 2, 1);
		struct bufshare_image uyvy = image_of("UYVY", 2, 1);
		const uint8_t a[] = { table[i].y, table[i].u, table[i].y, table[i].v };
		const uint8_t b[] = { table[i].u, table[i].y, table[i].v, table[i].y };
		uint8_t rgb[6];

		yuyv.matrix = uyvy.matrix = table[i].matrix;
		convert_row(&yuyv, a, 0, rgb);
		expect_near(rgb, table[i].r, table[i].g, table[i].b, 3);
		expect_near(rgb + 3, table[i].r, table[i].g, table[i].b, 3);
		convert_row(&uyvy, b, 0, rgb);
		expect_near(rgb, table[i].r, table[i].g, table[i].b, 3);
	}
}

static void full_range(void **state)
{
	struct bufshare_image image = image_of("YUYV", 2, 1);
	const uint8_t data[] = { 255, 128, 1, 128 };
	uint8_t rgb[6];

	(void)state;
	image.range = 2;
	convert_row(&image, data, 0, rgb);
	expect_near(rgb, 255, 255, 255, 0);
	expect_near(rgb + 3, 1, 1, 1, 0);
}

/* An odd size, a chroma sample for two rows, planes where the image says that they are. */
static void planar(void **state)
{
	struct bufshare_image nv12 = image_of("NV12", 3, 3);
	struct bufshare_image yu12 = image_of("YU12", 3, 3);
	uint8_t data[64] = { 0 };
	uint8_t rgb[9];

	(void)state;
	memset(data, 81, 9); /* luma of red */
	nv12.planes[1].offset = 16;
	nv12.planes[1].stride = 8;
	for (size_t row = 0; row < 2; row++)
		for (size_t x = 0; x < 2; x++) {
			data[16 + row * 8 + x * 2] = 90;
			data[16 + row * 8 + x * 2 + 1] = 240;
		}
	for (uint32_t row = 0; row < 3; row++) {
		convert_row(&nv12, data, row, rgb);
		for (size_t x = 0; x < 3; x++)
			expect_near(rgb + x * 3, 255, 0, 0, 3);
	}
	memset(data + yu12.planes[1].offset, 90, 4);
	memset(data + yu12.planes[2].offset, 240, 4);
	for (uint32_t row = 0; row < 3; row++) {
		convert_row(&yu12, data, row, rgb);
		for (size_t x = 0; x < 3; x++)
			expect_near(rgb + x * 3, 255, 0, 0, 3);
	}
}

static void stride_is_used(void **state)
{
	struct bufshare_image image = image_of("BG24", 1, 2);
	const uint8_t data[] = { 1, 2, 3, 0, 0, 4, 5, 6 };
	uint8_t rgb[3];

	(void)state;
	image.planes[0].stride = 5;
	convert_row(&image, data, 1, rgb);
	expect_near(rgb, 4, 5, 6, 0);
}

/* ---- bufshare_image_check() ---- */

static void check_bounds(void **state)
{
	struct bufshare_image image = image_of("XR24", 64, 16);

	(void)state;
	assert_int_equal(bufshare_image_check(&image, UINT64_C(64) * 16 * 4), 0);
	assert_int_equal(bufshare_image_check(&image, UINT64_C(64) * 16 * 4 - 1), -EINVAL);
	image.planes[0].offset = 1;
	assert_int_equal(bufshare_image_check(&image, UINT64_C(64) * 16 * 4), -EINVAL);
	image.planes[0].offset = UINT64_MAX;
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EINVAL);
	image.planes[0].offset = 0;
	image.planes[0].stride = 64 * 4 - 1;
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EINVAL);
	/* The last row may be shorter than the stride. */
	image.planes[0].stride = 512;
	assert_int_equal(bufshare_image_check(&image, UINT64_C(15) * 512 + 256), 0);
	assert_int_equal(bufshare_image_check(&image, UINT64_C(15) * 512 + 255), -EINVAL);
}

static void check_values(void **state)
{
	struct bufshare_image image = image_of("NV12", 64, 16);

	(void)state;
	image.num_planes = 1;
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EINVAL);
	image.num_planes = 2;
	image.height = UINT32_MAX;
	image.planes[1].stride = UINT32_MAX;
	assert_int_equal(bufshare_image_check(&image, 1 << 20), -EINVAL);
	image.height = 0;
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EINVAL);
	image = image_of("NV12", 64, 16);
	image.modifier = 1;
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EOPNOTSUPP);
	image.modifier = 0;
	image.fourcc = BUFSHARE_FOURCC('A', 'B', 'C', 'D');
	assert_int_equal(bufshare_image_check(&image, UINT64_MAX), -EOPNOTSUPP);
}

static void layout_values(void **state)
{
	struct bufshare_image image = image_of("YU12", 1920, 1080);
	uint64_t size;

	(void)state;
	assert_int_equal(bufshare_image_layout(&image, &size), 0);
	assert_int_equal(image.planes[1].offset, 1920 * 1080);
	assert_int_equal(image.planes[2].stride, 960);
	assert_in_range(size, 1920 * 1080 * 3 / 2, 1920 * 1080 * 3 / 2 + 4095);
	assert_int_equal(size % 4096, 0);
	image.width = UINT32_MAX;
	image.height = UINT32_MAX;
	image.fourcc = BUFSHARE_FOURCC('X', 'R', '2', '4');
	assert_int_equal(bufshare_image_layout(&image, &size), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rgb_formats),	  cmocka_unit_test(rgb565_extremes),
		cmocka_unit_test(grey),		  cmocka_unit_test(yuv_primaries),
		cmocka_unit_test(full_range),	  cmocka_unit_test(planar),
		cmocka_unit_test(stride_is_used), cmocka_unit_test(check_bounds),
		cmocka_unit_test(check_values),	  cmocka_unit_test(layout_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
