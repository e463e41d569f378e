#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "futex.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define FUTEX_OP_WAKE 1
#define FUTEX_OP_WAIT_BITSET 9
#define FUTEX2_SIZE_U32 2
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449 /* the same on every architecture */
#endif

struct waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

static struct timespec *
absolute(int64_t until, struct timespec *at)
{
    if (until == PN_FOREVER) {
        return NULL;
    }
    at->tv_sec = until / 1000000000;
    at->tv_nsec = until % 1000000000;
    return at;
}

int
pn_futex_wait(pn_word *word, uint32_t expected, int64_t until)
{
    struct timespec at;
    return (int)syscall(SYS_futex, word, FUTEX_OP_WAIT_BITSET, expected, absolute(until, &at), NULL,
                        UINT32_MAX);
}

int
pn_futex_wait_any(const pn_watch *watches, int count, int64_t until)
{
    if (!pn_platform.waitv) {
        return pn_futex_wait(watches[0].word, watches[0].expected, until);
    }
    struct waitv waits[PN_WATCHES] = {{0}};
    for (int i = 0; i < count; i++) {
        waits[i] = (struct waitv){.value = watches[i].expected,
                                  .address = (uintptr_t)watches[i].word,
                                  .flags = FUTEX2_SIZE_U32};
    }
    struct timespec at;
    long woken = syscall(SYS_futex_waitv, waits, count, 0, absolute(until, &at), CLOCK_MONOTONIC);
    return woken < 0 ? -1 : 0;
}

pn_status
pn_sleep_slice(const pn_watch *watches, int count, int64_t deadline, bool *passed)
{
    int64_t slice_end = pn_now() + pn_self()->slice_ns;
    int64_t until = deadline < slice_end ? deadline : slice_end;
    int error = pn_futex_wait_any(watches, count, until) == 0 ? 0 : errno;
    *passed = error == ETIMEDOUT;
    if (error == 0 || error == EAGAIN) {
        return PN_OK;
    }
    return *passed && until == deadline ? PN_TIMEOUT : PN_INTERRUPTED;
}

int
pn_futex_wake(pn_word *word, int n)
{
    return (int)syscall(SYS_futex, word, FUTEX_OP_WAKE, n, NULL, NULL, 0);
}

bool
pn_futex_waitv_works(void)
{
    /* Two words that differ already: EAGAIN says that the call was understood. */
    pn_word word = 1;
    struct waitv wait = {.value = 0, .address = (uintptr_t)&word, .flags = FUTEX2_SIZE_U32};
    return syscall(SYS_futex_waitv, &wait, 1, 0, NULL, CLOCK_MONOTONIC) < 0 && errno == EAGAIN;
}
