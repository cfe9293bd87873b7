/* SPDX-License-Identifier: MIT */
/* What the tests of /dev/bufshareN share: nodes, dma-bufs of several exporters. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <linux/bufshare.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/exporter.h"

#define PAGE 4096UL

/* All give an fd, or -1 with errno. */
int open_node(int flags);
int heap_buffer(size_t size);
/* A udmabuf of @pages pages, no two neighbours in the buffer neighbours in the memfd. */
int scattered_buffer(size_t pages, int *ret_memfd);
/* @size 0: the sum of the pieces. */
int odd_buffer(const struct test_exporter_piece *pieces, uint32_t count, uint64_t size);
bool have_odd_buffers(void);
struct test_exporter_stats odd_stats(void);

/* Page n of a scattered buffer is page scattered_page() of its memfd. */
size_t scattered_page(size_t n, size_t pages);

int export_fd(int node, int fd, struct bufshare_export *ret_args);
int unexport(int node, const uint8_t *uuid);
int publish(int node, uint32_t stream, const uint8_t *uuid, uint64_t sequence,
	    uint32_t *ret_listeners);
/* Waits for an event; false after @seconds. */
bool next_event(int node, int seconds, struct bufshare_event *ret_event);

#endif /* FIXTURE_H */
