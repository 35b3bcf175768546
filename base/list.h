/* list.h - an intrusive, circular, doubly linked list: the link lives in the object.
 *
 * An object is on at most one list per link. A link that is on no list points to itself, so list_remove() may be called
 * on it at any time. Threads: none of its own; a list belongs to one thread. */
#ifndef RINGMQ_BASE_LIST_H
#define RINGMQ_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

#define CONTAINER_OF(member_pointer, type, member) ((type *)((char *)(member_pointer) - offsetof(type, member)))

static inline void list_init(struct list *link) { link->next = link->previous = link; }
static inline bool list_empty(const struct list *head) { return head->next == head; }

static inline void list_append(struct list *head, struct list *link)
{
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* Moves all links of `from` to the end of `to`, in order. */
static inline void list_take_all(struct list *to, struct list *from)
{
    if (list_empty(from)) return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

/* The first link, or NULL. */
static inline struct list *list_first(struct list *head) { return list_empty(head) ? NULL : head->next; }

/* Safe against removal of `link` itself inside the loop. */
#define LIST_FOR_EACH(link, head)                                                                                    \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);                                \
         link = link##_next, link##_next = link->next)

#endif
