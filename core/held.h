/* What this process holds: offset -> number of its own references. Private memory, under
 * domain.mutex; a hash table, because a program may have many thousands of arrays.
 */
#ifndef PN_HELD_H
#define PN_HELD_H

#include "domain.h"

/* NULL: not held. */
pn_held *pn_held_find(pn_domain *domain, uint64_t offset);
/* An entry with count 0; it must not be there. */
pn_held *pn_held_add(pn_domain *domain, uint64_t offset);
/* Moves other entries. */
void pn_held_remove(pn_domain *domain, pn_held *held);

#endif
