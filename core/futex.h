/* Futexes, always shared between processes: a private futex on shared memory
 * never wakes anybody. Timeouts are absolute, CLOCK_MONOTONIC. futex(2). */
#ifndef PN_FUTEX_H
#define PN_FUTEX_H

#include "platform.h"
#include "status.h"

/* Sleep while *word == expected, until `until`. 0, or -1 with errno EAGAIN
 * (it differed), EINTR or ETIMEDOUT. */
int pn_futex_wait(pn_word *word, uint32_t expected, int64_t until);

typedef struct {
    pn_word *word;
    uint32_t expected;
} pn_watch;

#define PN_WATCHES 4

/* Sleep while all words have the values expected of them. Without futex_waitv
 * only the first is watched, so the caller's slice must be short. */
int pn_futex_wait_any(const pn_watch *watches, int count, int64_t until);

/* The same until `deadline`, but no longer than a slice of this thread: PN_OK: look again; PN_TIMEOUT: the deadline
 * has passed; PN_INTERRUPTED: a signal came, or the slice is over. `*passed`: the time was up, of either. */
pn_status pn_sleep_slice(const pn_watch *watches, int count, int64_t deadline, bool *passed);

/* Wake up to n sleepers; how many were woken. */
int pn_futex_wake(pn_word *word, int n);

bool pn_futex_waitv_works(void);

#endif
