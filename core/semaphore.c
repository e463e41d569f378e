#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "listen.h"
#include "semaphore_parts.h"
#include "slots.h"

#define GROUP 8u /* lines for each bit of busy and left: those of one cache line */

_Static_assert(PN_SLOTS / GROUP == 128, "two words of bits");

/* ---- lines ------------------------------------------------------------------------ */

static void
mark(uint64_t bits[2], uint32_t slot)
{
    bits[slot / GROUP / 64] |= UINT64_C(1) << slot / GROUP % 64;
}

/* Before a line is stored: whoever looks for it afterwards must find it. */
static void
mark_line(pn_semaphore_cell *cell, uint32_t slot, uint64_t line)
{
    if (held_of(line) != 0) {
        mark(cell->busy, slot);
    }
    if (kept_of(line) != 0) {
        mark(cell->left, slot);
    }
}

void
pn_semaphore_write(pn_semaphore *semaphore, uint32_t slot, uint64_t line)
{
    mark_line(semaphore->cell, slot, line);
    atomic_store_explicit(&semaphore->lines[slot], line, memory_order_release); /* COMMIT */
}

/* The first line of the group for which `part` is not 0; PN_SLOTS: none. */
static uint32_t
look_in(pn_semaphore *semaphore, uint32_t group, uint32_t (*part)(uint64_t))
{
    for (uint32_t slot = group * GROUP; slot < (group + 1) * GROUP; slot++) {
        if (part(read_line(semaphore, slot)) != 0) {
            return slot;
        }
    }
    return PN_SLOTS;
}

/* Any line for which `part` is not 0, by the bits that say where to look. */
static uint32_t
find(pn_semaphore *semaphore, uint64_t bits[2], uint32_t (*part)(uint64_t))
{
    for (uint32_t half = 0; half < 2; half++) {
        while (bits[half] != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(bits[half]);
            uint32_t slot = look_in(semaphore, half * 64 + bit, part);
            if (slot != PN_SLOTS) {
                return slot;
            }
            bits[half] &= ~(UINT64_C(1) << bit);
        }
    }
    return PN_SLOTS;
}

/* ---- under inner -------------------------------------------------------------------- */

static uint64_t
taken_in(pn_semaphore *semaphore, uint32_t group)
{
    uint64_t taken = 0;
    for (uint32_t slot = group * GROUP; slot < (group + 1) * GROUP; slot++) {
        uint64_t line = read_line(semaphore, slot);
        taken += (uint64_t)held_of(line) + kept_of(line);
    }
    return taken;
}

/* What a dead owner may have left behind the stores that count. */
static void
derive(pn_semaphore *semaphore)
{
    pn_semaphore_cell *cell = semaphore->cell;
    uint64_t taken = read_word(&cell->apart);
    for (uint32_t half = 0; half < 2; half++) {
        for (uint64_t bits = cell->busy[half] | cell->left[half]; bits != 0; bits &= bits - 1) {
            taken += taken_in(semaphore, half * 64 + (uint32_t)__builtin_ctzll(bits));
        }
    }
    atomic_store(&cell->free, (uint32_t)(read_word(&cell->total) - taken));
}

static pn_status
entered(pn_semaphore *semaphore, pn_status status)
{
    if (status == PN_OWNER_DIED) {
        derive(semaphore);
        announce(semaphore->cell);
        wake_leader(semaphore->cell); /* the permit that the dead gave back may be for it */
        pn_pending_clear(pn_self());
        status = PN_OK;
    }
    return status;
}

pn_status
pn_semaphore_try_enter(pn_semaphore *semaphore)
{
    return entered(semaphore, pn_lock_try(&semaphore->cell->inner));
}

pn_status
pn_semaphore_enter_until(pn_semaphore *semaphore, int64_t deadline)
{
    pn_status status = pn_semaphore_try_enter(semaphore);
    if (status == PN_BUSY) {
        status = entered(semaphore, pn_lock_wait(&semaphore->cell->inner, deadline,
                                                 pn_slot_owner_alive, semaphore->domain));
    }
    return status;
}

pn_status
pn_semaphore_enter(pn_semaphore *semaphore)
{
    return entered(semaphore,
                   pn_lock_enter(&semaphore->cell->inner, pn_slot_owner_alive, semaphore->domain));
}

/* ---- taking --------------------------------------------------------------------------- */

