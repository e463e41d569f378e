/* Leases: what a queue with task_done() has handed out and not been told to be done.
 *
 * An entry is a copy of a record together with whose it is. Three words are the truth, each
 * changed by one store under head_lock; all else is a cache that a death makes void:
 *
 *   entry.id        ordinal of the item in its queue (0, 1, 2 ...), PN_LEASE_FREE: none.
 *                   id >= what was taken: VOID by definition, since a take writes its entries
 *                   first and the store of head, which commits the count too, makes them valid.
 *                   Storing PN_LEASE_FREE is the ack.
 *   entry.state     whose << 48 | deliveries << 32 | generation; whose is 0 (nobody's: it waits to
 *                   be redelivered), slot + 1, PN_LEASE_LEFT or PN_LEASE_DEAD. A redelivery is one store.
 *   prepaid_to      task_done() called before the get: items below this ordinal need no lease.
 *
 *   unfinished == put - max(taken, prepaid_to) + valid leases that are not dead letters
 *
 * Void entries must not come back: a victim wrote one, died before its take, another took the
 * record with an entry of its own, and head moved on past both. So whoever gets head_lock
 * from a dead owner first frees every void entry and builds the lists anew (pn_head_*), and head_lock is
 * taken in no other way.
 *
 * An ordinal and not a position says what is void: positions come round after 2^24 segments.
 *
 * Entries stand in chunks (heap blocks that the ring names), linked from the cell by one store.
 * There is no limit but memory: a get that finds no free entry lets go of head_lock, links a
 * chunk, and looks again. The oldest chunk is made with the ring and stays with it: when memory has
 * ended, items that are taken through it and done are what gives some back. A valid entry names the objects of its record, as a record does.
 *
 * `orphans` != 0 as long as an entry waits to be redelivered: stored BEFORE the entries are given
 * up, with the wake of a consumer pending; the sleeping consumer watches it too.
 * `done`: PN_WAITERS while somebody may sleep in join(). `acks` grows BEFORE each store
 * that makes unfinished smaller; a joiner reads it, looks under head_lock, and sleeps on both.
 * `zeros` tells a joiner of an end that a put has followed since; a death may leave it behind: a hint.
 */
#ifndef PN_LEASE_H
#define PN_LEASE_H

#include "object.h"

#define PN_LEASE_FREE UINT64_MAX
#define PN_LEASE_LEFT 0xfffeu /* its consumer ended cleanly without task_done() */
#define PN_LEASE_DEAD 0xfffdu /* a dead letter: not unfinished any more, kept to be looked at */
#define PN_LEASE_SIZES 4u
#define PN_LEASE_NAME 32
#define PN_LEASE_HEAD 128u /* bytes of an entry before its record */

typedef enum {
    PN_LETTER_NONE,
    PN_LETTER_ONCE,     /* it carries a descriptor: it unpickles once only */
    PN_LETTER_TOO_OFTEN /* max_deliveries consumers died of it */
} pn_letter;

typedef struct {
    pn_word64 id;
    pn_word64 state;
    /* caches, under head_lock: neighbours in a list; `next` alone in a free list */
    uint64_t next, prev;
    uint32_t size;   /* which of the four; written before the chunk is linked */
    uint32_t tid;    /* of the thread that took it */
    uint32_t reason; /* pn_letter, before the state says DEAD */
    uint32_t pid;    /* whose it was, before the state says LEFT, DEAD or nobody's */
    char name[PN_LEASE_NAME];
    uint8_t pad[48];
    uint64_t record[]; /* whole, as it stood in the ring */
} pn_lease;

_Static_assert(sizeof(pn_lease) == PN_LEASE_HEAD, "lease layout is shared between processes");

typedef struct {
    uint64_t next; /* chunk; written before this one is linked */
    uint32_t size; /* of its entries */
    uint32_t count;
    uint8_t pad[112];
} pn_lease_chunk;

_Static_assert(sizeof(pn_lease_chunk) == PN_LEASE_HEAD, "entries are aligned to cache lines");

typedef struct {
    uint64_t first, last;
    pn_word64 count;
} pn_lease_list;

/* In the ring's cell. */
typedef struct {
    uint32_t kept;           /* does this queue have leases? Written before it is shared */
    uint32_t max_deliveries; /* 0: any number */
    pn_word orphans, done, acks;
    pn_word zeros; /* grows when nothing is unfinished while somebody joins */
    pn_word64 prepaid_to;
    pn_word64 chunks; /* the newest; its store links it */
    /* caches, under head_lock */
    pn_lease_list busy, orphaned, dead; /* in order of delivery; by id */
    uint64_t free[PN_LEASE_SIZES];
    pn_word64 bytes; /* of all chunks */
    uint64_t epoch;  /* grows when chunks are given back */
} pn_leases;

