/* Who uses which end of a pipe, whether an end is over, and who is told of it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pipe.h"

#include "ring_private.h"
#include "slots.h"
#include "sweep.h"

/* ---- is an end over? --------------------------------------------------------- */

static bool
has_user(pn_pipe_cell *cell, uint32_t number)
{
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        if (atomic_load(&cell->users[number][i]) != 0) {
            return true;
        }
    }
    return false;
}

/* The order of the reads is the argument. Who passes an end on in an item counts it in `puts` before its
 * own bit goes, or before it keeps it no more; who takes it has its bit before it counts in `takes`, and
 * `moves` grows in between. So no keeper, who never comes back, no bit, then equal sums, and the same
 * `moves` around them: at some instant nobody used it. */
static bool
is_over(pn_domain *domain, pn_pipe_cell *cell, uint32_t number)
{
    for (;;) {
        if (atomic_load(&cell->gone[number]) != 0) {
            return true;
        }
        uint32_t moves = atomic_load(&cell->moves);
        if (atomic_load(&cell->used[number]) == 0 || atomic_load(&cell->keeper[number]) != 0 ||
            has_user(cell, number)) {
            return false;
        }
        pn_object *object = pn_at(domain, cell->end[number]);
        bool unseen = atomic_load(&object->unseen) != 0;
        uint64_t takes = atomic_load(&object->takes);
        bool on_its_way = atomic_load(&object->puts) != takes;
        /* Another object's cell by now? Then it is gone, and that was stored first. */
        if (atomic_load(&cell->gone[number]) == 0 && atomic_load(&cell->moves) == moves) {
            return !unseen && !on_its_way;
        }
    }
}

bool
pn_end_peer_is_over(pn_pipe_end *end)
{
    return is_over(end->domain, end->cell, 1 - end->number);
}

/* ---- waking ---------------------------------------------------------------------- */

/* The mark goes before the sleeper is woken: if this thread is killed in between, nobody else would find the mark,
 * and the kernel wakes him. */
static void
wake_once(pn_word *word)
{
    pn_thread *self = pn_self();
    pn_pending_wake(self, word);
    pn_wake_leader(word);
    pn_pending_clear(self);
}

/* Whoever sleeps at the other side of that end, if it is over. One of each kind is enough: it lets the next
 * one lead when it leaves. */
static void
wake_peers(pn_domain *domain, pn_pipe_cell *cell, uint32_t number)
{
    pn_fence_after_exchange(); /* between the store that ended it and the looks at their marks */
    if (!is_over(domain, cell, number)) {
        return;
    }
    if (cell->ring[number] != 0) {
        wake_once(&((pn_ring_cell *)pn_at(domain, cell->ring[number]))->not_empty);
    }
    if (cell->ring[1 - number] != 0) {
        wake_once(&((pn_ring_cell *)pn_at(domain, cell->ring[1 - number]))->not_full);
    }
    if (atomic_load(&cell->gone[1 - number]) == 0) {
        pn_notify(domain, cell->end[1 - number], PN_FOR_GET | PN_FOR_PUT);
    }
}

void
pn_end_close(pn_pipe_end *end)
{
    atomic_store(&end->closing, 1);
    pn_fence_after_exchange();
    if (end->in.cell != NULL) {
        wake_once(&end->in.cell->not_empty);
    }
    if (end->out.cell != NULL) {
        wake_once(&end->out.cell->not_full);
    }
}

/* ---- users -------------------------------------------------------------------------- */

static pn_pipe_cell *
pipe_of(pn_domain *domain, const pn_end_cell *end)
{
    return pn_at(domain, end->pipe);
}

static bool
is_user(pn_pipe_cell *cell, uint32_t number, uint32_t slot)
{
    return (atomic_load(&cell->users[number][slot / 64]) & UINT64_C(1) << slot % 64) != 0;
}

void
pn_end_give(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    const pn_end_cell *end = pn_at(domain, offset);
    pn_pipe_cell *cell = pipe_of(domain, end);
    if (slot == PN_SLOTS) {
        return; /* it has no bit; that it holds the end is counted */
    }
    uint64_t bit = UINT64_C(1) << slot % 64;
    atomic_fetch_or(&cell->users[end->number][slot / 64], bit);
    if (is_user(cell, 1 - end->number, slot)) {
        /* Of two threads that give it one end each, one sees it. */
        atomic_fetch_or(&cell->both[slot / 64], bit);
    }
    atomic_fetch_add(&cell->moves, 1);
}

void
pn_end_add_user(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    const pn_end_cell *end = pn_at(domain, offset);
    pn_end_give(domain, offset, slot);
    if (slot != PN_SLOTS) {
        /* After its bit, so that nobody finds the end used and without a user. */
        atomic_store(&pipe_of(domain, end)->used[end->number], 1);
    }
}

/* Clear a bit; was it set? */
static bool
remove_user(pn_pipe_cell *cell, uint32_t number, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << slot % 64;
    return is_user(cell, number, slot) &&
           (atomic_fetch_and(&cell->users[number][slot / 64], ~bit) & bit) != 0;
}

/* It keeps the end no more; did it? */
static bool
let_go(pn_pipe_cell *cell, uint32_t number, uint32_t slot)
{
    uint32_t keeper = slot + 1;
    return atomic_compare_exchange_strong(&cell->keeper[number], &keeper, 0);
}

/* Does nobody else who lives use it? Who is dead as well and not buried yet, and had ended cleanly, must not count: after
 * both burials nobody would be left but the keeper. */
