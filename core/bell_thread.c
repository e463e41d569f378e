#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bell_parts.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"
#include "sweep.h"

#define RUNG_NS (50 * 1000000LL) /* how long a bell may ring for what others have taken */
#define DEAF_NS (10 * 1000000LL) /* no line was free: look often */
#define IDLE_NS (1000000000LL)   /* without bells the thread ends after so long */

pn_bells_state pn_bells = {.mutex = PTHREAD_MUTEX_INITIALIZER, .awake = PTHREAD_COND_INITIALIZER};

/* ---- seats ----------------------------------------------------------------------------- */

pn_bell_seat *
pn_bell_seat_in(pn_domain *domain)
{
    for (int i = 0; i < pn_bells.seats_used; i++) {
        if (pn_bells.seats[i].domain == domain) {
            return &pn_bells.seats[i];
        }
    }
    return NULL;
}

pn_bell_seat *
pn_bell_take_seat(pn_domain *domain)
{
    pn_bell_seat *seat = pn_bell_seat_in(domain);
    if (seat == NULL && pn_bells.seats_used < PN_WATCHES &&
        (pn_bells.seats_used == 0 || pn_platform.waitv)) {
        uint32_t line = pn_seat_take(domain);
        if (line != PN_NO_LINE) {
            seat = &pn_bells.seats[pn_bells.seats_used++];
            *seat = (pn_bell_seat){.domain = domain, .line = line};
        }
    }
    return seat;
}

static pn_word *
word_of(const pn_bell_seat *seat)
{
    return &seat->domain->listeners[seat->line].word;
}

void
pn_bells_poke(void)
{
    pn_word *words[] = {&pn_bells.home,
                        pn_bells.seats_used > 0 ? word_of(&pn_bells.seats[0]) : NULL};
    for (int i = 0; i < 2 && words[i] != NULL; i++) {
        atomic_store(words[i], 0);
        pn_futex_wake(words[i], 1);
    }
}

/* Give up the seats that nobody uses any more. Not while the thread sleeps on them. */
static void
leave_unused(void)
{
    for (int i = pn_bells.seats_used - 1; i >= 0; i--) {
        if (pn_bells.seats[i].users == 0) {
            pn_listen_end(pn_bells.seats[i].domain, pn_bells.seats[i].line);
            pn_bells.seats[i] = pn_bells.seats[--pn_bells.seats_used];
        }
    }
}

void
pn_bells_leave(pn_domain *domain)
{
    for (;;) {
        pn_bell_seat *seat = pn_bell_seat_in(domain);
        if (seat == NULL || seat->users > 0) {
            return;
        }
        if (!pn_bells.asleep) {
            leave_unused();
            return;
        }
        pn_bells_poke(); /* it gives up what is unused before it sleeps again */
        pthread_cond_wait(&pn_bells.awake, &pn_bells.mutex);
    }
}

/* ---- the thread -------------------------------------------------------------------------- */

/* Sleep until somebody commits or pokes; true at the end of a slice. The mutex is let go meanwhile. */
static bool
sleep_once(int64_t slice, bool sweeps)
{
    pn_watch watches[PN_WATCHES] = {{&pn_bells.home, PN_WAITERS}};
    pn_domain *domains[PN_WATCHES];
    int count = pn_bells.seats_used;
    for (int i = 0; i < count; i++) {
        watches[i] = (pn_watch){word_of(&pn_bells.seats[i]), PN_WAITERS};
        domains[i] = pn_bells.seats[i].domain;
    }
    pn_bells.asleep = true; /* so nobody gives up the seats, or unmaps what they stand in */
    pthread_mutex_unlock(&pn_bells.mutex);
    int result = pn_futex_wait_any(watches, count > 0 ? count : 1, pn_now() + slice);
    bool slice_over = result < 0 && errno == ETIMEDOUT;
    for (int i = 0; slice_over && sweeps && i < count; i++) {
        pn_sweep_sometimes(domains[i]); /* what is missing may be in the hands of the dead */
    }
    pthread_mutex_lock(&pn_bells.mutex);
    pn_bells.asleep = false;
    pthread_cond_broadcast(&pn_bells.awake);
    return slice_over;
}

