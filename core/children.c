#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "children_parts.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "slots.h"
#include "sweep.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define OOM_LOOK_NS 1000000000LL

/* Under the mutex: when oom_kills was read. */
static int64_t oom_looked;
static uint64_t oom_kills;

/* ---- reaping ------------------------------------------------------------- */

/* Under the mutex: pn_oom_kills(), not older than a second, as reading it takes 35 us. */
static uint64_t
recent_oom_kills(void)
{
    int64_t now = pn_now();
    if (oom_looked == 0 || now - oom_looked > OOM_LOOK_NS) {
        oom_looked = now;
        oom_kills = pn_oom_kills();
    }
    return oom_kills;
}

/* Its last words are in the domain; the sweep of its line would free them. */
static void
keep_report(pn_child *child)
{
    size_t length;
    const char *words = pn_slot_report(child->domain, child->slot, child->generation, &length);
    child->report = words != NULL ? malloc(length ? length : 1) : NULL;
    if (child->report != NULL) {
        memcpy(child->report, words, length);
        child->report_length = length;
    }
}

static int64_t
microseconds(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

static void
unlist(pn_child *child)
{
    for (pn_child **at = &pn_janitor.children; *at != NULL; at = &(*at)->next) {
        if (*at == child) {
            *at = child->next;
            pn_janitor.count--;
            return;
        }
    }
}

void
pn_child_release(pn_child *child)
{
    if (--child->references > 0) {
        return;
    }
    if (child->pidfd >= 0) {
        close(child->pidfd);
    }
    free(child->report);
    free(child);
}

void
pn_child_reap(pn_child *child)
{
    if (atomic_load(&child->state) != PN_CHILD_RUNNING || child->parent != getpid()) {
        return;
    }
    siginfo_t info = {0};
    struct rusage usage = {0};
    long result = -1;
    errno = ECHILD;
    if (child->pidfd >= 0) {
        struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
        if (poll(&ended, 1, 0) == 0) {
            return;
        }
        pn_run_times(child->pid, &child->run_ns, &child->ready_ns);
        result = syscall(SYS_waitid, P_PIDFD, child->pidfd, &info, WEXITED | WNOHANG, &usage);
    }
    if (result == 0 && info.si_pid == 0) {
        child->traced = true; /* its tracer has not let go of it yet: ptrace(2) */
        return;
    }
    child->ended = pn_now();
    child->code = info.si_status;
    child->signalled = info.si_code != CLD_EXITED;
    child->core_dumped = info.si_code == CLD_DUMPED;
    if (child->signalled && info.si_status == SIGKILL && result == 0) {
        oom_looked = 0;
        child->out_of_memory = recent_oom_kills() > child->oom_kills;
    }
    child->user_us = microseconds(usage.ru_utime);
    child->system_us = microseconds(usage.ru_stime);
    child->max_rss = usage.ru_maxrss * INT64_C(1024);
    uint32_t flags;
    child->orphaned = pn_slot_flags(child->domain, child->slot, child->generation, &flags) &&
                      (flags & PN_SLOT_ORPHANED) && info.si_status == SIGKILL;
    keep_report(child);
    if (result == 0) { /* the last word, whatever it said itself, or could not say */
        pn_slot_judge(child->domain, child->slot, child->generation,
                      !child->signalled && child->code == 0);
    }
    pn_sweep_reaped(child->domain, child->slot, child->generation);
    atomic_store(&child->state, result == 0 ? PN_CHILD_ENDED : PN_CHILD_LOST);
    unlist(child);
    child->domain->pins--;
    pn_child_release(child);
    if (pn_janitor.children == NULL && pn_janitor.running) {
        /* The janitor may be on its way to sleep on the pidfd that was closed here, and whose number is another
         * file's by now: it would sleep until the next start. */
        pn_janitor_ring();
    }
}

/* ---- children ------------------------------------------------------------------- */

pn_child *
pn_child_watch(pn_domain *domain, uint32_t slot, uint32_t generation, pid_t pid, int64_t started)
{
    pn_janitor_see_forks();
    pn_child *child = calloc(1, sizeof(*child));
    int pidfd = child != NULL ? pn_open_pidfd(pid) : -1;
    if (child == NULL || (pidfd < 0 && errno != ESRCH)) {
        int error = errno;
        kill(pid, SIGKILL); /* not reaped yet, so nobody else has this pid */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        free(child);
        errno = error;
        return NULL;
    }
    child->pid = pid;
    child->parent = getpid();
    child->pidfd = pidfd;
    child->domain = domain;
    child->slot = slot;
    child->generation = generation;
    child->started = started;
    child->references = 2;
    pthread_mutex_lock(&pn_janitor.mutex);
    child->oom_kills = recent_oom_kills();
    domain->pins++;
    child->next = pn_janitor.children;
    pn_janitor.children = child;
    pn_janitor.count++;
    if (child->pidfd < 0) {
        pn_child_reap(child); /* somebody else reaped it already */
    }
    if (pn_janitor.running) {
        pn_janitor_ring();
    } else {
        pn_janitor_start();
    }
    pthread_mutex_unlock(&pn_janitor.mutex);
    return child;
}

bool
pn_child_look(pn_child *child)
{
    if (atomic_load(&child->state) == PN_CHILD_RUNNING) {
        pthread_mutex_lock(&pn_janitor.mutex);
        pn_child_reap(child);
        pthread_mutex_unlock(&pn_janitor.mutex);
    }
    return atomic_load(&child->state) != PN_CHILD_RUNNING;
}

pn_status
pn_child_wait(pn_child *child, int64_t until)
{
    for (;;) {
        if (pn_child_look(child)) {
            return PN_OK;
        }
        if (child->parent != getpid()) {
            return PN_STALE;
        }
        int64_t left = until == PN_FOREVER ? -1 : until - pn_now();
        if (until != PN_FOREVER && left <= 0) {
            return PN_TIMEOUT;
        }
        struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
        if (child->traced) {
            ended.fd = -1;
            left = left < 0 || left > TRACED_MS * INT64_C(1000000) ? TRACED_MS * INT64_C(1000000)
                                                                   : left;
        }
        struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        if (ppoll(&ended, 1, left < 0 ? NULL : &time, NULL) < 0 && errno == EINTR) {
            return pn_child_look(child) ? PN_OK : PN_INTERRUPTED;
        }
    }
}

int
pn_child_signal(pn_child *child, int signal)
{
    if (child->pidfd < 0) {
        errno = ESRCH;
        return -1;
    }
    return (int)syscall(SYS_pidfd_send_signal, child->pidfd, signal, NULL, 0);
}

void
pn_child_drop(pn_child *child)
{
    pthread_mutex_lock(&pn_janitor.mutex);
    pn_child_release(child);
    pthread_mutex_unlock(&pn_janitor.mutex);
}
