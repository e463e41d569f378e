#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "atomic.h"

pn_status
pn_atomic_new(pn_domain *domain, const char *name, int64_t value, uint64_t *offset,
              uint32_t *generation)
{
    pn_status status = pn_object_new(domain, PN_OBJECT_ATOMIC, name, offset, generation);
    if (status == PN_OK) {
        atomic_store(&pn_atomic_at(domain, *offset)->value, value); /* nobody else knows it yet */
    }
    return status;
}

bool
pn_atomic_add(pn_atomic_cell *cell, int64_t summand, int64_t *sum)
{
    int64_t now = atomic_load_explicit(&cell->value, memory_order_relaxed);
    do {
        if (__builtin_add_overflow(now, summand, sum)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&cell->value, &now, *sum)); /* COMMIT */
    return true;
}
