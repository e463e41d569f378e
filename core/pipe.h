/* The pipe: two ends, a ring for each direction, and who uses which end.
 *
 * Four objects: the pipe, what stands here, held by whoever has an end; a ring for each end that can
 * write; and for each end an object that is nothing but its holders. Whoever has an end holds all of them.
 *
 * An end is over when nobody will read or write at it any more:
 *
 *   gone[end]     nobody has it: its object was freed
 *   or all of     used[end]: somebody has used it, ever, or was to and is dead
 *                 users[end] is empty: they are dead, or have closed it
 *                 keeper[end] is 0: who made it has closed it, is dead, or keeps it in vain
 *                 puts == takes of its object: it is not on its way to somebody in an item
 *                 no process without a line of the table holds it (it could not be a user)
 *
 * A *user* has sent, received or polled at it, or was given it: as an argument of its start, or in an item.
 * A process that was forked meanwhile has inherited the end, and is none: it holds it, and
 * would keep it open for ever otherwise. As long as nobody has used an end, having it counts, as with descriptors:
 * a child that closes an end which it was given beside its own ends nothing, for its parent may be about to use it. If a
 * child dies that was given one end only, it was to use that one. Who had both says by its death nothing of an end that
 * nobody has used.
 *
 * Who made the pipe *keeps* both ends until it closes them: it may start one writer after the other. But a death shall keep
 * nobody waiting for a process that merely has not closed what it gave away. So if the last user of an end ends abnormally
 * (a signal, an exit code that is not 0), the end is over, and its keeper keeps it no more.
 *
 * A new user brings an end that is over to life again: what was sent meanwhile, or before, is still there.
 *
 * Each change is one store: the bit of a user, `gone`, `keeper`, which turns 0 once and stays so. Nothing is derived from them in shared memory.
 * Sleepers look at them between their mark in `not_empty` or `not_full` and their sleep, and whoever ended an end looks at
 * these marks after its store and wakes. If it is killed in between, its own burial looks at every pipe; if it has taken
 * the mark away already, and woken nobody, the kernel wakes for it.
 */
#ifndef PN_PIPE_H
#define PN_PIPE_H

#include "ring.h"

typedef struct {
    pn_object object;
    uint64_t end[2];  /* offset of its object; valid until it is gone */
    uint64_t ring[2]; /* what is written at that end; 0: nothing can be */
    uint32_t ring_generation[2];
    pn_word used[2];
    pn_word gone[2];
    pn_word keeper[2]; /* the line + 1 of who made it; 0: nobody */
    pn_word moves;     /* grows after a user came */
    uint8_t pad[4];
    pn_word64 users[2][PN_SLOTS / 64];
    pn_word64 both[PN_SLOTS / 64]; /* who was a user of both ends at one time; until it is buried */
} pn_pipe_cell;

typedef struct {
    pn_object object;
    uint64_t pipe;
    uint32_t pipe_generation;
    uint32_t number; /* 0 or 1 */
} pn_end_cell;

_Static_assert(sizeof(pn_pipe_cell) == 256 + 72 + 256 + 128,
               "pipe layout is shared between processes");

/* This process's view of an end. Private memory; it holds the four objects. */
typedef struct {
    pn_domain *domain;
    pn_pipe_cell *cell;
    uint64_t offset; /* of the end's object */
    uint64_t pipe;
    uint32_t number;
    pn_ring in, out; /* cell is NULL: it cannot be read, written */
    pn_word closing; /* whoever waits shall come back */
} pn_pipe_end;

/* A pipe and both of its ends, which this process holds. At most `max_bytes` wait in one direction; a
 * larger message may travel alone. Not duplex: end 0 reads, end 1 writes. */
pn_status pn_pipe_new(pn_domain *domain, const char *name, bool duplex, uint64_t max_bytes,
                      pn_pipe_end ends[2], uint32_t generation[2]);
/* View an end that was attached: takes over that reference, also if it fails with PN_STALE. */
pn_status pn_end_open(pn_pipe_end *end, pn_domain *domain, uint64_t offset);
/* Give up this reference. */
void pn_end_drop(pn_pipe_end *end);
/* This process uses it: before each sending, receiving, polling. */
static inline void pn_end_use(pn_pipe_end *end);
/* Whoever waits at it in this process comes back, now or within a slice. */
void pn_end_close(pn_pipe_end *end);
/* Give it to a process that is about to start, as something that it will use. */
void pn_end_hand_to(pn_pipe_end *end, uint32_t slot);
/* Is the other end over just now? */
bool pn_end_peer_is_over(pn_pipe_end *end);
/* All of its objects, its own first: what a record names that carries it. Returns how many. */
uint32_t pn_end_objects(const pn_pipe_end *end, uint64_t objects[4]);

/* As those of a ring. PN_SHUT_DOWN: the other end is over, and nothing is left to be taken; or `closing`. */
pn_status pn_end_try_send(pn_pipe_end *end, const pn_batch *batch);
pn_status pn_end_send(pn_pipe_end *end, const pn_batch *batch, int64_t deadline);
pn_status pn_end_try_receive(pn_pipe_end *end, pn_sink *sink);
pn_status pn_end_receive(pn_pipe_end *end, pn_sink *sink, int64_t deadline);
/* Would receiving not wait? PN_OK, PN_EMPTY, PN_SHUT_DOWN; sleeping: PN_TIMEOUT, PN_INTERRUPTED. */
pn_status pn_end_try_poll(pn_pipe_end *end);
pn_status pn_end_poll(pn_pipe_end *end, int64_t deadline);

/* --- for pn_kind --------------------------------------------------------- */
bool pn_pipe_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                  bool awaited);
void pn_end_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);
/* The last reference of this process is about to go. Under domain.mutex. */
void pn_end_given_up(pn_domain *domain, uint64_t offset);

/* Of an end: is the other one over? Messages are the rings' to tell. */
bool pn_end_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);
void pn_end_mend(pn_domain *domain, uint64_t offset);

/* It uses the end; it was given it. For a process without a line (PN_SLOTS) nothing: that it holds the end is counted. */
void pn_end_add_user(pn_domain *domain, uint64_t offset, uint32_t slot);
void pn_end_give(pn_domain *domain, uint64_t offset, uint32_t slot);

static inline void
pn_end_use(pn_pipe_end *end)
{
    uint32_t slot = end->domain->slot;
    const pn_pipe_cell *cell = end->cell;
    if (slot != PN_SLOTS &&
        (!atomic_load_explicit(&cell->used[end->number], memory_order_relaxed) ||
         !(atomic_load_explicit(&cell->users[end->number][slot / 64], memory_order_relaxed) &
           UINT64_C(1) << slot % 64))) {
        pn_end_add_user(end->domain, end->offset, slot);
    }
}

#endif
