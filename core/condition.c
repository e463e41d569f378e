#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "condition.h"

#include "futex.h"
#include "heap.h"
#include "patience.h"
#include "slots.h"
#include "waits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "futex words are low halves");

void
pn_condition_open(pn_condition *condition, pn_domain *domain, uint64_t offset)
{
    condition->domain = domain;
    condition->offset = offset;
    condition->cell = pn_at(domain, offset);
}

static pn_waiter_walk
walk_lines(pn_condition *condition)
{
    return pn_waiters_walk(condition->domain, &condition->cell->waiters);
}

static uint64_t
ticket_of(pn_waiter *line)
{
    return atomic_load_explicit(&line->ticket, memory_order_relaxed);
}

/* ---- notifying --------------------------------------------------------------------- */

/* Wake all that are notified and asleep. Needs no lock: a line that is taken anew meanwhile has a
 * ticket that is not served, and one that is woken for nothing looks and sleeps on. Leaves list_op_pending aimed at
 * one of them. */
static void
wake_notified(pn_condition *condition, pn_thread *self, uint64_t served)
{
    pn_waiter_walk walk = walk_lines(condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (ticket_of(line) >= served ||
            atomic_load_explicit(&line->word, memory_order_relaxed) != PN_WAITERS) {
            continue;
        }
        pn_pending_wake(self, &line->word);
        if (atomic_exchange(&line->word, 0) == PN_WAITERS) {
            pn_futex_wake(&line->word, 1);
        }
    }
}

/* The line with the lowest ticket from `from` on, NULL: none. */
static pn_waiter *
oldest_from(pn_condition *condition, uint64_t from)
{
    pn_waiter *oldest = NULL;
    pn_waiter_walk walk = walk_lines(condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (ticket_of(line) >= from && (oldest == NULL || ticket_of(line) < ticket_of(oldest))) {
            oldest = line;
        }
    }
    return oldest;
}

/* Under the lock: move `served`, and wake. */
static void
serve(pn_condition *condition, pn_waiter *first, uint64_t served)
{
    pn_condition_cell *cell = condition->cell;
    pn_thread *self = pn_self();
    if (first != NULL) {
        pn_pending_wake(self, &first->word);
    }
    if (atomic_load_explicit(&cell->served, memory_order_relaxed) < served) {
        atomic_exchange(&cell->served,
                        served); /* COMMIT, and the fence before the look at the words */
        pn_fence_after_exchange();
    }
    wake_notified(condition, self, served);
    atomic_store(&cell->announced, served);
    pn_pending_clear(self);
}

/* Under the lock: this line is given back, and the oldest one that waits is notified in its stead. */
static void
hand_on(pn_condition *condition, pn_waiter *line)
{
    pn_condition_cell *cell = condition->cell;
    pn_waiter *next = oldest_from(condition, atomic_load(&cell->served));
    if (next != NULL) {
        uint64_t served = ticket_of(next) + 1;
        atomic_store(&line->word, 0);      /* or list_op_pending might name it, and wake nobody */
        atomic_store(&line->note, served); /* COMMIT: from here on whoever repairs does the rest */
        serve(condition, next, served);
    }
    pn_waiter_leave(line);
}

/* The last owner of the lock died: finish what it had begun to hand on, and wake whom it may have left asleep. */
static void
repair(pn_condition *condition)
{
    pn_condition_cell *cell = condition->cell;
    pn_waiter_walk walk = walk_lines(condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        uint64_t served = atomic_load(&line->note);
        if (served != 0) {
            serve(condition, NULL, served);
            pn_waiter_leave(line);
        }
    }
    serve(condition, NULL, atomic_load(&cell->served));
}

static pn_status
entered(pn_condition *condition, pn_status status)
{
    if (status == PN_OWNER_DIED) {
        repair(condition);
        status = PN_OK;
    }
    return status;
}

static pn_status
enter(pn_condition *condition)
{
    return entered(condition,
                   pn_lock_enter(&condition->cell->lock, pn_slot_owner_alive, condition->domain));
}

static void
leave(pn_condition *condition)
{
    pn_lock_release(&condition->cell->lock);
}

pn_status
pn_condition_notify(pn_condition *condition, uint64_t n)
{
    pn_condition_cell *cell = condition->cell;
    pn_status status = enter(condition);
    if (status != PN_OK) {
        return status;
    }
    uint64_t served = atomic_load(&cell->served);
    pn_waiter *first = n > 0 ? oldest_from(condition, served) : NULL;
    if (first != NULL) {
        uint32_t waiting, notified;
        pn_condition_count(condition, &waiting, &notified);
        uint64_t all = atomic_load(&cell->next_ticket);
        pn_waiter *last = first;
        for (uint64_t i = 1; i < n && n < waiting; i++) {
            last = oldest_from(condition, ticket_of(last) + 1);
        }
        serve(condition, first, n < waiting ? ticket_of(last) + 1 : all);
    }
    leave(condition);
    return PN_OK;
}

/* ---- waiting ------------------------------------------------------------------------ */

pn_status
pn_condition_enlist(pn_condition *condition, pn_waiter **line)
{
    pn_condition_cell *cell = condition->cell;
    uint64_t chunk = 0;
    for (;;) {
        pn_status status = enter(condition);
        if (status != PN_OK) {
            break;
        }
        if (chunk != 0) {
            pn_waiters_link(condition->domain, &cell->waiters, chunk);
            chunk = 0;
        }
        uint64_t ticket = atomic_load(&cell->next_ticket);
        atomic_store(&cell->next_ticket, ticket + 1);
        *line = pn_waiters_take(condition->domain, &cell->waiters, ticket, 0);
        leave(condition);
        if (*line != NULL) {
            return PN_OK;
        }
        status = pn_waiters_new_chunk(condition->domain, condition->offset, &chunk);
        if (status != PN_OK) {
            return status;
        }
    }
    if (chunk != 0) {
        pn_heap_free(condition->domain, chunk);
    }
    return PN_TOO_MANY;
}

