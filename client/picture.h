/* SPDX-License-Identifier: MIT */
/* Frames into files. */
#ifndef CLIENT_PICTURE_H
#define CLIENT_PICTURE_H

#include <stdint.h>

#include <bufshare/bufshare.h>

#define PICTURE_PNG_MAX 1000000 /* pixels of a row or column: libpng takes no more unless told */

/*
 * Writes the picture in @data (for which bufshare_image_check() has said 0, and no side is longer
 * than PICTURE_PNG_MAX) as PNG.  Returns 0 or a negative errno; what was begun is removed then.
 */
int picture_write_png(const char *path, const struct bufshare_image *image, const uint8_t *data);

/* Writes the bytes as they are. */
int picture_write_raw(const char *path, const uint8_t *data, uint64_t size);

#endif /* CLIENT_PICTURE_H */
