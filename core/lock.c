#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lock.h"

#include <errno.h>

#include "futex.h"

#define SPIN_LIMIT 100 /* pauses; a lock of ours is held for 50 to 150 ns */

/* ---- the robust list of this thread (glibc's shape) ------------------ */

static void
pending_lock(pn_thread *self, pn_lock *lock)
{
    if (self->head != NULL) {
        atomic_store_explicit(&self->head->pending, (void *)&lock->next, memory_order_relaxed);
    }
    pn_compiler_barrier();
}

static void
link_lock(pn_thread *self, pn_lock *lock)
{
    self->held++;
    pn_robust_head *head = self->head;
    if (head == NULL) {
        return;
    }
    /* A node is named by the address of its `next`; `prev` stands 8 bytes before. */
    _Atomic(void *) *first = atomic_load_explicit(&head->list, memory_order_relaxed);
    atomic_store_explicit(&lock->next, (void *)first, memory_order_relaxed);
    atomic_store_explicit(&lock->prev, (void *)&head->list, memory_order_relaxed);
    atomic_store_explicit(first - 1, (void *)&lock->next, memory_order_relaxed);
    pn_compiler_barrier(); /* the kernel walks from head: the node is whole before it is seen */
    atomic_store_explicit(&head->list, (void *)&lock->next, memory_order_relaxed);
}

static void
unlink_lock(pn_thread *self, pn_lock *lock)
{
    self->held--;
    if (self->head == NULL) {
        return;
    }
    _Atomic(void *) *next = atomic_load_explicit(&lock->next, memory_order_relaxed);
    _Atomic(void *) *prev = atomic_load_explicit(&lock->prev, memory_order_relaxed);
    atomic_store_explicit(next - 1, (void *)prev, memory_order_relaxed);
    atomic_store_explicit(prev, (void *)next, memory_order_relaxed);
    pn_compiler_barrier();
    atomic_store_explicit(&lock->next, NULL, memory_order_relaxed);
    atomic_store_explicit(&lock->prev, NULL, memory_order_relaxed);
}

/* ---- the word: shared by both kinds ---------------------------------- */

