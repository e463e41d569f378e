/* Robust and ledger locks, between processes. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "slots.h"

typedef struct {
    pn_lock lock;
    pn_word entered, inside, total;
} shared;

static shared *
make_shared(void)
{
    pn_platform_init();
    setvbuf(stdout, NULL, _IOLBF, 0);
    return mmap(NULL, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Without a domain there is no fork handler. */
static pid_t
fork_plain(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pn_thread_after_fork();
    }
    return pid;
}

static bool
tid_is_alive(void *context, uint32_t owner)
{
    (void)context;
    return kill((pid_t)owner, 0) == 0 || errno != ESRCH;
}

static void
reap(pid_t pid)
{
    CHECK(waitpid(pid, NULL, 0) == pid);
}

static void
take_and_release(void)
{
    shared *s = make_shared();
    CHECK(pn_lock_try(&s->lock) == PN_OK);
    CHECK(pn_lock_mine(&s->lock));
    CHECK(pn_lock_try(&s->lock) == PN_BUSY);
    CHECK(pn_lock_wait(&s->lock, pn_now() + 1000000, tid_is_alive, NULL) == PN_TIMEOUT);
    CHECK(pn_lock_release(&s->lock) == PN_OK);
    CHECK(pn_lock_release(&s->lock) == PN_NOT_OWNER);
    CHECK(!pn_lock_mine(&s->lock));
    CHECK(pn_lock_try(&s->lock) == PN_OK);
    CHECK(pn_lock_release(&s->lock) == PN_OK);
}

static void
death_of_the_owner_is_told_once(void)
{
    shared *s = make_shared();
    pid_t pid = fork_plain();
    if (pid == 0) {
        pn_lock_try(&s->lock);
        kill(getpid(), SIGKILL);
    }
    reap(pid);
    CHECK(pn_lock_enter(&s->lock, tid_is_alive, NULL) == PN_OWNER_DIED);
    CHECK(s->lock.recovered == 1);
    CHECK(pn_lock_release_marked(&s->lock) == PN_OK);
    CHECK(pn_lock_enter(&s->lock, tid_is_alive, NULL) == PN_OWNER_DIED);
    CHECK(pn_lock_release(&s->lock) == PN_OK);
    CHECK(pn_lock_enter(&s->lock, tid_is_alive, NULL) == PN_OK);
    CHECK(pn_lock_release(&s->lock) == PN_OK);
}

static void
a_sleeper_gets_the_lock_of_the_dead(void)
{
    shared *s = make_shared();
    pid_t owner = fork_plain();
    if (owner == 0) {
        pn_lock_try(&s->lock);
        atomic_store(&s->entered, 1);
        for (;;) {
            pause();
        }
    }
    while (atomic_load(&s->entered) == 0) {
        usleep(100);
    }
    pid_t sleeper = fork_plain();
    if (sleeper == 0) {
        _exit(pn_lock_enter(&s->lock, tid_is_alive, NULL) == PN_OWNER_DIED ? 0 : 1);
    }
    while (!(atomic_load(&s->lock.word) & PN_WAITERS)) {
        usleep(100);
    }
    kill(owner, SIGKILL);
    reap(owner);
    int status;
    CHECK(waitpid(sleeper, &status, 0) == sleeper && status == 0);
}

static void
one_at_a_time(void)
{
    shared *s = make_shared();
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork_plain();
        if (pids[i] == 0) {
            for (int k = 0; k < 20000; k++) {
                pn_lock_enter(&s->lock, tid_is_alive, NULL);
                if (atomic_fetch_add(&s->inside, 1) != 0) {
                    _exit(1);
                }
                atomic_fetch_add(&s->total, 1);
                atomic_fetch_sub(&s->inside, 1);
                pn_lock_release(&s->lock);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
    CHECK(atomic_load(&s->total) == 80000);
    CHECK(pn_lock_try(&s->lock) == PN_OK);
    pn_lock_release(&s->lock);
}

static void
more_than_the_kernel_would_repair_is_refused(void)
{
    pn_platform_init();
    pn_lock *locks = mmap(NULL, sizeof(pn_lock) * (PN_ROBUST_LIMIT + 1), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (uint32_t i = 0; i < PN_ROBUST_LIMIT; i++) {
        CHECK(pn_lock_try(&locks[i]) == PN_OK);
    }
    CHECK(pn_lock_try(&locks[PN_ROBUST_LIMIT]) == PN_TOO_MANY);
    CHECK(pn_lock_enter(&locks[PN_ROBUST_LIMIT], NULL, NULL) == PN_TOO_MANY);
    for (uint32_t i = 0; i < PN_ROBUST_LIMIT; i += 2) { /* in any order */
        CHECK(pn_lock_release(&locks[i]) == PN_OK);
    }
    for (uint32_t i = 1; i < PN_ROBUST_LIMIT; i += 2) {
        CHECK(pn_lock_release(&locks[i]) == PN_OK);
    }
    CHECK(pn_self()->held == 0);
}

static void
a_ledger_lock_is_released_by_anybody(void)
{
    shared *s = make_shared();
    CHECK(pn_ledger_try(&s->lock, 3) == PN_OK);
    CHECK(pn_ledger_try(&s->lock, 3) == PN_BUSY);
    CHECK(pn_ledger_wait(&s->lock, 4, pn_now() + 1000000, NULL, NULL) == PN_TIMEOUT);
    pid_t pid = fork_plain();
    if (pid == 0) {
        _exit(pn_ledger_release(&s->lock) == PN_OK ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(pn_ledger_release(&s->lock) == PN_NOT_OWNER);
    CHECK(pn_ledger_wait(&s->lock, 5, PN_FOREVER, NULL, NULL) == PN_OK);
    pn_ledger_bury(&s->lock, 6); /* not his */
    CHECK(pn_ledger_try(&s->lock, 7) == PN_BUSY);
    pn_ledger_bury(&s->lock, 5);
    CHECK(pn_ledger_try(&s->lock, 7) == PN_OWNER_DIED);
    CHECK(pn_ledger_release(&s->lock) == PN_OK);
}

static bool
nobody_is_alive(void *context, uint32_t owner)
{
    *(uint32_t *)context = owner;
    return false;
}

static void
a_waiter_finds_the_dead_owner_of_a_ledger_lock(void)
{
    shared *s = make_shared();
    uint32_t asked = 0;
    CHECK(pn_ledger_try(&s->lock, 9) == PN_OK);
    pn_self()->slice_ns = 1000000;
    pn_status status;
    do {
        status = pn_ledger_wait(&s->lock, 2, PN_FOREVER, nobody_is_alive, &asked);
    } while (status == PN_INTERRUPTED);
    pn_self()->slice_ns = 0;
    pn_thread_setup();
    CHECK(status == PN_OWNER_DIED && asked == (PN_LEDGER | 9));
}

int
main(void)
{
    RUN(take_and_release);
    RUN(death_of_the_owner_is_told_once);
    RUN(a_sleeper_gets_the_lock_of_the_dead);
    RUN(one_at_a_time);
    RUN(more_than_the_kernel_would_repair_is_refused);
    RUN(a_ledger_lock_is_released_by_anybody);
    RUN(a_waiter_finds_the_dead_owner_of_a_ledger_lock);
    return 0;
}
