/* The lists of scenarios, ended by one without a name. */
#ifndef TESTS_STEPKILL_H
#define TESTS_STEPKILL_H

#include "crew.h"

#define SCENARIO_LISTS(LIST)                                                                       \
    LIST(ring)                                                                                     \
    LIST(segment)                                                                                  \
    LIST(shut)                                                                                     \
    LIST(object)                                                                                   \
    LIST(buffer)                                                                                   \
    LIST(lock)                                                                                     \
    LIST(heap)                                                                                     \
    LIST(sweep)                                                                                    \
    LIST(lease)                                                                                    \
    LIST(find)                                                                                     \
    LIST(dict)                                                                                     \
    LIST(broken)                                                                                   \
    LIST(name)                                                                                     \
    LIST(listen)                                                                                   \
    LIST(heard)                                                                                    \
    LIST(semaphore)                                                                                \
    LIST(barrier)                                                                                  \
    LIST(condition)                                                                                \
    LIST(event)                                                                                    \
    LIST(priority)                                                                                 \
    LIST(pipe)

#define DECLARED(name) extern const scenario name##_scenarios[];
SCENARIO_LISTS(DECLARED)

#define SLEEPING(function, first_id, number) {function, BEFORE, first_id, number}
#define COMING(function, first_id, number) {function, AFTER, first_id, number}
#define LATECOMER(function, first_id, number) {function, LATER, first_id, number}
#define FROM(function) .from = (void (*)(void))function
#define RING_RULES .at_stop = ring_at_stop, .survive = ring_survive

/* Roles of ring scenarios. */
void produce(world *world, actor *me);      /* ids first, first + 1, ...: `count` of them */
void consume(world *world, actor *me);      /* until the ring is shut */
void consume_some(world *world, actor *me); /* `count` items */

/* Preparing the ring: its limit, and the items that are in. */
void ring_make(world *world, uint64_t max_items, uint64_t max_bytes);
void ring_preload(world *world, uint32_t first, uint32_t count);
/* One more id is in. */
void book(world *world, uint32_t id);
/* The director puts or takes an item, and books it. */
void director_put(world *world, uint32_t id);
void director_get(world *world);
/* What the victims are about to put: ids from `first` on. */
void victim_puts(world *world, uint32_t first, uint32_t count);
/* How many items were ever taken. */
uint32_t count_got(world *world);
pn_status put_waiting(pn_ring *ring, uint32_t id, uint32_t count);
void op_put(world *world);
void op_put_blocking(world *world);
void op_get(world *world);
void ring_at_stop(world *world);
void ring_survive(world *world);

/* After everybody is gone: sweep, and look whether all is accounted for. */
void audit_after(world *world);

#endif