/* One attempt to write `id` into a word that has no owner. */
static pn_status
take_free(pn_lock *lock, uint32_t id, uint32_t assumed)
{
    uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    while ((seen & PN_OWNER) == 0) {
        /* W stays: whoever slept before this owner still sleeps. [lock free] */
        uint32_t wanted = id | (seen & PN_WAITERS) | assumed;
        if (atomic_compare_exchange_weak_explicit(&lock->word, &seen, wanted, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return (seen & PN_DIED) ? PN_OWNER_DIED : PN_OK;
        }
    }
    return PN_BUSY;
}

/* Wait a moment for a short critical section to end; true if the word looks free. */
static bool
spin(pn_lock *lock)
{
    if (pn_platform.cpus <= 1) {
        return false;
    }
    int32_t estimate = atomic_load_explicit(&lock->spin, memory_order_relaxed);
    int32_t limit = estimate * 2 + 10;
    limit = limit < SPIN_LIMIT ? limit : SPIN_LIMIT;
    int32_t turn = 0;
    bool is_free = false;
    while (turn < limit && !is_free) {
        pn_cpu_relax();
        is_free = (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER) == 0;
        turn++;
    }
    atomic_store_explicit(&lock->spin, estimate + (turn - estimate) / 8, memory_order_relaxed);
    return is_free;
}

/* Where the kernel does not mark the dead, the waiter does. */
static void
check_owner(pn_lock *lock, pn_owner_alive alive, void *context)
{
    uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
    uint32_t owner = seen & PN_OWNER;
    if (owner != 0 && alive != NULL && !alive(context, owner)) {
        atomic_compare_exchange_strong(&lock->word, &seen, (seen & PN_WAITERS) | PN_DIED);
    }
}

/* The sleeping half of an acquire. The caller has aimed list_op_pending at the
 * cell: a wake that this thread ate before it died is passed on by the kernel. */
static pn_status
wait_for_word(pn_thread *self, pn_lock *lock, uint32_t id, int64_t deadline, pn_owner_alive alive,
              void *context)
{
    uint32_t assumed = 0; /* after any sleep somebody else may sleep as well */
    for (;;) {
        pn_status status = take_free(lock, id, assumed);
        if (status != PN_BUSY) {
            return status;
        }
        uint32_t seen = atomic_load_explicit(&lock->word, memory_order_relaxed);
        if ((seen & PN_OWNER) == 0) {
            continue;
        }
        if (!(seen & PN_WAITERS) &&
            !atomic_compare_exchange_weak_explicit(&lock->word, &seen, seen | PN_WAITERS,
                                                   memory_order_relaxed, memory_order_relaxed)) {
            continue;
        }
        int64_t slice_end = pn_now() + self->slice_ns;
        int64_t until = deadline < slice_end ? deadline : slice_end;
        int result = pn_futex_wait(&lock->word, seen | PN_WAITERS, until);
        int error = result == 0 ? 0 : errno;
        assumed = PN_WAITERS;
        if (error == ETIMEDOUT) {
            check_owner(lock, alive, context);
        }
        if (error == ETIMEDOUT || error == EINTR) {
            status = take_free(lock, id, assumed);
            if (status != PN_BUSY) {
                return status;
            }
            return error == ETIMEDOUT && until == deadline ? PN_TIMEOUT : PN_INTERRUPTED;
        }
    }
}

/* Give up the word and wake. The caller has aimed list_op_pending at the cell.
 * Only a ledger lock can lose the race for its own release: PN_NOT_OWNER. */
static pn_status
free_word(pn_lock *lock, uint32_t id, uint32_t mark)
{
    uint32_t seen = id;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, mark, memory_order_release,
                                                memory_order_relaxed)) {
        return PN_OK; /* [lock free] nobody sleeps */
    }
    /* W stays set while the word is free, so that a barger's release wakes too. */
    do {
        if ((seen & PN_OWNER) != id) {
            return PN_NOT_OWNER;
        }
    } while (!atomic_compare_exchange_weak(&lock->word, &seen, PN_WAITERS | mark));
    if (pn_futex_wake(&lock->word, 1) > 0) {
        return PN_OK;
    }
    seen = PN_WAITERS | mark;
    if (atomic_compare_exchange_strong(&lock->word, &seen, mark) &&
        pn_futex_wake(&lock->word, 1) > 0) {
        /* A sleeper slipped in between: it may not be the only one. */
        atomic_fetch_or(&lock->word, PN_WAITERS);
    }
    return PN_OK;
}

/* ---- robust locks ---------------------------------------------------- */

static pn_status
owned(pn_thread *self, pn_lock *lock, pn_status status)
{
    if (status == PN_OK || status == PN_OWNER_DIED) {
        link_lock(self, lock);
        pn_pending_clear(self);
        if (status == PN_OWNER_DIED) {
            lock->recovered++;
            lock->depth = 0;
        }
    } else {
        pn_pending_clear(self);
    }
    return status;
}

pn_status
pn_lock_try(pn_lock *lock)
{
    pn_thread *self = pn_self();
    if (self->held >= PN_ROBUST_LIMIT) {
        return PN_TOO_MANY;
    }
    pending_lock(self, lock);
    pn_status status = take_free(lock, self->tid, 0);
    if (status == PN_BUSY && spin(lock)) {
        status = take_free(lock, self->tid, 0);
    }
    return owned(self, lock, status);
}

pn_status
pn_lock_wait(pn_lock *lock, int64_t deadline, pn_owner_alive alive, void *context)
{
    pn_thread *self = pn_self();
    if (self->held >= PN_ROBUST_LIMIT) {
        return PN_TOO_MANY;
    }
    pending_lock(self, lock);
    return owned(self, lock, wait_for_word(self, lock, self->tid, deadline, alive, context));
}

