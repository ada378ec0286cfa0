/*
 * list: an intrusive, circular, doubly linked list. A head and an unlinked
 * node are both initialised with list_init.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define LIST_INIT(name)          \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Inserts n at the end (before the head). */
static inline void list_add(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Unlinks n; it can be deleted again or added elsewhere. */
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/*
 * Walks the nodes of a list; the current node may be deleted in the body:
 *	list_each(n, &head) { struct foo *f = container_of(n, struct foo, node); ... }
 */
#define list_each(node, head)                                 \
	for (struct list *node = (head)->next, *node##_next_; \
	     node##_next_ = node->next, node != (head); node = node##_next_)

#endif
