/* SPDX-License-Identifier: MIT */
/*
 * A table of pointers whose places do not move, for walks that stop and go on.
 *
 * A walk's cursor is a place in the table: going on costs nothing, whatever came
 * or went in between, and what stayed is seen exactly once.
 */
#ifndef CORE_SLOTS_H
#define CORE_SLOTS_H

#include <stdint.h>

struct slots {
	uintptr_t *slot; /* a pointer, or (next free << 1 | 1) */
	uint32_t capacity;
	uint32_t used; /* places ever given out: all beyond are untouched */
	uint32_t free; /* head of the free places below @used; SLOTS_NONE: none */
};

#define SLOTS_NONE UINT32_MAX

void slots_init(struct slots *slots);
void slots_finish(struct slots *slots);
/* @object: borrowed, aligned to 2 at least.  0 or -ENOMEM. */
int slots_add(struct slots *slots, void *object, uint32_t *ret_place);
void slots_remove(struct slots *slots, uint32_t place);
/* The first object at @place or beyond, and its place; NULL: there is none. */
void *slots_next(const struct slots *slots, uint64_t place, uint32_t *ret_place);

#endif /* CORE_SLOTS_H */