/* This process's own leases, oldest first, as far as remembered: hints for the ack, checked
 * against the entries. Under head_lock. */
#define PN_LEASES_OWN 32u

typedef struct {
    uint64_t entry, id;
    uint32_t tid;
} pn_own_lease;

typedef struct {
    pn_own_lease lease[PN_LEASES_OWN];
    uint32_t count;
    bool more; /* some are not remembered: look at the list when these are used up */
    uint64_t epoch;
} pn_own_leases;

struct pn_ring;
struct pn_sink;
struct pn_record;

/* --- for the ring ------------------------------------------------------- */

/* Take head_lock, as pn_lock_try, _wait and _enter; repairs what a dead owner left of the
 * leases, so it never answers PN_OWNER_DIED. */
pn_status pn_head_try(struct pn_ring *ring);
pn_status pn_head_wait(struct pn_ring *ring, int64_t deadline);
pn_status pn_head_enter(struct pn_ring *ring);

/* All with head_lock held: */
/* Does item `id` need one? Not if it is done already. */
bool pn_lease_is_needed(struct pn_ring *ring, uint64_t id);
/* Write a lease for item `id`, void until head moves past it; false: no entry of that size (or larger,
 * if `any`) is free. */
bool pn_lease_take(struct pn_ring *ring, const struct pn_record *record, uint64_t id, bool any);
/* Hand out again what waits for it, oldest first, up to the sink's limit; PN_EMPTY: nothing does. */
pn_status pn_lease_redeliver(struct pn_ring *ring, struct pn_sink *sink);
/* Visit the records of all leases; true if the visitor ended it. */
typedef bool (*pn_lease_visitor)(pn_domain *domain, uint64_t ring, const struct pn_record *record,
                                 void *context);
bool pn_lease_visit(struct pn_ring *ring, pn_lease_visitor visit, void *context);

/* With no lock held: link a chunk with entries for records of `bytes`. */
pn_status pn_lease_grow(struct pn_ring *ring, uint64_t bytes);

/* --- for the sweep, under the domain's lock ------------------------------ */

/* Is the block a chunk of the ring? */
bool pn_lease_names_block(pn_domain *domain, uint64_t ring, uint64_t block);
/* A process is dead: what it held waits for redelivery, or is LEFT, or a dead letter. False: the ring's lock is
 * held by somebody who is stopped, or how the process ended is not known yet: again later.
 * `awaited`: its parent lives and will tell. */
bool pn_lease_sweep(pn_domain *domain, uint64_t ring, uint32_t slot, uint32_t generation,
                    bool awaited);
/* Nobody holds the ring any more: end every lease, and visit its record. */
void pn_lease_discard(struct pn_ring *ring, pn_lease_visitor visit, void *context);

/* --- for consumers and joiners -------------------------------------------- */

/* One item is done: this thread's oldest lease, else this process's, else anybody's, else one
 * that waits to be redelivered, else an item that is still to be taken. PN_NOTHING: none of these.
 * PN_BUSY if not `wait` and somebody holds the lock. */
pn_status pn_ring_task_done(struct pn_ring *ring, bool wait);
/* Sleep until nothing is unfinished: PN_OK, PN_TIMEOUT, PN_INTERRUPTED (call again). */
pn_status pn_ring_join(struct pn_ring *ring, int64_t deadline);
/* For a joiner that listens instead of sleeping: `zeros`, which will differ once nothing was unfinished at some
 * instant after this call. Each call stands for one such instant. */
uint32_t pn_ring_join_mark(struct pn_ring *ring);

typedef struct {
    uint64_t id;
    uint32_t deliveries;
    uint32_t whose; /* PN_LEASE_LEFT or PN_LEASE_DEAD */
    uint32_t reason;
    uint32_t pid;
    char name[PN_LEASE_NAME];
} pn_lease_view;

typedef struct {
    uint64_t unfinished, leased, waiting, left, dead; /* leased: LEFT ones included */
} pn_lease_counts;

/* Count, and copy up to `room` of the LEFT and the dead letters to `views`; `*used` were. */
pn_status pn_lease_look(struct pn_ring *ring, pn_lease_counts *counts, pn_lease_view *views,
                        size_t room, size_t *used);
/* Copy the record of a dead letter, or of one that is LEFT, to the sink, as a get does; with `forget` it is gone then,
 * and finished. PN_NOTHING: there is no such one. */
pn_status pn_lease_read(struct pn_ring *ring, uint64_t id, struct pn_sink *sink, bool forget);
/* How many wait to be redelivered: from outside the lock. */
uint64_t pn_lease_waiting(struct pn_ring *ring);

#endif
