/* The barrier: `parties` threads wait for each other, round after round.
 *
 *   state   round (32 bits, high) | BROKEN (bit 31) | round's lowest bit (bit 30) | 0
 *
 * Who arrives takes a line (waiters.h) whose ticket is the round; the lines of a round are its count. A round ends by one
 * store of `state` under `lock`:
 *
 *   passed   by the last one that arrives, after the action: the next round
 *   reset    the next round; who waited gets PN_BROKEN
 *   broken   BROKEN, until a reset: at a timeout, by abort(), by an action or a signal handler that raised, or because a
 *            process died that had a line
 *
 * `note` of each line of the round says before that store how it ends (pn_barrier_end, and the pid of who ended
 * it), and is valid only if the store was made. So nobody needs to wait until the others have left: the next round may begin, and even end,
 * before a waiter of the last one looks.
 *
 * All lines of a round taken, and no end: the action is running. Nobody's timeout breaks the barrier then; the
 * death of the one that runs it does.
 *
 * Who sleeps watches both halves of the state. The lower one's low 30 bits are 0, so that list_op_pending may name it: if whoever
 * ends the round is killed before its wake, the kernel wakes one, and each one that is woken wakes all others as long as `announced`
 * is not the state. Who is killed before it has arrived is not known to the barrier: that is what timeouts are for.
 */
#ifndef PN_BARRIER_H
#define PN_BARRIER_H

#include "collect.h"
#include "waiters.h"

#define PN_BARRIER_BROKEN 0x80000000u
#define PN_BARRIER_PARTIES 0xffffffu /* at most so many */

typedef enum {
    PN_BARRIER_OPEN,
    PN_BARRIER_PASSED,
    PN_BARRIER_RESET,
    PN_BARRIER_TIMED_OUT,
    PN_BARRIER_ABORTED,
    PN_BARRIER_ACTION, /* it raised */
    PN_BARRIER_LEFT,   /* a signal handler raised in one that waited */
    PN_BARRIER_DIED
} pn_barrier_end;

#define PN_BARRIER_NAME 24

typedef struct {
    pn_object object;
    pn_lock lock;
    pn_word64 state;
    pn_word64 announced;    /* the state of which all were told: a hint */
    _Atomic int64_t looked; /* when somebody looked for the dead: a hint */
    pn_word parties;        /* written before it is shared */
    pn_word why;            /* pn_barrier_end of the last broken one, before BROKEN is stored */
    pn_word pid;            /* of who broke it */
    char name[PN_BARRIER_NAME];
    pn_word reserved;
    pn_waiters waiters;
} pn_barrier_cell;

_Static_assert(offsetof(pn_barrier_cell, waiters) % 64 == 0, "lines are aligned to cache lines");
_Static_assert(sizeof(pn_barrier_cell) <= PN_LARGE_CELL, "a barrier fits the large cell");

/* This process's view. Private memory. */
typedef struct {
    pn_domain *domain;
    pn_barrier_cell *cell;
    uint64_t offset;
    pn_word pauses_in_vain; /* patience.h */
} pn_barrier;

/* What one arrival is told. */
typedef struct {
    pn_waiter *line;
    uint32_t round;
    uint32_t index;     /* how many of the round were there before */
    bool must_act;      /* it is the last: run the action, then pn_barrier_acted */
    pn_barrier_end end; /* after PN_OK or PN_BROKEN */
    uint32_t pid;       /* of who broke it */
} pn_party;

void pn_barrier_open(pn_barrier *barrier, pn_domain *domain, uint64_t offset);
/* Arrive. PN_OK: all have arrived. PN_BUSY: wait, or act if `must_act`; if it has no line, all parties were there already
 * and their action runs: arrive again after pn_barrier_sleep. PN_BROKEN. PN_NO_MEMORY. */
pn_status pn_barrier_arrive(pn_barrier *barrier, bool has_action, pn_party *party);
/* PN_OK, PN_BROKEN: the round has ended, and the line is gone. PN_TIMEOUT, PN_INTERRUPTED: it is still there. PN_BUSY: of one
 * without a line; arrive again. */
pn_status pn_barrier_sleep(pn_barrier *barrier, pn_party *party, int64_t deadline);
/* Leave before the end, which breaks the barrier, as `why` says: PN_BROKEN; PN_OK if all had arrived just now. PN_BUSY, if it
 * was a timeout: the action is running, sleep on without one. */
pn_status pn_barrier_give_up(pn_barrier *barrier, pn_party *party, pn_barrier_end why);
/* The action was run, or has failed: PN_OK or PN_BROKEN. */
pn_status pn_barrier_acted(pn_barrier *barrier, pn_party *party, bool is_well);
/* Both for all. */
pn_status pn_barrier_abort(pn_barrier *barrier);
pn_status pn_barrier_reset(pn_barrier *barrier);
bool pn_barrier_is_broken(pn_barrier *barrier);
/* How many of the current round have arrived. */
uint32_t pn_barrier_waiting(pn_barrier *barrier);
/* Rounds that have ended, modulo 2^32. */
uint32_t pn_barrier_rounds(pn_barrier *barrier);

/* kind.h */
bool pn_barrier_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                     bool awaited);
bool pn_barrier_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_barrier_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);

#endif
