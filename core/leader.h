/* The leader: a word has one sleeper at most.
 *
 * Who must wait at a queue (for items, for room) leads or follows. Followers sleep on the leadership lock, the leader
 * on the queue's own words, so that a wake of it cannot be eaten by a brother that is killed. The queue's lock is free
 * meanwhile, so a leader that is stopped stops nobody else.
 *
 *   sleeper  PN_WAITERS: the leader sleeps, or is about to; else 0     the leader; whoever wakes it
 *   watched  what the other side changes with each commit              whoever commits
 *   shut     0, then PN_SHUT | PN_SHUT_NOW for good                    pn_shut
 *
 * The leader marks `sleeper`, then looks at the queue, then sleeps: [sleep check]. Who commits stores, then reads
 * `sleeper`: pn_commit(). Both have a full fence in the middle, so one of the two sees the other.
 */
#ifndef PN_LEADER_H
#define PN_LEADER_H

#include "futex.h"
#include "listen.h"
#include "slots.h"
#include "waits.h"

/* ---- waiting ---------------------------------------------------------------- */

/* How one side of a queue waits; `context` is the caller's. */
typedef struct {
    pn_domain *domain;
    uint64_t offset; /* of the queue, and what `kind` says of the wait, for whoever looks */
    pn_wait_kind kind;
    pn_lock *lead;
    pn_word *sleeper;
    pn_word64 *watched;
    pn_word *shut;
    pn_word *orphans;    /* one more word, watched as long as it is 0; NULL: there is none */
    pn_word *in_vain;    /* for pn_look_again */
    pn_status wanting;   /* PN_EMPTY, PN_FULL: what `attempt` says if it is to be waited for */
    bool passes_on_shut; /* PN_SHUT_DOWN of `attempt` means `shut`, so the others are told */
    /* Do it, under the queue's own lock. */
    pn_status (*attempt)(void *context, int64_t deadline);
    /* The same without sleeping, for one last look: also PN_BUSY. */
    pn_status (*attempt_now)(void *context);
    /* Is there reason for an attempt? */
    bool (*may_go)(void *context);
    /* A slice has passed in vain: may it go now? NULL: nothing to be done then. */
    bool (*after_slice)(void *context);
    void *context;
} pn_waiting;

/* Attempt, sleeping as long as it is `wanting`: what the attempt says, PN_TIMEOUT, PN_INTERRUPTED (nothing done: call
 * again). */
pn_status pn_wait_to_lead(const pn_waiting *waiting, int64_t deadline);

/* ---- waking ----------------------------------------------------------------- */

/* Wake the leader that sleeps on `word`, if there is one. The caller has aimed
 * list_op_pending at the word, before the store that the leader waits for. */
static inline void
pn_wake_leader(pn_word *word)
{
    if (atomic_load_explicit(word, memory_order_relaxed) != 0) {
        atomic_store_explicit(word, 0, memory_order_relaxed);
        pn_futex_wake(word, 1);
    }
}

/* The one commit of both sides: publishes what was written, then wakes. */
static inline void
pn_commit(pn_word64 *watched, uint64_t value, pn_word *sleeper)
{
    pn_thread *self = pn_self();
    pn_pending_wake(self, sleeper);
    /* [put commit] / [take commit], pairs with the acquire loads of tail and head; an
     * exchange, because it is also the full fence between our store and the look at
     * the sleeper's word ([sleep check] has the same fence between its own two). */
    atomic_exchange_explicit(watched, value, memory_order_seq_cst);
    pn_fence_after_exchange();
    pn_wake_leader(sleeper);
    pn_pending_clear(self);
}

/* ---- shutting --------------------------------------------------------------- */

/* High bits: the kernel wakes a word's sleeper for the dead only if its low 30 bits are 0. */
#define PN_SHUT 0x80000000u
#define PN_SHUT_NOW 0x40000000u

/* Nothing more may be put; with `now`, nothing more be taken either. Without `now` it waits for the put that is under way
 * under `lock`, which may belong to a stopped process. */
void pn_shut(pn_domain *domain, uint64_t offset, pn_lock *lock, pn_word *shut, bool now);

#endif
