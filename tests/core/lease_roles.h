/* Roles and rules of lease scenarios. `a` is one of the kinds below. */
#ifndef TESTS_LEASE_ROLES_H
#define TESTS_LEASE_ROLES_H

#include "audit.h"
#include "stepkill.h"

enum {
    LETTERS = 1, /* `b` items become dead letters */
    PREPAID = 2  /* task_done() without a lease: the last one may be too many */
};

void leased_make(world *world, uint32_t max_deliveries);
void take_one(world *world);
void take_two(world *world);
void work(world *world, actor *me);
void join(world *world, actor *me);
/* Is there a lease of that item? By the entries alone: the victim stands in between. */
bool is_leased(world *world, uint64_t id);
/* at_stop: the victim ends the lease of the item with ordinal `b`. */
void note_done(world *world);
void lease_survive(world *world);

#endif
