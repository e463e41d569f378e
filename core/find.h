/* Objects by name, for another program of the same user.
 *
 * A program that is given no handle looks for what it wants by the name that its maker gave it. It maps the domain and
 * has a line of the process table, as the domain's own processes have: so what it holds is kept, and
 * is given back when it dies. Its line is marked PN_SLOT_VISITOR, and so are those of its children:
 * the guardian of this domain has nothing to do with them, and their own program's minds them.
 *
 * A name need not be unique, and may be gone with its object a moment later: what was found is a handle,
 * and pn_object_attach refuses one whose object has been freed.
 */
#ifndef PN_FIND_H
#define PN_FIND_H

#include "object.h"

typedef struct {
    uint64_t offset;
    uint32_t generation;
    uint32_t type; /* pn_object_type */
    char name[PN_NAME];
} pn_found;

/* All objects that have a name, in no order, without those that are parts of others; `list` is to be freed. */
pn_status pn_find_named(pn_domain *domain, pn_found **list, size_t *count);

#endif