static bool
is_last_user(pn_domain *domain, pn_pipe_cell *cell, uint32_t number, uint32_t slot)
{
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        for (uint64_t bits = atomic_load(&cell->users[number][i]); bits != 0; bits &= bits - 1) {
            uint32_t other = i * 64 + (uint32_t)__builtin_ctzll(bits);
            if (other != slot && pn_slot_alive(domain, other)) {
                return false;
            }
        }
    }
    return true;
}

/* Is it a user, and does its end say that this end was used? Not of one that had both, if nobody has used this one. */
static bool
was_to_use(pn_pipe_cell *cell, uint32_t number, uint32_t slot)
{
    bool both = (atomic_load(&cell->both[slot / 64]) & UINT64_C(1) << slot % 64) != 0;
    return is_user(cell, number, slot) && !(both && atomic_load(&cell->used[number]) == 0);
}

void
pn_end_given_up(pn_domain *domain, uint64_t offset)
{
    const pn_end_cell *end = pn_at(domain, offset);
    uint32_t number = end->number, slot = domain->slot;
    if (end->pipe == 0 || slot == PN_SLOTS) {
        return;
    }
    pn_pipe_cell *cell = pipe_of(domain, end);
    bool kept = let_go(cell, number, slot);
    if (domain->ends_badly && was_to_use(cell, number, slot)) {
        /* As its burial would, if the interpreter did not close what it had before it ends. */
        atomic_store(&cell->used[number], 1);
        if (is_last_user(domain, cell, number, slot)) {
            atomic_store(&cell->keeper[number], 0);
        }
    }
    if (remove_user(cell, number, slot) || kept) {
        wake_peers(domain, cell, number);
    }
}

/* ---- deaths ----------------------------------------------------------------------------------- */

static bool
is_any_dead(pn_domain *domain, const pn_word64 *set)
{
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        for (uint64_t bits = atomic_load(&set[i]); bits != 0; bits &= bits - 1) {
            uint32_t slot = i * 64 + (uint32_t)__builtin_ctzll(bits);
            if (slot != domain->slot && !pn_slot_alive(domain, slot)) {
                return true;
            }
        }
    }
    return false;
}

static bool
is_keeper_dead(pn_domain *domain, pn_pipe_cell *cell, uint32_t number)
{
    uint32_t keeper = atomic_load(&cell->keeper[number]);
    return keeper != 0 && keeper - 1 != domain->slot && !pn_slot_alive(domain, keeper - 1);
}

/* Those at the other end of that one may be dead, and nobody here to notice it. */
void
pn_end_mend(pn_domain *domain, uint64_t offset)
{
    const pn_end_cell *end = pn_at(domain, offset);
    pn_pipe_cell *cell = pipe_of(domain, end);
    uint32_t peer = 1 - end->number;
    pn_object *object = pn_at(domain, cell->end[peer]);
    bool is_used = atomic_load(&cell->used[peer]) != 0;
    if (atomic_load(&cell->gone[peer]) == 0 &&
        (is_any_dead(domain, is_used ? cell->users[peer] : object->holders) ||
         is_keeper_dead(domain, cell, peer))) {
        pn_sweep(domain);
    }
}

bool
pn_end_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    const pn_end_cell *end = pn_at(domain, offset);
    (void)want;
    return is_over(domain, pipe_of(domain, end), 1 - end->number);
}

static bool
ring_is_there(pn_domain *domain, uint64_t offset, uint32_t generation)
{
    return offset == 0 ||
           (pn_object_valid(domain, offset) &&
            atomic_load(&((pn_object *)pn_at(domain, offset))->generation) == generation);
}

/* Under header.lock. Rings of a pipe that nobody has may be freed before it. */
static void
wake_peers_if_there(pn_domain *domain, pn_pipe_cell *cell, uint32_t number)
{
    if (ring_is_there(domain, cell->ring[0], cell->ring_generation[0]) &&
        ring_is_there(domain, cell->ring[1], cell->ring_generation[1])) {
        wake_peers(domain, cell, number);
    }
}

bool
pn_pipe_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation, bool awaited)
{
    pn_pipe_cell *cell = pn_at(domain, offset);
    (void)generation;
    for (uint32_t number = 0; number < 2; number++) {
        let_go(cell, number, slot);
        /* What its bit says comes before the bit goes, which whoever buries it again needs. */
        if (was_to_use(cell, number, slot)) {
            if (atomic_load(&cell->keeper[number]) != 0 &&
                is_last_user(domain, cell, number, slot)) {
                pn_end end = pn_slot_end(domain, slot, awaited);
                if (end == PN_END_UNKNOWN) {
                    return false;
                }
                if (end == PN_END_ABNORMAL) {
                    atomic_store(&cell->keeper[number], 0);
                }
            }
            atomic_store(&cell->used[number], 1);
        }
        remove_user(cell, number, slot);
    }
    atomic_fetch_and(&cell->both[slot / 64], ~(UINT64_C(1) << slot % 64)); /* last: as its bits */
    for (uint32_t number = 0; number < 2; number++) {
        /* Whether the bit was there or not: who is dead may have ended it, and not woken. */
        wake_peers_if_there(domain, cell, number);
    }
    return true;
}

void
pn_end_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    const pn_end_cell *end = pn_at(domain, offset);
    (void)named;
    if (end->pipe == 0 || !pn_object_valid(domain, end->pipe)) {
        return;
    }
    pn_pipe_cell *cell = pipe_of(domain, end);
    if (atomic_load(&cell->object.type) == PN_OBJECT_PIPE &&
        atomic_load(&cell->object.generation) == end->pipe_generation) {
        atomic_store(&cell->gone[end->number], 1); /* COMMIT */
        wake_peers_if_there(domain, cell, end->number);
    }
}
