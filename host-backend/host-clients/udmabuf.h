/* SPDX-License-Identifier: MIT */
/*
 * Makes dma-bufs of pieces of memfds, by Linux' /dev/udmabuf.
 *
 * Source of the interface and of the limits: Linux, include/uapi/linux/udmabuf.h and
 * drivers/dma-buf/udmabuf.c.
 */
#ifndef HOST_CLIENTS_UDMABUF_H
#define HOST_CLIENTS_UDMABUF_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* Opens @path.  Returns the fd, owned by the caller, or a negative errno. */
int udmabuf_open(const char *path);

/*
 * A dma-buf over exactly @extents, in their order.  @device: from udmabuf_open().
 * Returns the dma-buf's fd, owned by the caller, or a negative errno with a sentence
 * for a person in @ret_why (@why_size bytes): -E2BIG when a limit of udmabuf is in
 * the way (the text names the module parameter), else what the kernel said.
 */
int udmabuf_make(int device, const struct extent *extents, uint32_t num, char *ret_why,
		 size_t why_size);

#endif /* HOST_CLIENTS_UDMABUF_H */
