#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bell.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"
#include "futex.h"
#include "sweep.h"

#define RUNG_NS (50 * 1000000LL) /* how long a bell may ring for what others have taken */
#define DEAF_NS (10 * 1000000LL) /* no line was free: look often */
#define IDLE_NS (1000000000LL)   /* without bells the thread ends after so long */

typedef struct {
    pn_domain *domain;
    uint32_t line;
    size_t users; /* items of that domain, of bells that were ever armed */
} bell_seat;

/* All that this process has of one kind; the mutex guards it. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t awake; /* the thread has left its sleep */
    pn_bell *all;
    size_t armed; /* how many are */
    bell_seat seats[PN_WATCHES];
    int seats_used;
    size_t deaf; /* armed items that have no line */
    unsigned paused;
    bool running, stopping, asleep;
    pthread_t thread;
    pid_t ended;  /* tid of the last thread that ended, until it is seen to be gone */
    pn_word home; /* where it sleeps without a seat */
} bells = {.mutex = PTHREAD_MUTEX_INITIALIZER, .awake = PTHREAD_COND_INITIALIZER};

/* ---- one bell ------------------------------------------------------------------------ */

static void
set_rung(pn_bell *bell, bool rung)
{
    uint64_t one = 1;
    if (rung && !bell->rung) {
        bell->rung = write(bell->fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
    } else if (!rung && bell->rung) {
        bell->rung = read(bell->fd, &one, sizeof(one)) < 0 && errno != EAGAIN;
    }
}

static bool
any_ready(const pn_bell *bell)
{
    for (size_t i = 0; i < bell->count; i++) {
        const pn_bell_item *item = &bell->items[i];
        if (pn_is_ready(item->domain, item->offset, item->want)) {
            return true;
        }
    }
    return false;
}

static bool
any_heard(pn_bell *bell)
{
    bool any = false;
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        if (item->line != PN_NO_LINE) {
            uint32_t heard = atomic_load(&item->domain->listeners[item->line].heard);
            any |= heard != item->heard;
            item->heard = heard;
        }
    }
    return any;
}

/* What is readable is ready, and the other way round; nobody else changes it meanwhile, and whoever commits
 * after the look wakes the thread, which looks again. */
static void
serve(pn_bell *bell, bool slice_over)
{
    if (!bell->edge) {
        set_rung(bell, any_ready(bell));
    } else if (any_heard(bell) || slice_over) {
        set_rung(bell, true);
    }
}

/* ---- seats ----------------------------------------------------------------------------- */

static bell_seat *
seat_in(pn_domain *domain)
{
    for (int i = 0; i < bells.seats_used; i++) {
        if (bells.seats[i].domain == domain) {
            return &bells.seats[i];
        }
    }
    return NULL;
}

static bell_seat *
take_seat(pn_domain *domain)
{
    bell_seat *seat = seat_in(domain);
    if (seat == NULL && bells.seats_used < PN_WATCHES &&
        (bells.seats_used == 0 || pn_platform.waitv)) {
        uint32_t line = pn_seat_take(domain);
        if (line != PN_NO_LINE) {
            seat = &bells.seats[bells.seats_used++];
            *seat = (bell_seat){.domain = domain, .line = line};
        }
    }
    return seat;
}

static pn_word *
word_of(const bell_seat *seat)
{
    return &seat->domain->listeners[seat->line].word;
}

/* Make the thread look again, wherever it sleeps: it may have gone to sleep before there was a seat. */
static void
poke(void)
{
    pn_word *words[] = {&bells.home, bells.seats_used > 0 ? word_of(&bells.seats[0]) : NULL};
    for (int i = 0; i < 2 && words[i] != NULL; i++) {
        atomic_store(words[i], 0);
        pn_futex_wake(words[i], 1);
    }
}

/* Give up the seats that nobody uses any more. Not while the thread sleeps on them. */
static void
leave_unused(void)
{
    for (int i = bells.seats_used - 1; i >= 0; i--) {
        if (bells.seats[i].users == 0) {
            pn_listen_end(bells.seats[i].domain, bells.seats[i].line);
            bells.seats[i] = bells.seats[--bells.seats_used];
        }
    }
}

/* When this returns the thread does not touch the domain, which may be unmapped next, if nobody else uses it. */
static void
leave(pn_domain *domain)
{
    for (;;) {
        bell_seat *seat = seat_in(domain);
        if (seat == NULL || seat->users > 0) {
            return;
        }
        if (!bells.asleep) {
            leave_unused();
            return;
        }
        poke(); /* it gives up what is unused before it sleeps again */
        pthread_cond_wait(&bells.awake, &bells.mutex);
    }
}

/* ---- the thread -------------------------------------------------------------------------- */

