/* SPDX-License-Identifier: MIT */
/*
 * A doubly linked list whose links are members of what is listed.
 *
 * A list and a link that is in none both point at themselves, so that taking out
 * twice is harmless.
 */
#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

static inline void list_init(struct list *link)
{
	link->prev = link;
	link->next = link;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *list, struct list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#define list_entry(link, type, member) ((type *)((char *)(link) - offsetof(type, member)))

/* The body must not take out anything but @pos itself, and that only before a break. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a declared name has no parentheses. */
#define list_for_each(pos, head) \
	for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif /* CORE_LIST_H */
