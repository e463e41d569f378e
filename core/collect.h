/* Freeing objects that nobody holds and no record names (object.h says how that is known).
 * All but pn_collect_if_free with header.lock held.
 */
#ifndef PN_COLLECT_H
#define PN_COLLECT_H

#include "object.h"

/* Objects that are to be looked at next: private memory. */
typedef struct {
    uint64_t *offset;
    size_t used, capacity;
    bool is_short; /* some found no room */
} pn_collect_list;

/* Without memory for it the next sweep looks. */
void pn_collect_later(pn_collect_list *list, uint64_t offset);

/* Free it, if that is known by a look at the cell alone or if a walk of the rings says so. */
bool pn_object_collect(pn_domain *domain, uint64_t offset);
/* The same, taking the lock only if there is something to be freed or looked for. */
void pn_collect_if_free(pn_domain *domain, uint64_t offset);
/* Look at every object, walking what has records once at most, from what is held: a circle goes too. */
void pn_collect_all(pn_domain *domain);
/* header.uncollected: is there anything for it to find? Set before a death is cleared up, so that a
 * sweep that is killed in it leaves it set, and by every look that left an object which nobody holds;
 * cleared by pn_collect_all when it has left none, and none is marked. */
void pn_collect_soon(pn_domain *domain);
bool pn_collect_needed(pn_domain *domain);
/* A death was found: whose sums differ now is looked for from here on. Before the bits of the
 * holders are looked at: who drops it later sees the mark, who dropped it before is seen. */
void pn_collect_mark(pn_domain *domain, uint64_t offset);

#endif