/* Sleep until somebody commits or pokes; true at the end of a slice. The mutex is let go meanwhile. */
static bool
sleep_once(int64_t slice, bool sweeps)
{
    pn_watch watches[PN_WATCHES] = {{&bells.home, PN_WAITERS}};
    pn_domain *domains[PN_WATCHES];
    int count = bells.seats_used;
    for (int i = 0; i < count; i++) {
        watches[i] = (pn_watch){word_of(&bells.seats[i]), PN_WAITERS};
        domains[i] = bells.seats[i].domain;
    }
    bells.asleep = true; /* so nobody gives up the seats, or unmaps what they stand in */
    pthread_mutex_unlock(&bells.mutex);
    int result = pn_futex_wait_any(watches, count > 0 ? count : 1, pn_now() + slice);
    bool slice_over = result < 0 && errno == ETIMEDOUT;
    for (int i = 0; slice_over && sweeps && i < count; i++) {
        pn_sweep_sometimes(domains[i]); /* what is missing may be in the hands of the dead */
    }
    pthread_mutex_lock(&bells.mutex);
    bells.asleep = false;
    pthread_cond_broadcast(&bells.awake);
    return slice_over;
}

/* Mark all words, then look at all bells. True if one rings that a look may clear. */
static bool
look_at_all(bool slice_over)
{
    bool any_rung = false;
    atomic_store(&bells.home, PN_WAITERS);
    for (int i = 0; i < bells.seats_used; i++) {
        /* [sleep check] */
        atomic_exchange_explicit(word_of(&bells.seats[i]), PN_WAITERS, memory_order_seq_cst);
    }
    pn_fence_after_exchange();
    for (pn_bell *bell = bells.all; bell != NULL; bell = bell->next) {
        for (size_t i = 0; slice_over && bell->armed && i < bell->count; i++) {
            pn_listen_mend(bell->items[i].domain, bell->items[i].offset);
        }
        if (bell->armed) {
            serve(bell, slice_over);
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
    pthread_mutex_lock(&bells.mutex);
    while (!bells.stopping && idle < IDLE_NS) {
        leave_unused();
        bool is_whole = passed >= whole; /* slices that were cut short count together */
        bool any_rung = look_at_all(is_whole);
        passed = is_whole ? 0 : passed;
        int64_t slice = any_rung && whole > RUNG_NS ? RUNG_NS : whole;
        slice = bells.deaf > 0 && slice > DEAF_NS ? DEAF_NS : slice;
        bool slice_over = sleep_once(slice, passed + slice >= whole && bells.armed > 0);
        passed += slice_over ? slice : 0;
        idle = bells.armed > 0 ? 0 : idle + (slice_over ? slice : 0);
    }
    bells.ended = (pid_t)syscall(SYS_gettid);
    if (!bells.stopping) { /* nobody joins it */
        pthread_detach(pthread_self());
        bells.running = false;
    }
    pthread_mutex_unlock(&bells.mutex);
    return NULL;
}

static int
start_locked(void)
{
    if (bells.paused > 0 || bells.armed == 0 || bells.running) {
        return 0;
    }
    int error = pn_background_start(&bells.thread, run, NULL);
    bells.running = error == 0;
    return error;
}

static void
stop_locked(void)
{
    if (bells.running && !bells.stopping) {
        bells.stopping = true;
        pthread_t thread = bells.thread;
        poke();
        pthread_mutex_unlock(&bells.mutex);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&bells.mutex);
        bells.running = bells.stopping = false;
    }
    pn_background_gone(&bells.ended);
}

static void before_fork(void);
static void after_fork_in_parent(void);
static void after_fork_in_child(void);

static void
install_fork_handlers(void)
{
    pn_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Before the first bell, and before the first pause: whoever is forked in a pause is not to be paused for ever. */
static void
see_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
}

void
pn_bells_pause(void)
{
    see_forks();
    pthread_mutex_lock(&bells.mutex);
    bells.paused++;
    stop_locked();
    pthread_mutex_unlock(&bells.mutex);
}

void
pn_bells_resume(void)
{
    pthread_mutex_lock(&bells.mutex);
    bells.paused -= bells.paused > 0;
    start_locked(); /* no memory for a thread now: the next bell that is armed tries again */
    pthread_mutex_unlock(&bells.mutex);
}

bool
pn_bells_running(int *ended)
{
    pthread_mutex_lock(&bells.mutex);
    bool running = bells.running;
    *ended = bells.ended;
    pthread_mutex_unlock(&bells.mutex);
    return running;
}

/* ---- around fork ----------------------------------------------------------------------------- */

static void
before_fork(void)
{
    pthread_mutex_lock(&bells.mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&bells.mutex);
}

/* The lines are the parent's, and so is what stands behind the descriptors. */
static void
after_fork_in_child(void)
{
    pthread_mutex_init(&bells.mutex, NULL);
    pthread_cond_init(&bells.awake, NULL);
    for (pn_bell *bell = bells.all; bell != NULL; bell = bell->next) {
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
    bells.armed = 0;
    bells.seats_used = 0;
    bells.deaf = 0;
    bells.paused = 0;
    bells.ended = 0;
    bells.running = bells.stopping = bells.asleep = false;
}

/* ---- for the owners of bells ------------------------------------------------------------------- */

pn_bell *
pn_bell_new(size_t count, bool edge)
{
    see_forks();
    pn_bell *bell = calloc(1, sizeof(*bell) + count * sizeof(bell->items[0]));
    if (bell != NULL) {
        bell->fd = -1;
        bell->edge = edge;
        bell->count = count;
        pthread_mutex_lock(&bells.mutex);
        bell->next = bells.all;
        bells.all = bell;
        pthread_mutex_unlock(&bells.mutex);
    }
    return bell;
}

static void
disarm_locked(pn_bell *bell)
{
    if (!bell->armed) {
        return;
    }
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        bells.deaf -= item->line == PN_NO_LINE;
        pn_listen_end(item->domain, item->line);
        item->line = PN_NO_LINE;
        pn_wait_end(item->wait);
        item->wait = NULL;
        atomic_fetch_sub(&item->domain->bells, 1);
    }
    bell->armed = false;
    bells.armed--;
    set_rung(bell, false);
}

void
pn_bell_disarm(pn_bell *bell)
{
    pthread_mutex_lock(&bells.mutex);
    disarm_locked(bell);
    pthread_mutex_unlock(&bells.mutex);
}

void
pn_bell_drop(pn_bell *bell)
{
    pthread_mutex_lock(&bells.mutex);
    disarm_locked(bell);
    for (pn_bell **at = &bells.all; *at != NULL; at = &(*at)->next) {
        if (*at == bell) {
            *at = bell->next;
            break;
        }
    }
    for (size_t i = 0; bell->seated && i < bell->count; i++) {
        bell_seat *seat = seat_in(bell->items[i].domain);
        if (seat != NULL && --seat->users == 0) {
            leave(seat->domain);
        }
    }
    pthread_mutex_unlock(&bells.mutex);
    if (bell->fd >= 0) {
        close(bell->fd);
    }
    free(bell);
}

/* True if the thread has to hear of it: it has a seat that it did not know. */
static bool
listen_locked(pn_bell *bell, bool waits)
{
    int before = bells.seats_used;
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        bell_seat *seat = take_seat(item->domain);
        if (seat != NULL && !bell->seated) {
            seat->users++;
        }
        item->line = seat != NULL
                         ? pn_listen_begin(item->domain, item->offset, item->want, seat->line)
                         : PN_NO_LINE;
        item->heard = 0;
        item->wait = waits ? pn_wait_begin(item->domain, item->offset, PN_WAIT_MANY) : NULL;
        bells.deaf += item->line == PN_NO_LINE;
        atomic_fetch_add(&item->domain->bells, 1);
    }
    bell->seated = true;
    bell->armed = true;
    bells.armed++;
    return bells.seats_used != before || bells.deaf > 0;
}

