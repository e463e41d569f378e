/* What the files of the semaphore share: semaphore.c takes and gives back, semaphore_sleep.c waits, semaphore_end.c
 * buries, looks, makes and frees. */
#ifndef PN_SEMAPHORE_PARTS_H
#define PN_SEMAPHORE_PARTS_H

#include "futex.h"
#include "semaphore.h"

/* ---- lines: held in the low half, kept in the high one ---------------------- */

static inline uint32_t
held_of(uint64_t line)
{
    return (uint32_t)line;
}

static inline uint32_t
kept_of(uint64_t line)
{
    return (uint32_t)(line >> 32);
}

static inline uint64_t
line_of(uint32_t held, uint32_t kept)
{
    return (uint64_t)kept << 32 | held;
}

static inline uint64_t
read_word(pn_word64 *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline uint64_t
read_line(pn_semaphore *semaphore, uint32_t slot)
{
    return read_word(&semaphore->lines[slot]);
}

/* With inner held: the one commit of a line. */
void pn_semaphore_write(pn_semaphore *semaphore, uint32_t slot, uint64_t line);

/* ---- inner ------------------------------------------------------------------- */

/* As pn_lock_try, _wait and _enter, but what a dead owner left is repaired: never PN_OWNER_DIED. */
pn_status pn_semaphore_try_enter(pn_semaphore *semaphore);
pn_status pn_semaphore_enter_until(pn_semaphore *semaphore, int64_t deadline);
pn_status pn_semaphore_enter(pn_semaphore *semaphore);

static inline void
leave(pn_semaphore *semaphore)
{
    pn_lock_release(&semaphore->cell->inner);
}

/* Before a store that makes permits free; the kernel wakes the leader if this thread dies, until pn_pending_clear. */
static inline void
announce(pn_semaphore_cell *cell)
{
    pn_pending_wake(pn_self(), &cell->sleeper);
    atomic_store(&cell->changes, atomic_load_explicit(&cell->changes, memory_order_relaxed) + 1);
}

/* After it. Under inner, as is the leader's last look before it sleeps: no fence is needed. */
static inline void
wake_leader(pn_semaphore_cell *cell)
{
    if (atomic_load_explicit(&cell->sleeper, memory_order_relaxed) != 0) {
        atomic_store_explicit(&cell->sleeper, 0, memory_order_relaxed);
        pn_futex_wake(&cell->sleeper, 1);
    }
}

#endif
