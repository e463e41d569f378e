/* Lines for those who wait at one object: a condition's queue, the parties of a barrier.
 *
 * A line is taken and given back by one store of `owner`. Everything else in it is written before the line is taken,
 * and means nothing while it is free. Some lines stand in the object's cell; more come in chunks, heap blocks that
 * the cell names, linked at the end by one store and kept as long as the object. So there is no limit but memory.
 *
 * Taking, and whatever looks at more than one line, is done under the object's own lock. Only the owner, or a burial,
 * gives a line back; that needs no lock.
 *
 * No count is kept that a death could falsify: who wants one walks the lines. `high` bounds the walk: no line at or behind
 * it is in use. It is raised before a line is taken and lowered when the last ones are found free.
 */
#ifndef PN_WAITERS_H
#define PN_WAITERS_H

#include "object.h"

typedef struct {
    pn_word64 owner;  /* (slot + 1) << 32 | generation of the process; of one without a line of the
                       * table PN_SLOTS and its thread's tid instead; 0: free */
    pn_word64 ticket; /* whose turn it is, which round: the object's header says */
    pn_word64 note;   /* as well */
    pn_word word;     /* futex of a condition's waiter */
    uint32_t index;   /* of a party */
    uint8_t pad[32];
} pn_waiter;

_Static_assert(sizeof(pn_waiter) == 64, "waiter layout is shared between processes");

#define PN_WAITERS_INLINE 25u

typedef struct {
    pn_word high; /* of the lines in the cell */
    uint32_t reserved;
    pn_word64 chunks; /* the oldest */
    uint8_t pad[48];
    pn_waiter line[PN_WAITERS_INLINE];
} pn_waiters;

typedef struct {
    pn_word high;
    uint32_t count;
    pn_word64 next; /* a younger one */
    uint8_t pad[48];
    pn_waiter line[];
} pn_waiter_chunk;

_Static_assert(offsetof(pn_waiter_chunk, line) == 64, "lines are aligned to cache lines");

/* A walk over the lines below each `high`. */
typedef struct {
    pn_domain *domain;
    pn_waiter *line;
    uint32_t left;
    uint64_t next;
} pn_waiter_walk;

static inline pn_waiter_walk
pn_waiters_walk(pn_domain *domain, pn_waiters *waiters)
{
    return (pn_waiter_walk){domain, waiters->line,
                            atomic_load_explicit(&waiters->high, memory_order_acquire),
                            atomic_load_explicit(&waiters->chunks, memory_order_acquire)};
}

/* The next line in use, NULL at the end. */
pn_waiter *pn_waiter_next(pn_waiter_walk *walk);

/* This process's owner word. */
uint64_t pn_waiter_me(const pn_domain *domain);
/* That of a process that is to be buried. */
static inline uint64_t
pn_waiter_owner(uint32_t slot, uint32_t generation)
{
    return (uint64_t)(slot + 1) << 32 | generation;
}

/* Is the owner of the line gone? Reads /proc. Of a process without a line of the table only the thread's id is
 * known: one that has come back hides its death. */
bool pn_waiter_is_dead(pn_domain *domain, pn_waiter *line);

/* At the end of a slice, for the object at `object`: has the owner of a line died whose ticket is below `below`? Then its
 * burial is seen to: by a sweep, or here, if it has no line of the process table that could be swept. One waiter looks in
 * each slice, by `looked`. */
typedef bool (*pn_bury)(pn_domain *domain, uint64_t object, uint32_t slot, uint32_t generation,
                        bool awaited);
void pn_waiters_look_for_dead(pn_domain *domain, pn_waiters *waiters, uint64_t object,
                              uint64_t below, _Atomic int64_t *looked, pn_bury bury);

/* Under the object's lock: take a line; NULL: all are in use. */
pn_waiter *pn_waiters_take(pn_domain *domain, pn_waiters *waiters, uint64_t ticket, uint32_t index);
/* Give it back. */
static inline void
pn_waiter_leave(pn_waiter *line)
{
    atomic_store(&line->owner, 0); /* COMMIT */
}

/* With no lock held: a chunk for the object at `object`, which this process owns until it is linked. */
pn_status pn_waiters_new_chunk(pn_domain *domain, uint64_t object, uint64_t *chunk);
/* Under the object's lock: link it. */
void pn_waiters_link(pn_domain *domain, pn_waiters *waiters, uint64_t chunk);

/* For the sweep, under header.lock. */
bool pn_waiters_name_block(pn_domain *domain, pn_waiters *waiters, uint64_t block);
void pn_waiters_discard(pn_domain *domain, pn_waiters *waiters);
/* How long a burial waits for the object's lock: its holder may be stopped. */
#define PN_BURIAL_NS (20 * 1000000LL)

#endif
