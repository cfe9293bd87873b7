/* SPDX-License-Identifier: MIT */
#include "picture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <png.h>

#include "convert.h"

/* Quick rather than small: a stream does not wait. */
#define PNG_LEVEL 1

/* Kept apart: nothing in here changes between setjmp() and longjmp() but @row. */
static int write_rows(png_structp png, png_infop info, FILE *file,
		      const struct bufshare_image *image, const uint8_t *data, uint8_t *rgb)
{
	if (setjmp(png_jmpbuf(png)) != 0) /* NOLINT(cert-err52-cpp): libpng's way */
		return -EIO;
	png_init_io(png, file);
	png_set_compression_level(png, PNG_LEVEL);
	png_set_IHDR(png, info, image->width, image->height, 8, PNG_COLOR_TYPE_RGB,
		     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (uint32_t row = 0; row < image->height; row++) {
		convert_row(image, data, row, rgb);
		png_write_row(png, rgb);
	}
	png_write_end(png, info);
	return 0;
}

static void on_warning(png_structp png, png_const_charp text)
{
	(void)png;
	(void)text;
}

int picture_write_png(const char *path, const struct bufshare_image *image, const uint8_t *data)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, on_warning);
	png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
	uint8_t *rgb = calloc(image->width, 3);
	FILE *file = NULL;
	int error = -ENOMEM;

	if (info != NULL && rgb != NULL) {
		file = fopen(path, "we");
		error = file != NULL ? write_rows(png, info, file, image, data, rgb) : -errno;
	}
	if (file != NULL) {
		if (fclose(file) != 0 && error == 0)
			error = -errno;
		if (error < 0)
			(void)unlink(path);
	}
	png_destroy_write_struct(&png, &info);
	free(rgb);
	return error;
}

int picture_write_raw(const char *path, const uint8_t *data, uint64_t size)
{
	FILE *file = fopen(path, "we");
	int error = 0;

	if (file == NULL)
		return -errno;
	if (fwrite(data, 1, size, file) != size)
		error = -EIO;
	if (fclose(file) != 0 && error == 0)
		error = -errno;
	if (error < 0)
		(void)unlink(path);
	return error;
}
