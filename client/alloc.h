/* SPDX-License-Identifier: MIT */
/* Memory that is a dma-buf, for a program in a guest that has no device to make it. */
#ifndef CLIENT_ALLOC_H
#define CLIENT_ALLOC_H

#include <stdint.h>

/*
 * @size: bytes, page-aligned.  They return a dma-buf, owned by the caller, or a negative
 * errno.
 */
int alloc_heap(const char *heap, uint64_t size); /* of /dev/dma_heap/@heap */
int alloc_udmabuf(uint64_t size);		 /* over a new memfd, by /dev/udmabuf */

#endif /* CLIENT_ALLOC_H */
