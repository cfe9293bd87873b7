/* SPDX-License-Identifier: MIT */
/* From the formats of buffers to 8-bit RGB, for pictures that a person looks at. */
#ifndef CLIENT_CONVERT_H
#define CLIENT_CONVERT_H

#include <stdint.h>

#include <bufshare/bufshare.h>

/*
 * @data: the buffer, for which bufshare_image_check() has said 0.
 * @row: which row, less than image->height.
 * @ret_rgb: image->width * 3 bytes.
 *
 * YUV is converted by image->matrix (1: BT.709, else BT.601) and image->range (2: full, else
 * limited).
 */
void convert_row(const struct bufshare_image *image, const uint8_t *data, uint32_t row,
		 uint8_t *ret_rgb);

#endif /* CLIENT_CONVERT_H */
