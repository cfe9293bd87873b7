/* SPDX-License-Identifier: MIT */
/*
 * Survives faults on guest memory.  A mapped file can lose a page under us (a hugetlb
 * pool runs dry; a file without F_SEAL_SHRINK is cut, which the memory table refuses):
 * the access then raises SIGBUS.  The handler puts anonymous memory in the place of
 * the page, so that the access ends, and marks the range; its owner looks at the mark
 * after it touched guest memory.
 *
 * The list of ranges belongs to the one thread that touches guest memory.
 */
#ifndef VHOST_USER_GUARD_H
#define VHOST_USER_GUARD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

struct vu_guard {
	struct vu_guard *prev, *next;
	uintptr_t start;
	size_t len;
	size_t page_size;		/* of the mapping: a power of two */
	volatile sig_atomic_t *faulted; /* set to 1; borrowed */
};

/* Installs the handler, too.  0 or a negative errno. */
int vu_guard_add(struct vu_guard *guard, void *start, size_t len, size_t page_size,
		 volatile sig_atomic_t *faulted);
/* Before the range is unmapped.  One that was not added (all zero) is fine. */
void vu_guard_remove(struct vu_guard *guard);

#endif /* VHOST_USER_GUARD_H */