int
pn_bell_arm(pn_bell *bell, bool waits)
{
    int error = 0;
    pthread_mutex_lock(&bells.mutex);
    if (bell->fd < 0) {
        bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        error = bell->fd < 0 ? errno : 0;
    }
    if (error == 0 && !bell->armed) {
        bool is_news = listen_locked(bell, waits);
        serve(bell, false);
        error = start_locked();
        if (error != 0) {
            disarm_locked(bell);
        } else if (is_news || bell->rung) {
            poke();
        }
    }
    int fd = error == 0 ? bell->fd : -1;
    pthread_mutex_unlock(&bells.mutex);
    errno = error;
    return fd;
}

void
pn_bell_clear(pn_bell *bell)
{
    pthread_mutex_lock(&bells.mutex);
    if (bell->armed) {
        set_rung(bell, !bell->edge && any_ready(bell));
    }
    pthread_mutex_unlock(&bells.mutex);
}

void
pn_bell_settle_slow(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&bells.mutex);
    for (pn_bell *bell = bells.all; bell != NULL; bell = bell->next) {
        for (size_t i = 0; bell->rung && !bell->edge && i < bell->count; i++) {
            if (bell->items[i].offset == offset && bell->items[i].domain == domain) {
                set_rung(bell, any_ready(bell));
            }
        }
    }
    pthread_mutex_unlock(&bells.mutex);
}
