#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "held.h"

#include <stdlib.h>

#define FIRST_CAPACITY 16u

/* Open addressing, linear; offset 0 (the header's) is an empty place. */
static size_t
home_of(const pn_domain *domain, uint64_t offset)
{
    /* Cells are 512 bytes apart. */
    return (size_t)(offset / 512 * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
           (domain->held_capacity - 1);
}

static pn_held *
place_of(pn_domain *domain, uint64_t offset)
{
    size_t at = home_of(domain, offset);
    while (domain->held[at].offset != 0 && domain->held[at].offset != offset) {
        at = (at + 1) & (domain->held_capacity - 1);
    }
    return &domain->held[at];
}

pn_held *
pn_held_find(pn_domain *domain, uint64_t offset)
{
    if (domain->held_capacity == 0) {
        return NULL;
    }
    pn_held *held = place_of(domain, offset);
    return held->offset != 0 ? held : NULL;
}

static void
enlarge(pn_domain *domain)
{
    pn_held *old = domain->held;
    size_t before = domain->held_capacity;
    domain->held_capacity = before ? before * 2 : FIRST_CAPACITY;
    domain->held = calloc(domain->held_capacity, sizeof(*old));
    if (domain->held == NULL) {
        abort(); /* 32 bytes an object: the process is beyond help */
    }
    for (size_t i = 0; i < before; i++) {
        if (old[i].offset != 0) {
            *place_of(domain, old[i].offset) = old[i];
        }
    }
    free(old);
}

pn_held *
pn_held_add(pn_domain *domain, uint64_t offset)
{
    if (domain->held_used * 2 >= domain->held_capacity) {
        enlarge(domain);
    }
    domain->held_used++;
    pn_held *held = place_of(domain, offset);
    *held = (pn_held){.offset = offset};
    return held;
}

void
pn_held_remove(pn_domain *domain, pn_held *held)
{
    size_t mask = domain->held_capacity - 1;
    size_t hole = (size_t)(held - domain->held);
    /* Close the gap: move back whatever a search would no longer find behind it. */
    for (size_t at = (hole + 1) & mask; domain->held[at].offset != 0; at = (at + 1) & mask) {
        size_t home = home_of(domain, domain->held[at].offset);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            domain->held[hole] = domain->held[at];
            hole = at;
        }
    }
    domain->held[hole].offset = 0;
    domain->held_used--;
}