typedef struct {
    pn_condition *condition;
    uint64_t ticket;
} turn;

static bool
is_served(void *context)
{
    turn *mine = context;
    return atomic_load_explicit(&mine->condition->cell->served, memory_order_acquire) >
           mine->ticket;
}

/* Was somebody notified who is dead? Then the sweep hands it on. */
static void
look_for_dead(pn_condition *condition)
{
    pn_condition_cell *cell = condition->cell;
    pn_waiters_look_for_dead(condition->domain, &cell->waiters, condition->offset,
                             atomic_load(&cell->served), &cell->looked, pn_condition_bury);
}

static pn_status
sleep_in_line(pn_condition *condition, pn_waiter *line, turn *mine, int64_t deadline)
{
    for (;;) {
        uint64_t served = atomic_load(&condition->cell->served);
        atomic_exchange(&line->word, PN_WAITERS);
        pn_fence_after_exchange();
        if (is_served(mine)) {
            return PN_OK;
        }
        /* The kernel's wake does not change the word: one that comes just before we sleep shows in `served`. */
        pn_watch watches[] = {{&line->word, PN_WAITERS},
                              {(pn_word *)&condition->cell->served, (uint32_t)served}};
        bool passed;
        pn_status status = pn_sleep_slice(watches, 2, deadline, &passed);
        if (passed) {
            look_for_dead(condition);
        }
        if (is_served(mine)) {
            return PN_OK;
        }
        if (status != PN_OK) {
            return status;
        }
    }
}

static pn_status
wait_for_turn(pn_condition *condition, pn_waiter *line, int64_t deadline)
{
    turn mine = {condition, ticket_of(line)};
    if (is_served(&mine)) {
        return PN_OK;
    }
    if (deadline != PN_FOREVER && deadline <= pn_now()) {
        return PN_TIMEOUT;
    }
    if (pn_look_again(&condition->pauses_in_vain, is_served, &mine)) {
        return PN_OK;
    }
    pn_wait *wait = pn_wait_begin(condition->domain, condition->offset, PN_WAIT_CONDITION);
    pn_status status = sleep_in_line(condition, line, &mine, deadline);
    pn_wait_end(wait);
    atomic_store(&line->word, 0);
    return status;
}

pn_status
pn_condition_sleep(pn_condition *condition, pn_waiter *line, int64_t deadline)
{
    pn_condition_cell *cell = condition->cell;
    pn_status status = wait_for_turn(condition, line, deadline);
    uint64_t served = atomic_load(&cell->served);
    if (status == PN_OK && atomic_load(&cell->announced) < served) {
        /* Whoever notified us may be dead, and the kernel has woken one line only: perhaps ours, that did not sleep. */
        pn_thread *self = pn_self();
        wake_notified(condition, self, served);
        pn_pending_clear(self);
    }
    return status;
}

bool
pn_condition_withdraw(pn_condition *condition, pn_waiter *line)
{
    pn_status status = enter(condition);
    bool was_notified = atomic_load(&condition->cell->served) > ticket_of(line);
    if (!was_notified) {
        pn_waiter_leave(line);
    }
    if (status == PN_OK) {
        leave(condition);
    }
    return was_notified;
}

void
pn_condition_pass_on(pn_condition *condition, pn_waiter *line)
{
    pn_status status = enter(condition);
    if (status == PN_OK && atomic_load(&condition->cell->served) > ticket_of(line)) {
        hand_on(condition, line);
    } else {
        pn_waiter_leave(line);
    }
    if (status == PN_OK) {
        leave(condition);
    }
}

void
pn_condition_count(pn_condition *condition, uint32_t *waiting, uint32_t *notified)
{
    uint64_t served = atomic_load(&condition->cell->served);
    *waiting = *notified = 0;
    pn_waiter_walk walk = walk_lines(condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        ++*(ticket_of(line) >= served ? waiting : notified);
    }
}

/* ---- after a death ------------------------------------------------------------------- */

bool
pn_condition_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                  bool awaited)
{
    (void)awaited;
    pn_condition condition = {.pauses_in_vain = 0};
    pn_condition_open(&condition, domain, offset);
    pn_status status =
        pn_lock_wait(&condition.cell->lock, pn_now() + PN_BURIAL_NS, pn_slot_owner_alive, domain);
    if (entered(&condition, status) != PN_OK) {
        return false; /* its holder is stopped, or slow: the next sweep asks again */
    }
    uint64_t dead = pn_waiter_owner(slot, generation);
    uint64_t served = atomic_load(&condition.cell->served);
    /* First those that nobody has notified, or one of them could be handed what another one leaves. */
    pn_waiter_walk walk = walk_lines(&condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (atomic_load(&line->owner) == dead && ticket_of(line) >= served) {
            pn_waiter_leave(line);
        }
    }
    walk = walk_lines(&condition);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (atomic_load(&line->owner) == dead) {
            hand_on(&condition, line);
        }
    }
    leave(&condition);
    return true;
}

bool
pn_condition_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    pn_condition_cell *cell = pn_at(domain, offset);
    return pn_waiters_name_block(domain, &cell->waiters, block);
}

void
pn_condition_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    (void)named;
    pn_condition_cell *cell = pn_at(domain, offset);
    pn_waiters_discard(domain, &cell->waiters);
}
