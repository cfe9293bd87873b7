/* SPDX-License-Identifier: MIT */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

void slots_init(struct slots *slots)
{
	*slots = (struct slots){ .free = SLOTS_NONE };
}

void slots_finish(struct slots *slots)
{
	free(slots->slot);
	slots_init(slots);
}

int slots_add(struct slots *slots, void *object, uint32_t *ret_place)
{
	uint32_t place = slots->free;

	if (place != SLOTS_NONE) {
		slots->free = (uint32_t)(slots->slot[place] >> 1);
	} else {
		if (slots->used == slots->capacity) {
			uint32_t capacity = slots->capacity ? slots->capacity * 2 : 16;
			uintptr_t *slot;

			/* A free place keeps the next one's number above one bit. */
			if (capacity > SLOTS_NONE / 2)
				return -ENOMEM;
			slot = reallocarray(slots->slot, capacity, sizeof(*slot));
			if (!slot)
				return -ENOMEM;
			slots->slot = slot;
			slots->capacity = capacity;
		}
		place = slots->used++;
	}
	slots->slot[place] = (uintptr_t)object;
	*ret_place = place;
	return 0;
}

void slots_remove(struct slots *slots, uint32_t place)
{
	slots->slot[place] = (uintptr_t)slots->free << 1 | 1;
	slots->free = place;
}

void *slots_next(const struct slots *slots, uint64_t place, uint32_t *ret_place)
{
	for (; place < slots->used; place++) {
		if (slots->slot[place] & 1)
			continue;
		*ret_place = (uint32_t)place;
		/* The table holds either a pointer or a number: see struct slots. */
		return (void *)slots->slot[place]; /* NOLINT(performance-no-int-to-ptr) */
	}
	return NULL;
}
