/* The lock: one futex word that the kernel repairs when its owner dies.
 *
 *   0  word      state table below                       written by owners and waiters
 *   4  spin      estimate of useful spins (a hint)       relaxed, anybody
 *   8  holder    process slot + 1 of the owner (a hint for people, 0 unknown)
 *  12  depth     recursion count of an RLock             the owner only
 *  16  recovered how often an owner died                 the owner only
 *  24  prev, 32 next   node of glibc's robust list       meaningful inside the owner's process only
 *
 * word  owner id  W  D
 *       0         0  0   free
 *       0         1  0   free, somebody may sleep: whoever frees or takes it owes a wake
 *       0         .  1   free, and the last owner died holding it
 *       id        .  0   held
 * A *robust* lock's owner id is its thread's tid, and the cell is linked into the
 * thread's robust list. A *ledger* lock's id is PN_LEDGER | process slot: any
 * process may release it, and a dead owner is found by pn_slot_alive.
 *
 * list_op_pending names the cell across every transition, so that the kernel
 * finishes what a killed thread began: it marks D if the thread still owned the
 * word, and wakes one sleeper if the word has no owner (the thread died between
 * giving up the word and waking, or ate a wake and died). The release that keeps
 * W until a wake found nobody ("sticky") closes the hole that
 * pthread_mutex_unlock has: free, W dropped, waker killed, third thread barged in.
 */
#ifndef PN_LOCK_H
#define PN_LOCK_H

#include "clock.h"
#include "platform.h"
#include "status.h"

#define PN_WAITERS 0x80000000u
#define PN_DIED 0x40000000u
#define PN_OWNER 0x3fffffffu
#define PN_LEDGER 0x20000000u /* no tid is that large: PID_MAX_LIMIT is 2^22 */
#define PN_ROBUST_LIMIT 2048u /* ROBUST_LIST_LIMIT of the kernel */

typedef struct pn_lock {
    pn_word word;
    _Atomic int32_t spin;
    pn_word holder;
    uint32_t depth;
    uint32_t recovered;
    uint32_t reserved;
    _Atomic(void *) prev;
    _Atomic(void *) next;
    uint8_t pad[24];
} pn_lock;

_Static_assert(sizeof(pn_lock) == 64, "a lock is one cache line");
_Static_assert(offsetof(pn_lock, prev) == 24 && offsetof(pn_lock, next) == 32,
               "the node has pthread_mutex_t's place: futex_offset is -32");

/* Says whether the owner id of a word that somebody waits for is still alive.
 * Only asked at the end of a slice, where the kernel does not do it for us. */
typedef bool (*pn_owner_alive)(void *context, uint32_t owner);

/* --- robust locks: owner id = tid ------------------------------------- */

/* Take it if that needs no sleep: PN_OK, PN_OWNER_DIED, PN_BUSY or PN_TOO_MANY. */
pn_status pn_lock_try(pn_lock *lock);
/* Take it, sleeping in slices until `deadline`. Also PN_TIMEOUT, and PN_INTERRUPTED
 * after a signal or a slice. `alive` may be NULL while the kernel keeps robust lists. */
pn_status pn_lock_wait(pn_lock *lock, int64_t deadline, pn_owner_alive alive, void *context);
/* Same, never PN_INTERRUPTED: for short inner critical sections. */
pn_status pn_lock_enter(pn_lock *lock, pn_owner_alive alive, void *context);
pn_status pn_lock_release(pn_lock *lock);
/* Release it so that the next owner gets PN_OWNER_DIED as well. */
pn_status pn_lock_release_marked(pn_lock *lock);
static inline bool
pn_lock_mine(pn_lock *lock)
{
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER) == pn_self()->tid;
}

/* --- ledger locks: owner id = PN_LEDGER | slot ------------------------ */

pn_status pn_ledger_try(pn_lock *lock, uint32_t slot);
pn_status pn_ledger_wait(pn_lock *lock, uint32_t slot, int64_t deadline, pn_owner_alive alive,
                         void *context);
/* PN_NOT_OWNER if nobody holds it. */
pn_status pn_ledger_release(pn_lock *lock);
/* Take the lock away from a slot that is known to be dead: free, marked D, one sleeper woken. */
void pn_ledger_bury(pn_lock *lock, uint32_t slot);

/* For somebody who does not want the lock: if its owner is dead and nobody has noticed, free it, marked D,
 * and wake one sleeper. */
void pn_lock_mend(pn_lock *lock, pn_owner_alive alive, void *context);

/* --- death wake ------------------------------------------------------- */

/* Until pn_pending_clear the kernel wakes one sleeper of `word` if this thread
 * dies; the word's low 30 bits must be 0 then. */
static inline void
pn_pending_wake(pn_thread *self, pn_word *word)
{
    if (self->head != NULL && pn_platform.pending_wake) {
        atomic_store_explicit(&self->head->pending,
                              (void *)((char *)word + offsetof(pn_lock, next)),
                              memory_order_relaxed);
    }
    pn_compiler_barrier();
}

static inline void
pn_pending_clear(pn_thread *self)
{
    pn_compiler_barrier();
    if (self->head != NULL) {
        atomic_store_explicit(&self->head->pending, NULL, memory_order_relaxed);
    }
}

#endif
