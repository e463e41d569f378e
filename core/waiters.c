#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "waiters.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "heap.h"
#include "slots.h"
#include "sweep.h"

#define CHUNK_BYTES (UINT64_C(16) << 10)

pn_waiter *
pn_waiter_next(pn_waiter_walk *walk)
{
    for (;;) {
        while (walk->left > 0) {
            pn_waiter *line = walk->line++;
            walk->left--;
            if (atomic_load_explicit(&line->owner, memory_order_acquire) != 0) {
                return line;
            }
        }
        if (walk->next == 0) {
            return NULL;
        }
        pn_waiter_chunk *chunk = pn_at(walk->domain, walk->next);
        walk->line = chunk->line;
        walk->left = atomic_load_explicit(&chunk->high, memory_order_acquire);
        walk->next = atomic_load_explicit(&chunk->next, memory_order_acquire);
    }
}

uint64_t
pn_waiter_me(const pn_domain *domain)
{
    return pn_waiter_owner(domain->slot,
                           domain->slot < PN_SLOTS ? domain->generation : pn_self()->tid);
}

bool
pn_waiter_is_dead(pn_domain *domain, pn_waiter *line)
{
    uint64_t owner = atomic_load(&line->owner);
    if (owner == 0) {
        return false;
    }
    uint32_t slot = (uint32_t)(owner >> 32) - 1, generation = (uint32_t)owner;
    if (slot >= PN_SLOTS) {
        return kill((pid_t)generation, 0) != 0 &&
               errno == ESRCH; /* kill(2) takes any thread's id */
    }
    return atomic_load(&domain->slots[slot].generation) != generation ||
           !pn_slot_alive(domain, slot);
}

void
pn_waiters_look_for_dead(pn_domain *domain, pn_waiters *waiters, uint64_t object, uint64_t below,
                         _Atomic int64_t *looked, pn_bury bury)
{
    int64_t now = pn_now();
    if (now - atomic_load(looked) < pn_self()->slice_ns / 2) {
        return;
    }
    atomic_store(looked, now);
    bool is_sweep_due = false;
    pn_waiter_walk walk = pn_waiters_walk(domain, waiters);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        uint64_t owner = atomic_load(&line->owner);
        if (atomic_load(&line->ticket) >= below || !pn_waiter_is_dead(domain, line)) {
            continue;
        }
        if (owner >> 32 > PN_SLOTS) {
            bury(domain, object, PN_SLOTS, (uint32_t)owner, false);
        } else {
            is_sweep_due = true;
        }
    }
    if (is_sweep_due) {
        pn_sweep(domain);
    }
}

/* ---- taking ---------------------------------------------------------------------- */

static pn_waiter *
take_of(pn_waiter *lines, uint32_t count, pn_word *high)
{
    uint32_t used = atomic_load_explicit(high, memory_order_relaxed);
    while (used > 0 && atomic_load_explicit(&lines[used - 1].owner, memory_order_acquire) == 0) {
        used--;
    }
    uint32_t at = 0;
    while (at < used && atomic_load_explicit(&lines[at].owner, memory_order_acquire) != 0) {
        at++;
    }
    if (at == used && used < count) {
        used++;
    }
    atomic_store(high, used);
    return at < used ? &lines[at] : NULL;
}

static pn_waiter *
find_free(pn_domain *domain, pn_waiters *waiters)
{
    pn_waiter *line = take_of(waiters->line, PN_WAITERS_INLINE, &waiters->high);
    for (uint64_t at = atomic_load(&waiters->chunks); line == NULL && at != 0;) {
        pn_waiter_chunk *chunk = pn_at(domain, at);
        line = take_of(chunk->line, chunk->count, &chunk->high);
        at = atomic_load(&chunk->next);
    }
    return line;
}

pn_waiter *
pn_waiters_take(pn_domain *domain, pn_waiters *waiters, uint64_t ticket, uint32_t index)
{
    pn_waiter *line = find_free(domain, waiters);
    if (line != NULL) {
        atomic_store_explicit(&line->ticket, ticket, memory_order_relaxed);
        atomic_store_explicit(&line->note, 0, memory_order_relaxed);
        atomic_store_explicit(&line->word, 0, memory_order_relaxed);
        line->index = index;
        atomic_store(&line->owner, pn_waiter_me(domain)); /* COMMIT */
    }
    return line;
}

/* ---- more lines -------------------------------------------------------------------- */

pn_status
pn_waiters_new_chunk(pn_domain *domain, uint64_t object, uint64_t *offset)
{
    pn_status status = pn_heap_alloc(domain, CHUNK_BYTES, PN_BLOCK_PAYLOAD, object, offset);
    if (status == PN_OK) {
        pn_waiter_chunk *chunk = pn_at(domain, *offset);
        memset(chunk, 0, CHUNK_BYTES);
        chunk->count = (CHUNK_BYTES - sizeof(*chunk)) / sizeof(pn_waiter);
    }
    return status == PN_TOO_BIG ? PN_NO_MEMORY : status;
}

void
pn_waiters_link(pn_domain *domain, pn_waiters *waiters, uint64_t offset)
{
    pn_word64 *end = &waiters->chunks;
    while (atomic_load(end) != 0) {
        end = &((pn_waiter_chunk *)pn_at(domain, atomic_load(end)))->next;
    }
    atomic_store(end, offset); /* COMMIT: before it the chunk is ours, after it the object's */
    atomic_store(&pn_block_at(domain, offset)->owner, 0);
}

/* ---- for the sweep ------------------------------------------------------------------ */

bool
pn_waiters_name_block(pn_domain *domain, pn_waiters *waiters, uint64_t block)
{
    for (uint64_t at = atomic_load(&waiters->chunks); at != 0;
         at = atomic_load(&((pn_waiter_chunk *)pn_at(domain, at))->next)) {
        if (at == block) {
            return true;
        }
    }
    return false;
}

void
pn_waiters_discard(pn_domain *domain, pn_waiters *waiters)
{
    uint64_t at;
    while ((at = atomic_load(&waiters->chunks)) != 0) {
        pn_waiter_chunk *chunk = pn_at(domain, at);
        /* Ours before nobody names it: if we die here, our own sweep frees it. */
        atomic_store(&pn_block_at(domain, at)->owner,
                     pn_owner_word(domain->slot, domain->generation));
        atomic_store(&waiters->chunks, atomic_load(&chunk->next)); /* COMMIT */
        pn_heap_free_locked(domain, at);
    }
}
