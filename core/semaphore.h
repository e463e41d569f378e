/* The semaphore: permits, and a ledger of who has them.
 *
 *   free == total - apart - sum over all lines (held + kept)
 *
 * A line for each line of the process table, one word of two halves:
 *   held   permits that this process took and nobody gave back: a death returns them
 *   kept   permits that are taken and are nobody's: left by processes that ended with exit code 0 while they
 *          had them (programs hand permits on), or whose death is not to return them (PN_SEMAPHORE_KEEP)
 * `apart` is the same as `kept` for processes that found the table full.
 *
 * Each change is one 8-byte store under `inner`: of a line, of `apart` or of `total`. `free` is a cache: whoever gets
 * `inner` from a dead owner derives it again. `busy` and `left` say where to look, a bit for eight lines: set before a line is
 * not zero, cleared by whoever sees that all eight are, so at every instant they miss none.
 *
 * A release gives back, in this order: what this process holds; what is kept; what is apart; what another process holds
 * (it was handed to this one); and only when nothing is taken does `total` grow, unless the semaphore is
 * bounded. So `total` is the most that were ever free at once, and no death can make more of them.
 *
 * A line needs no generation: a line of the process table is used again only after the burial of its last process
 * was complete (sweep.c), and a burial leaves held == 0.
 *
 * Sleeping is as with a ring: followers on `lead`, the leader on `sleeper`, so that a wake cannot be eaten by one that is
 * killed. The leader marks `sleeper`, reads `changes`, and looks under `inner` before it sleeps on both; who gives
 * back grows `changes` under `inner` before its store, with the kernel's wake of `sleeper` pending.
 */
#ifndef PN_SEMAPHORE_H
#define PN_SEMAPHORE_H

#include "collect.h"

enum {
    PN_SEMAPHORE_BOUNDED = 1, /* total does not grow */
    PN_SEMAPHORE_KEEP = 2     /* a death returns nothing, as with POSIX semaphores */
};

#define PN_PERMITS_MOST INT32_MAX /* SEM_VALUE_MAX */

typedef struct {
    pn_object object;
    pn_lock inner; /* short; no other lock is taken under it, nothing is allocated */
    pn_lock lead;
    pn_word sleeper;  /* PN_WAITERS while the leader may sleep */
    pn_word changes;  /* grows before permits come back */
    pn_word free;     /* a cache; readable without the lock as a hint */
    uint32_t flags;   /* written before it is shared, as is the ledger */
    pn_word64 ledger; /* offset of the block with PN_SLOTS lines */
    pn_word64 total, apart;
    uint64_t busy[2], left[2]; /* where held, where kept may be found */
    uint8_t pad[56];
} pn_semaphore_cell;

_Static_assert(sizeof(pn_semaphore_cell) == PN_SMALL_CELL, "a semaphore fills a small cell");
_Static_assert(offsetof(pn_semaphore_cell, sleeper) % 64 == 0,
               "locks and words on their own cache lines");

typedef struct {
    pn_domain *domain;
    uint64_t offset;
    pn_semaphore_cell *cell;
    pn_word64 *lines;
} pn_semaphore;

/* Make one with `value` permits (at most PN_PERMITS_MOST); this process holds it. */
pn_status pn_semaphore_new(pn_domain *domain, const char *name, uint32_t value, uint32_t flags,
                           uint64_t *offset, uint32_t *generation);
/* See it from this process. */
void pn_semaphore_open(pn_semaphore *semaphore, pn_domain *domain, uint64_t offset);

/* Take a permit if that needs no sleep: PN_OK, PN_EMPTY, PN_BUSY (somebody is just changing it). */
pn_status pn_semaphore_try(pn_semaphore *semaphore);
/* The same, waiting until `deadline` for whoever is just changing it: PN_OK, PN_EMPTY; PN_TIMEOUT: he was stopped at it;
 * PN_INTERRUPTED (call again). */
pn_status pn_semaphore_take(pn_semaphore *semaphore, int64_t deadline);
/* Sleep until there is one: PN_OK, PN_TIMEOUT, PN_INTERRUPTED (call again). `in_vain`: as of pn_look_again. */
pn_status pn_semaphore_wait(pn_semaphore *semaphore, int64_t deadline, pn_word *in_vain);
/* Give one back. PN_NOTHING: a bounded one has them all; or there are PN_PERMITS_MOST. PN_BUSY if not `wait`. */
pn_status pn_semaphore_release(pn_semaphore *semaphore, bool wait);

typedef struct {
    uint32_t slot, permits;
} pn_semaphore_holder;

typedef struct {
    uint32_t free, total, kept; /* kept: what is apart included */
    uint32_t holders;           /* processes that hold some */
    uint32_t recovered;         /* how often a process died while it changed the semaphore */
    uint32_t flags;
} pn_semaphore_counts;

/* Count, and write up to `room` holders. Exact at one instant; PN_BUSY: somebody is stopped at it. */
pn_status pn_semaphore_look(pn_semaphore *semaphore, pn_semaphore_counts *counts,
                            pn_semaphore_holder *holders, uint32_t room);

/* --- for kind.c; all but is_ready and mend under header.lock ------------------------------------------ */

/* A process is dead: what it held is free again, or kept. False: later (kind.h). Each time it wakes whoever can go on. */
bool pn_semaphore_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                       bool awaited);
/* Is a permit free? From outside the lock. */
bool pn_semaphore_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);
void pn_semaphore_mend(pn_domain *domain, uint64_t offset);
bool pn_semaphore_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_semaphore_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);

#endif