pn_status
pn_lock_enter(pn_lock *lock, pn_owner_alive alive, void *context)
{
    pn_status status = pn_lock_try(lock);
    if (status == PN_BUSY) {
        do {
            status = pn_lock_wait(lock, PN_FOREVER, alive, context);
        } while (status == PN_INTERRUPTED);
    }
    return status;
}

static pn_status
release(pn_lock *lock, uint32_t mark)
{
    pn_thread *self = pn_self();
    if ((atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER) != self->tid) {
        return PN_NOT_OWNER;
    }
    atomic_store_explicit(&lock->holder, 0, memory_order_relaxed);
    pending_lock(self, lock);
    unlink_lock(self, lock);
    pn_compiler_barrier();
    free_word(lock, self->tid, mark);
    pn_pending_clear(self);
    return PN_OK;
}

pn_status
pn_lock_release(pn_lock *lock)
{
    return release(lock, 0);
}

pn_status
pn_lock_release_marked(pn_lock *lock)
{
    return release(lock, PN_DIED);
}

/* ---- ledger locks ---------------------------------------------------- */

static pn_status
counted(pn_lock *lock, pn_status status)
{
    lock->recovered += status == PN_OWNER_DIED;
    return status;
}

pn_status
pn_ledger_try(pn_lock *lock, uint32_t slot)
{
    pn_status status = take_free(lock, PN_LEDGER | slot, 0);
    if (status == PN_BUSY && spin(lock)) {
        status = take_free(lock, PN_LEDGER | slot, 0);
    }
    return counted(lock, status);
}

pn_status
pn_ledger_wait(pn_lock *lock, uint32_t slot, int64_t deadline, pn_owner_alive alive, void *context)
{
    pn_thread *self = pn_self();
    pending_lock(self, lock);
    pn_status status = wait_for_word(self, lock, PN_LEDGER | slot, deadline, alive, context);
    pn_pending_clear(self);
    return counted(lock, status);
}

pn_status
pn_ledger_release(pn_lock *lock)
{
    uint32_t owner = atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER;
    if (owner == 0) {
        return PN_NOT_OWNER;
    }
    pn_thread *self = pn_self();
    pending_lock(self, lock);
    pn_status status = free_word(lock, owner, 0);
    pn_pending_clear(self);
    return status;
}

void
pn_ledger_bury(pn_lock *lock, uint32_t slot)
{
    pn_thread *self = pn_self();
    pending_lock(self, lock); /* dead after the exchange: the kernel wakes instead */
    uint32_t seen = atomic_load(&lock->word);
    while ((seen & PN_OWNER) == (PN_LEDGER | slot)) {
        if (atomic_compare_exchange_weak(&lock->word, &seen, (seen & PN_WAITERS) | PN_DIED)) {
            pn_futex_wake(&lock->word, 1);
            break;
        }
    }
    pn_pending_clear(self);
}

/* ---- for those who only look ----------------------------------------- */

void
pn_lock_mend(pn_lock *lock, pn_owner_alive alive, void *context)
{
    uint32_t seen = atomic_load(&lock->word);
    uint32_t owner = seen & PN_OWNER;
    if (owner == 0 || alive(context, owner)) {
        return;
    }
    pn_thread *self = pn_self();
    pending_lock(self, lock); /* dead after the exchange: the kernel wakes instead */
    /* Still the same owner, or it came back by itself; sleepers may come meanwhile. */
    while ((seen & PN_OWNER) == owner) {
        if (atomic_compare_exchange_weak(&lock->word, &seen, (seen & PN_WAITERS) | PN_DIED)) {
            pn_futex_wake(&lock->word, 1);
            break;
        }
    }
    pn_pending_clear(self);
}
