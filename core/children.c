#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "children.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bell.h"
#include "detached.h"
#include "proc.h"
#include "sibling.h"
#include "slots.h"
#include "sweep.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define STACK_BYTES (128 * 1024)
#define FEW 64
#define TRACED_MS 20
#define OOM_LOOK_NS 1000000000LL
#define GONE_TURNS 10000      /* a bound, should the tid be another thread's already */
#define GUARDIAN_RETRY_MS 200 /* how long a new guardian may take before another is tried */

/* All that this process has of one kind; the mutex guards it. */
static struct {
    pthread_mutex_t mutex;
    pn_child *children; /* not reaped yet */
    size_t count;
    unsigned paused;
    _Atomic pid_t forking; /* the thread that is in a fork of ours */
    bool running;
    bool stopping; /* somebody is joining the thread */
    pthread_t thread;
    pid_t ended;  /* tid of the last thread that ended, until it is seen to be gone */
    int doorbell; /* eventfd: look at the list again */
    /* the guardian's command, kept for the day on which it dies */
    char **argv;
    pn_domain *guarded;
    int guardian; /* its pidfd, -1: not known */
    int64_t guardian_tried;
    int64_t oom_looked; /* when oom_kills was read */
    uint64_t oom_kills;
} janitor = {.mutex = PTHREAD_MUTEX_INITIALIZER, .doorbell = -1, .guardian = -1};

static int
open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* O_CLOEXEC always */
}

/* Under the mutex: the same, not older than a second, as reading it takes 35 us. */
static uint64_t
recent_oom_kills(void)
{
    int64_t now = pn_now();
    if (janitor.oom_looked == 0 || now - janitor.oom_looked > OOM_LOOK_NS) {
        janitor.oom_looked = now;
        janitor.oom_kills = pn_oom_kills();
    }
    return janitor.oom_kills;
}

/* ---- reaping ------------------------------------------------------------- */

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
    for (pn_child **at = &janitor.children; *at != NULL; at = &(*at)->next) {
        if (*at == child) {
            *at = child->next;
            janitor.count--;
            return;
        }
    }
}

static void
release_locked(pn_child *child)
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

static void
ring(void)
{
    uint64_t one = 1;
    if (write(janitor.doorbell, &one, sizeof(one)) < 0) {
        /* EAGAIN: it is ringing already */
    }
}

/* Under the mutex: reap it if it has ended. The caller has a reference. */
static void
reap_locked(pn_child *child)
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
        janitor.oom_looked = 0;
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
    release_locked(child);
    if (janitor.children == NULL && janitor.running) {
        /* The janitor may be on its way to sleep on the pidfd that was closed here, and whose number is another
         * file's by now: it would sleep until the next start. */
        ring();
    }
}

/* ---- the guardian ---------------------------------------------------------- */

/* Under the mutex: is it alive? Start one if not. How long until the next look, ms. */
static int
mind_guardian(void)
{
    if (janitor.argv == NULL) {
        return -1;
    }
    if (janitor.guardian >= 0) {
        struct pollfd ended = {.fd = janitor.guardian, .events = POLLIN};
        if (poll(&ended, 1, 0) == 0) {
            return -1;
        }
        close(janitor.guardian);
        janitor.guardian = -1;
    }
    pn_header *header = janitor.guarded->header;
    pid_t pid = (pid_t)atomic_load(&header->guardian_pid);
    int pidfd = pid != 0 ? open_pidfd(pid) : -1;
    if (pidfd >= 0 && pn_start_time((uint32_t)pid) == atomic_load(&header->guardian_start)) {
        janitor.guardian = pidfd;
        return -1;
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    int64_t now = pn_now();
    if (now - janitor.guardian_tried > GUARDIAN_RETRY_MS * INT64_C(1000000)) {
        janitor.guardian_tried = now;
        pn_run_detached((const char *const *)janitor.argv, janitor.guarded->fd);
    }
    return GUARDIAN_RETRY_MS / 10;
}

static char **
copy_command(const char *const argv[])
{
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(argv[i]);
    }
    return copy;
}