/* Mark all words, then look at all bells. True if one rings that a look may clear. */
static bool
look_at_all(bool slice_over)
{
    bool any_rung = false;
    atomic_store(&pn_bells.home, PN_WAITERS);
    for (int i = 0; i < pn_bells.seats_used; i++) {
        /* [sleep check] */
        atomic_exchange_explicit(word_of(&pn_bells.seats[i]), PN_WAITERS, memory_order_seq_cst);
    }
    pn_fence_after_exchange();
    for (pn_bell *bell = pn_bells.all; bell != NULL; bell = bell->next) {
        for (size_t i = 0; slice_over && bell->armed && i < bell->count; i++) {
            pn_listen_mend(bell->items[i].domain, bell->items[i].offset);
        }
        if (bell->armed) {
            pn_bell_serve(bell, slice_over);
            any_rung |= bell->rung && !bell->edge;
        }
    }
    return any_rung;
}

static void *
run(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME,
          "pn-bells"); /* the warning of threads knows it by that: _process/threads.py */
    int64_t whole = pn_self()->slice_ns, passed = 0, idle = 0;
    pthread_mutex_lock(&pn_bells.mutex);
    while (!pn_bells.stopping && idle < IDLE_NS) {
        leave_unused();
        bool is_whole = passed >= whole; /* slices that were cut short count together */
        bool any_rung = look_at_all(is_whole);
        passed = is_whole ? 0 : passed;
        int64_t slice = any_rung && whole > RUNG_NS ? RUNG_NS : whole;
        slice = pn_bells.deaf > 0 && slice > DEAF_NS ? DEAF_NS : slice;
        bool slice_over = sleep_once(slice, passed + slice >= whole && pn_bells.armed > 0);
        passed += slice_over ? slice : 0;
        idle = pn_bells.armed > 0 ? 0 : idle + (slice_over ? slice : 0);
    }
    pn_bells.ended = (pid_t)syscall(SYS_gettid);
    if (!pn_bells.stopping) { /* nobody joins it */
        pthread_detach(pthread_self());
        pn_bells.running = false;
    }
    pthread_mutex_unlock(&pn_bells.mutex);
    return NULL;
}

int
pn_bells_start(void)
{
    if (pn_bells.paused > 0 || pn_bells.armed == 0 || pn_bells.running) {
        return 0;
    }
    int error = pn_background_start(&pn_bells.thread, run, NULL);
    pn_bells.running = error == 0;
    return error;
}

static void
stop_locked(void)
{
    if (pn_bells.running && !pn_bells.stopping) {
        pn_bells.stopping = true;
        pthread_t thread = pn_bells.thread;
        pn_bells_poke();
        pthread_mutex_unlock(&pn_bells.mutex);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&pn_bells.mutex);
        pn_bells.running = pn_bells.stopping = false;
    }
    pn_background_gone(&pn_bells.ended);
}

static void before_fork(void);
static void after_fork_in_parent(void);
static void after_fork_in_child(void);

static void
install_fork_handlers(void)
{
    pn_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void
pn_bells_see_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
}

void
pn_bells_pause(void)
{
    pn_bells_see_forks();
    pthread_mutex_lock(&pn_bells.mutex);
    pn_bells.paused++;
    stop_locked();
    pthread_mutex_unlock(&pn_bells.mutex);
}

void
pn_bells_resume(void)
{
    pthread_mutex_lock(&pn_bells.mutex);
    pn_bells.paused -= pn_bells.paused > 0;
    pn_bells_start(); /* no memory for a thread now: the next bell that is armed tries again */
    pthread_mutex_unlock(&pn_bells.mutex);
}

bool
pn_bells_running(int *ended)
{
    pthread_mutex_lock(&pn_bells.mutex);
    bool running = pn_bells.running;
    *ended = pn_bells.ended;
    pthread_mutex_unlock(&pn_bells.mutex);
    return running;
}

/* ---- around fork ----------------------------------------------------------------------------- */

static void
before_fork(void)
{
    pthread_mutex_lock(&pn_bells.mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&pn_bells.mutex);
}

/* The lines are the parent's, and so is what stands behind the descriptors. */
static void
after_fork_in_child(void)
{
    pthread_mutex_init(&pn_bells.mutex, NULL);
    pthread_cond_init(&pn_bells.awake, NULL);
    for (pn_bell *bell = pn_bells.all; bell != NULL; bell = bell->next) {
        if (bell->fd >= 0) {
            close(bell->fd);
        }
        bell->fd = -1;
        bell->armed = bell->rung = bell->seated = false;
        for (size_t i = 0; i < bell->count; i++) {
            bell->items[i].line = PN_NO_LINE;
            bell->items[i].wait = NULL;
            atomic_store(&bell->items[i].domain->bells, 0);
        }
    }
    pn_bells.armed = 0;
    pn_bells.seats_used = 0;
    pn_bells.deaf = 0;
    pn_bells.paused = 0;
    pn_bells.ended = 0;
    pn_bells.running = pn_bells.stopping = pn_bells.asleep = false;
}