static pn_status
take_and_leave(pn_semaphore *semaphore)
{
    pn_semaphore_cell *cell = semaphore->cell;
    uint32_t slot = semaphore->domain->slot;
    uint32_t free = atomic_load_explicit(&cell->free, memory_order_relaxed);
    if (free != 0 && slot == PN_SLOTS) {
        atomic_store(&cell->apart, read_word(&cell->apart) + 1); /* COMMIT */
    } else if (free != 0) {
        pn_semaphore_write(semaphore, slot, read_line(semaphore, slot) + line_of(1, 0));
    }
    if (free != 0) {
        atomic_store_explicit(&cell->free, free - 1, memory_order_relaxed);
    }
    leave(semaphore);
    return free != 0 ? PN_OK : PN_EMPTY;
}

pn_status
pn_semaphore_try(pn_semaphore *semaphore)
{
    pn_semaphore_cell *cell = semaphore->cell;
    if (atomic_load_explicit(&cell->free, memory_order_acquire) == 0 &&
        atomic_load_explicit(&cell->inner.word, memory_order_relaxed) == 0) {
        return PN_EMPTY; /* without disturbing those who give back; nobody is, or was killed at it */
    }
    pn_status status = pn_semaphore_try_enter(semaphore);
    return status == PN_OK ? take_and_leave(semaphore) : status;
}

pn_status
pn_semaphore_take(pn_semaphore *semaphore, int64_t deadline)
{
    pn_status status = pn_semaphore_enter_until(semaphore, deadline);
    return status == PN_OK ? take_and_leave(semaphore) : status;
}

/* ---- giving back ------------------------------------------------------------------------ */

/* Nothing is taken: there will be one more. */
static pn_status
add(pn_semaphore_cell *cell)
{
    uint64_t total = read_word(&cell->total);
    if (cell->flags & PN_SEMAPHORE_BOUNDED || total >= PN_PERMITS_MOST) {
        return PN_NOTHING;
    }
    atomic_store(&cell->total, total + 1); /* COMMIT */
    return PN_OK;
}

/* The permit of somebody else, who may have handed it to us. */
static void
give_back_anybodys(pn_semaphore *semaphore)
{
    pn_semaphore_cell *cell = semaphore->cell;
    uint32_t slot = find(semaphore, cell->left, kept_of);
    if (slot != PN_SLOTS) {
        pn_semaphore_write(semaphore, slot, read_line(semaphore, slot) - line_of(0, 1));
        return;
    }
    if (read_word(&cell->apart) != 0) {
        atomic_store(&cell->apart, read_word(&cell->apart) - 1); /* COMMIT */
        return;
    }
    slot = find(semaphore, cell->busy, held_of);
    pn_semaphore_write(semaphore, slot, read_line(semaphore, slot) - line_of(1, 0));
}

static pn_status
give_back(pn_semaphore *semaphore)
{
    pn_semaphore_cell *cell = semaphore->cell;
    uint32_t slot = semaphore->domain->slot;
    uint32_t free = atomic_load_explicit(&cell->free, memory_order_relaxed);
    pn_status status = PN_OK;
    if (slot != PN_SLOTS && held_of(read_line(semaphore, slot)) != 0) {
        pn_semaphore_write(semaphore, slot, read_line(semaphore, slot) - line_of(1, 0));
    } else if (slot == PN_SLOTS && read_word(&cell->apart) != 0) {
        atomic_store(&cell->apart, read_word(&cell->apart) - 1); /* COMMIT */
    } else if (free == read_word(&cell->total)) {
        status = add(cell);
    } else {
        give_back_anybodys(semaphore);
    }
    if (status == PN_OK) {
        atomic_store_explicit(&cell->free, free + 1, memory_order_relaxed);
    }
    return status;
}

pn_status
pn_semaphore_release(pn_semaphore *semaphore, bool wait)
{
    pn_status status = wait ? pn_semaphore_enter(semaphore) : pn_semaphore_try_enter(semaphore);
    if (status != PN_OK) {
        return status;
    }
    announce(semaphore->cell);
    status = give_back(semaphore);
    wake_leader(semaphore->cell);
    pn_pending_clear(pn_self());
    leave(semaphore);
    pn_fence_after_exchange(); /* after the lock's compare-and-swap */
    pn_notify(semaphore->domain, semaphore->offset, PN_FOR_GET);
    return status;
}