int
pn_guardian_arm(pn_domain *domain, const char *const argv[])
{
    pthread_mutex_lock(&janitor.mutex);
    if (janitor.argv == NULL) {
        janitor.argv = copy_command(argv);
        if (janitor.argv == NULL) {
            pthread_mutex_unlock(&janitor.mutex);
            errno = ENOMEM;
            return -1;
        }
        janitor.guarded = domain;
        atomic_store(&domain->header->guarded, 1);
        domain->pins++;
        /* Long ago: the first look starts one. */
        janitor.guardian_tried = pn_now() - INT64_C(3600) * 1000000000;
    }
    mind_guardian();
    pthread_mutex_unlock(&janitor.mutex);
    return 0;
}

/* ---- the thread -------------------------------------------------------------- */

/* Under the mutex: the doorbell, the guardian, then every child. Their number. */
static nfds_t
list_descriptors(struct pollfd *polled, size_t capacity)
{
    nfds_t used = 0;
    polled[used++] = (struct pollfd){.fd = janitor.doorbell, .events = POLLIN};
    polled[used++] = (struct pollfd){.fd = janitor.guardian, .events = POLLIN}; /* -1 is skipped */
    for (pn_child *child = janitor.children; child != NULL && used < capacity;
         child = child->next) {
        polled[used++] = (struct pollfd){.fd = child->traced ? -1 : child->pidfd, .events = POLLIN};
    }
    return used;
}

/* True if one is still in the hands of a tracer, so that its pidfd says nothing. */
static bool
reap_all_locked(void)
{
    bool any_traced = false;
    pn_child *next;
    for (pn_child *child = janitor.children; child != NULL; child = next) {
        next = child->next;
        child->references++;
        reap_locked(child);
        any_traced |= child->traced && atomic_load(&child->state) == PN_CHILD_RUNNING;
        release_locked(child);
    }
    return any_traced;
}

static void
close_doorbell(void)
{
    if (janitor.doorbell >= 0) {
        close(janitor.doorbell);
        janitor.doorbell = -1;
    }
}

static void *
run(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME,
          "pn-janitor");    /* the warning of threads knows it by that: _process/threads.py */
    struct pollfd few[FEW]; /* the first malloc of a thread would make it an arena of its own */
    struct pollfd *polled = few;
    size_t capacity = FEW;
    pthread_mutex_lock(&janitor.mutex);
    while (!janitor.stopping) {
        uint64_t rings;
        if (read(janitor.doorbell, &rings, sizeof(rings)) < 0) {
            rings = 0; /* EAGAIN: nobody rang */
        }
        bool any_traced = reap_all_locked();
        int wait_ms = mind_guardian();
        if (any_traced) {
            wait_ms = TRACED_MS;
        }
        if (janitor.children == NULL || janitor.stopping) {
            break;
        }
        if (capacity < janitor.count + 2) {
            capacity = (janitor.count + 2) * 2;
            struct pollfd *larger = malloc(capacity * sizeof(*polled));
            if (larger == NULL) {
                break; /* joins go on reaping; the next start tries again */
            }
            if (polled != few) {
                free(polled);
            }
            polled = larger;
        }
        nfds_t used = list_descriptors(polled, capacity);
        pthread_mutex_unlock(&janitor.mutex);
        poll(polled, used, wait_ms);
        pthread_mutex_lock(&janitor.mutex);
    }
    if (polled != few) {
        free(polled);
    }
    janitor.ended = (pid_t)syscall(SYS_gettid);
    if (!janitor.stopping) { /* nobody joins it: there is nothing left to do */
        pthread_detach(pthread_self());
        janitor.running = false;
        close_doorbell();
    }
    pthread_mutex_unlock(&janitor.mutex);
    return NULL;
}

/* Under the mutex, which is let go meanwhile: end the thread, and wait until it is gone for
 * the kernel too: pthread_join returns a little earlier, and CPython counts the threads
 * that /proc/self/stat tells before it forks. */
static void
stop_locked(void)
{
    if (janitor.running && !janitor.stopping) {
        janitor.stopping = true;
        ring();
        pthread_t thread = janitor.thread;
        pthread_mutex_unlock(&janitor.mutex);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&janitor.mutex);
        janitor.running = janitor.stopping = false;
        close_doorbell();
    }
    for (int turn = 0; turn < GONE_TURNS && janitor.ended != 0; turn++) {
        if (syscall(SYS_tgkill, getpid(), janitor.ended, 0) != 0) {
            janitor.ended = 0;
        } else {
            sched_yield();
        }
    }
}

