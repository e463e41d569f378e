#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "leader.h"

#include <limits.h>

#include "patience.h"

static pn_word *
low_half(pn_word64 *word)
{
    /* Little endian: x86-64, aarch64. */
    return (pn_word *)word;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "futex words are low halves");

/* One sleep of the leader. */
static pn_status
sleep_once(const pn_waiting *waiting, int64_t deadline)
{
    uint32_t seen = (uint32_t)atomic_load_explicit(waiting->watched, memory_order_acquire);
    /* [sleep check]: the exchange is the fence between our mark and the look at the queue, as in pn_commit(). */
    atomic_exchange_explicit(waiting->sleeper, PN_WAITERS, memory_order_seq_cst);
    pn_fence_after_exchange();
    if (waiting->may_go(waiting->context)) {
        return PN_OK;
    }
    pn_watch watches[] = {{waiting->sleeper, PN_WAITERS},
                          {low_half(waiting->watched), seen},
                          {waiting->shut, 0},
                          {waiting->orphans, 0}};
    bool passed;
    pn_status status = pn_sleep_slice(watches, waiting->orphans != NULL ? 4 : 3, deadline, &passed);
    bool is_mended =
        passed && waiting->after_slice != NULL && waiting->after_slice(waiting->context);
    return is_mended ? PN_OK : status;
}

static pn_status
lead(const pn_waiting *waiting, int64_t deadline)
{
    pn_status status = pn_lock_wait(waiting->lead, deadline, pn_slot_owner_alive, waiting->domain);
    if (status != PN_OK && status != PN_OWNER_DIED) {
        return status;
    }
    do {
        status = waiting->attempt(waiting->context, deadline);
        if (status == waiting->wanting) {
            status = sleep_once(waiting, deadline);
            if (status != PN_OK) {
                break;
            }
            status = waiting->wanting;
        }
    } while (status == waiting->wanting);
    if (status == PN_SHUT_DOWN && waiting->passes_on_shut) {
        /* [shut] whoever shut it may have died, and the kernel wakes only one. */
        pn_futex_wake(waiting->shut, INT_MAX);
    }
    pn_lock_release(waiting->lead);
    return status;
}

pn_status
pn_wait_to_lead(const pn_waiting *waiting, int64_t deadline)
{
    pn_status status = waiting->attempt(waiting->context, deadline);
    if (status != waiting->wanting) {
        return status;
    }
    if (pn_look_again(waiting->in_vain, waiting->may_go, waiting->context)) {
        status = waiting->attempt(waiting->context, deadline);
        if (status != waiting->wanting) {
            return status;
        }
    }
    pn_wait *wait = pn_wait_begin(waiting->domain, waiting->offset, waiting->kind);
    status = lead(waiting, deadline);
    pn_wait_end(wait);
    if (status == PN_TIMEOUT || status == PN_INTERRUPTED) {
        /* One last look: a stopped leader must not hide an item for longer than a slice. */
        pn_status last = waiting->attempt_now(waiting->context);
        if (last != waiting->wanting && last != PN_BUSY && last != PN_INTERRUPTED) {
            return last;
        }
    }
    return status;
}

void
pn_shut(pn_domain *domain, uint64_t offset, pn_lock *lock, pn_word *shut, bool now)
{
    pn_thread *self = pn_self();
    bool locked = false;
    if (!now) {
        /* Between puts, not beside one: a consumer that finds the queue empty and shut
         * goes for good, so no item may be committed after that. */
        pn_status status = pn_lock_enter(lock, pn_slot_owner_alive, domain);
        locked = status == PN_OK || status == PN_OWNER_DIED;
    }
    pn_pending_wake(self, shut);
    atomic_fetch_or(shut, PN_SHUT | (now ? PN_SHUT_NOW : 0)); /* [shut] */
    pn_futex_wake(shut, INT_MAX);
    pn_pending_clear(self);
    if (locked) {
        pn_lock_release(lock);
    }
    pn_fence_after_exchange(); /* after [shut] */
    pn_notify(domain, offset, PN_FOR_ANY);
}
