/* The condition: a queue of those who wait to be notified, the oldest first.
 *
 * Who waits has a line (waiters.h) with a ticket, a number that grows, and sleeps on that line's own word: one
 * sleeper for each word. One word says who has been notified:
 *
 *   served   every line whose ticket is below it is notified [COMMIT of notify, of any n]
 *
 * so a notify() that is killed has notified all it was to notify, or nobody. The user's lock is none of the core's
 * business here; in the order of a wait():
 *
 *   enlist      a line is taken, with the next ticket; then the caller lets go of the user's lock
 *   sleep       until served > ticket
 *   consume     after the user's lock was taken back: the line is given back
 *   withdraw    instead, at a timeout: free the line, unless it was notified just now
 *   pass on     instead, on the way out with an exception: the next one is notified in its stead
 *
 * A notification is the waiter's only when it is consumed. If it is killed before that, its burial notifies the
 * oldest one that waits. That takes two stores, of `served` and of the line's owner, and a burial may be killed between
 * them; so `note` of the line says first to what `served` is going, and whoever gets the lock from a dead owner does the
 * rest. A line that is not notified is simply freed.
 *
 * Wakes: notify() wakes each line that sleeps (word == PN_WAITERS), and says so in `announced`. If it is killed
 * before that, the kernel wakes the first of them (list_op_pending), and each one that is woken wakes the rest as
 * long as announced < served. A sleeper marks its word before it looks at `served`, a waker stores `served` before it
 * looks at the words; so one of the two sees the other. The kernel's wake changes no word: so a sleeper watches `served` as
 * well, or it would miss one that came just before it slept.
 *
 * `lock` protects all but the giving back of lines; it is inside header.lock, and nothing is allocated under it.
 */
#ifndef PN_CONDITION_H
#define PN_CONDITION_H

#include "collect.h"
#include "waiters.h"

typedef struct {
    pn_object object;
    pn_lock lock;
    pn_word64 served;
    pn_word64 announced;    /* all lines below were woken: a hint */
    pn_word64 next_ticket;  /* under lock */
    _Atomic int64_t looked; /* when somebody looked for the dead: a hint */
    uint8_t pad[32];
    pn_waiters waiters;
} pn_condition_cell;

_Static_assert(offsetof(pn_condition_cell, waiters) % 64 == 0, "lines are aligned to cache lines");
_Static_assert(sizeof(pn_condition_cell) <= PN_LARGE_CELL, "a condition fits the large cell");

/* This process's view. Private memory. */
typedef struct {
    pn_domain *domain;
    pn_condition_cell *cell;
    uint64_t offset;
    pn_word pauses_in_vain; /* patience.h */
} pn_condition;

void pn_condition_open(pn_condition *condition, pn_domain *domain, uint64_t offset);
/* Get in line. PN_NO_MEMORY: there was no room for one more. */
pn_status pn_condition_enlist(pn_condition *condition, pn_waiter **line);
/* PN_OK: notified. PN_TIMEOUT, PN_INTERRUPTED (call again): still in line. */
pn_status pn_condition_sleep(pn_condition *condition, pn_waiter *line, int64_t deadline);
/* After PN_TIMEOUT: false, and the line is gone; true: it was notified after all, and is there. */
bool pn_condition_withdraw(pn_condition *condition, pn_waiter *line);
static inline void
pn_condition_consume(pn_waiter *line)
{
    pn_waiter_leave(line);
}
/* Leave the line; if it was notified, notify the next one instead. */
void pn_condition_pass_on(pn_condition *condition, pn_waiter *line);
/* Notify the n oldest. */
pn_status pn_condition_notify(pn_condition *condition, uint64_t n);
/* How many wait to be notified, how many are notified and have not come back yet. */
void pn_condition_count(pn_condition *condition, uint32_t *waiting, uint32_t *notified);

/* kind.h */
bool pn_condition_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                       bool awaited);
bool pn_condition_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_condition_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);

#endif