static void
start_locked(void)
{
    if (janitor.paused || janitor.children == NULL || janitor.running) {
        return; /* one that is stopping is being stopped by a pause */
    }
    janitor.doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (janitor.doorbell < 0) {
        return; /* no descriptor left: joins reap */
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the program's, not the janitor's */
    janitor.running = pthread_create(&janitor.thread, &attributes, run, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (!janitor.running) {
        close_doorbell(); /* no memory for a thread: joins reap */
    }
}

void
pn_janitor_own_fork(bool begins)
{
    atomic_store(&janitor.forking, begins ? (pid_t)pn_self()->tid : 0);
}

int
pn_janitor_other_threads(void)
{
    pthread_mutex_lock(&janitor.mutex);
    pid_t ended = janitor.ended; /* the kernel may not have forgotten it yet */
    int others = janitor.running ? -2 : -1;
    pthread_mutex_unlock(&janitor.mutex);
    int bells_ended; /* the doorbells' thread is none of the program's, either */
    others -= pn_bells_running(&bells_ended);
    if (pn_thread_count() + others == 0) {
        return 0; /* a folder's links are counted ten times as fast as its entries */
    }
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return -1;
    }
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        int tid = atoi(task->d_name);
        others += task->d_name[0] != '.' && tid != ended && tid != bells_ended;
    }
    closedir(tasks);
    return others;
}

static void before_fork(void);
static void after_fork_in_parent(void);
static void after_fork_in_child(void);

static void
install_fork_handlers(void)
{
    pn_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* Before the first child, and before the first pause: whoever is forked in a pause is not to be paused for ever. */
static void
see_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
}

void
pn_janitor_pause(void)
{
    if (atomic_load(&janitor.forking) == (pid_t)pn_self()->tid) {
        return;
    }
    see_forks();
    pthread_mutex_lock(&janitor.mutex);
    janitor.paused++;
    stop_locked();
    pthread_mutex_unlock(&janitor.mutex);
    pn_bells_pause();
}

void
pn_janitor_resume(void)
{
    if (atomic_load(&janitor.forking) == (pid_t)pn_self()->tid) {
        return;
    }
    pthread_mutex_lock(&janitor.mutex);
    if (janitor.paused > 0) {
        janitor.paused--;
    }
    start_locked();
    pthread_mutex_unlock(&janitor.mutex);
    pn_bells_resume();
}

/* ---- around fork --------------------------------------------------------------- */

static void
before_fork(void)
{
    pthread_mutex_lock(&janitor.mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&janitor.mutex);
}

/* The parent's children are not ours, nor is its thread; a guardian is minded again by
 * whoever starts a process. Descriptors of children belong to their structs. */
static void
after_fork_in_child(void)
{
    pthread_mutex_init(&janitor.mutex, NULL);
    pn_child *next;
    for (pn_child *child = janitor.children; child != NULL; child = next) {
        next = child->next;
        child->next = NULL;
        child->domain->pins--;
        release_locked(child);
    }
    janitor.children = NULL;
    janitor.count = 0;
    janitor.paused = 0;
    atomic_store(&janitor.forking, 0);
    janitor.running = janitor.stopping = false;
    janitor.ended = 0;
    close_doorbell();
}

/* ---- children ------------------------------------------------------------------- */

pn_child *
pn_child_watch(pn_domain *domain, uint32_t slot, uint32_t generation, pid_t pid, int64_t started)
{
    see_forks();
    pn_child *child = calloc(1, sizeof(*child));
    int pidfd = child != NULL ? open_pidfd(pid) : -1;
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
    pthread_mutex_lock(&janitor.mutex);
    child->oom_kills = recent_oom_kills();
    domain->pins++;
    child->next = janitor.children;
    janitor.children = child;
    janitor.count++;
    if (child->pidfd < 0) {
        reap_locked(child); /* somebody else reaped it already */
    }
    if (janitor.running) {
        ring();
    } else {
        start_locked();
    }
    pthread_mutex_unlock(&janitor.mutex);
    return child;
}

bool
pn_child_look(pn_child *child)
{
    if (atomic_load(&child->state) == PN_CHILD_RUNNING) {
        pthread_mutex_lock(&janitor.mutex);
        reap_locked(child);
        pthread_mutex_unlock(&janitor.mutex);
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
    pthread_mutex_lock(&janitor.mutex);
    release_locked(child);
    pthread_mutex_unlock(&janitor.mutex);
}
