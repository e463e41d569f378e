/* A signed 64-bit integer that all processes change without a lock.
 *
 * Each operation is one store, or none: whoever is killed has done it or has not. Nobody waits, so
 * nobody is woken, and a death means nothing to it.
 */
#ifndef PN_ATOMIC_H
#define PN_ATOMIC_H

#include "object.h"

typedef struct {
    pn_object object;
    _Atomic int64_t value;
} pn_atomic_cell;

/* Make one; this process holds it. */
pn_status pn_atomic_new(pn_domain *domain, const char *name, int64_t value, uint64_t *offset,
                        uint32_t *generation);
/* Add and give the sum; false: it would not fit, and nothing was changed. */
bool pn_atomic_add(pn_atomic_cell *cell, int64_t summand, int64_t *sum);

static inline pn_atomic_cell *
pn_atomic_at(const pn_domain *domain, uint64_t offset)
{
    return pn_at(domain, offset);
}

#endif
