#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "children_parts.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"
#include "bell.h"
#include "sibling.h"

#define FEW 64

pn_janitor_state pn_janitor = {.mutex = PTHREAD_MUTEX_INITIALIZER, .doorbell = -1};

/* ---- the thread -------------------------------------------------------------- */

void
pn_janitor_ring(void)
{
    uint64_t one = 1;
    if (write(pn_janitor.doorbell, &one, sizeof(one)) < 0) {
        /* EAGAIN: it is ringing already */
    }
}

/* Under the mutex: the doorbell, the guardian, then every child. Their number. */
static nfds_t
list_descriptors(struct pollfd *polled, size_t capacity)
{
    nfds_t used = 0;
    polled[used++] = (struct pollfd){.fd = pn_janitor.doorbell, .events = POLLIN};
    polled[used++] =
        (struct pollfd){.fd = pn_guardian_pidfd(), .events = POLLIN}; /* -1 is skipped */
    for (pn_child *child = pn_janitor.children; child != NULL && used < capacity;
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
    for (pn_child *child = pn_janitor.children; child != NULL; child = next) {
        next = child->next;
        child->references++;
        pn_child_reap(child);
        any_traced |= child->traced && atomic_load(&child->state) == PN_CHILD_RUNNING;
        pn_child_release(child);
    }
    return any_traced;
}

static void
close_doorbell(void)
{
    if (pn_janitor.doorbell >= 0) {
        close(pn_janitor.doorbell);
        pn_janitor.doorbell = -1;
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
    pthread_mutex_lock(&pn_janitor.mutex);
    while (!pn_janitor.stopping) {
        uint64_t rings;
        if (read(pn_janitor.doorbell, &rings, sizeof(rings)) < 0) {
            rings = 0; /* EAGAIN: nobody rang */
        }
        bool any_traced = reap_all_locked();
        int wait_ms = pn_guardian_mind();
        if (any_traced) {
            wait_ms = TRACED_MS;
        }
        if (pn_janitor.children == NULL || pn_janitor.stopping) {
            break;
        }
        if (capacity < pn_janitor.count + 2) {
            capacity = (pn_janitor.count + 2) * 2;
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
        pthread_mutex_unlock(&pn_janitor.mutex);
        poll(polled, used, wait_ms);
        pthread_mutex_lock(&pn_janitor.mutex);
    }
    if (polled != few) {
        free(polled);
    }
    pn_janitor.ended = (pid_t)syscall(SYS_gettid);
    if (!pn_janitor.stopping) { /* nobody joins it: there is nothing left to do */
        pthread_detach(pthread_self());
        pn_janitor.running = false;
        close_doorbell();
    }
    pthread_mutex_unlock(&pn_janitor.mutex);
    return NULL;
}

/* Under the mutex, which is let go meanwhile: end the thread, and wait until it is gone for
 * the kernel too: pthread_join returns a little earlier, and CPython counts the threads
 * that /proc/self/stat tells before it forks. */
static void
stop_locked(void)
{
    if (pn_janitor.running && !pn_janitor.stopping) {
        pn_janitor.stopping = true;
        pn_janitor_ring();
        pthread_t thread = pn_janitor.thread;
        pthread_mutex_unlock(&pn_janitor.mutex);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&pn_janitor.mutex);
        pn_janitor.running = pn_janitor.stopping = false;
        close_doorbell();
    }
    pn_background_gone(&pn_janitor.ended);
}

void
pn_janitor_start(void)
{
    if (pn_janitor.paused || pn_janitor.children == NULL || pn_janitor.running) {
        return; /* one that is stopping is being stopped by a pause */
    }
    pn_janitor.doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pn_janitor.doorbell < 0) {
        return; /* no descriptor left: joins reap */
    }
    pn_janitor.running = pn_background_start(&pn_janitor.thread, run, NULL) == 0;
    if (!pn_janitor.running) {
        close_doorbell(); /* no memory for a thread: joins reap */
    }
}

void
pn_janitor_own_fork(bool begins)
{
    atomic_store(&pn_janitor.forking, begins ? (pid_t)pn_self()->tid : 0);
}

int
pn_janitor_other_threads(void)
{
    pthread_mutex_lock(&pn_janitor.mutex);
    pid_t ended = pn_janitor.ended; /* the kernel may not have forgotten it yet */
    int others = pn_janitor.running ? -2 : -1;
    pthread_mutex_unlock(&pn_janitor.mutex);
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

void
pn_janitor_see_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install_fork_handlers);
}

void
pn_janitor_pause(void)
{
    if (atomic_load(&pn_janitor.forking) == (pid_t)pn_self()->tid) {
        return;
    }
    pn_janitor_see_forks();
    pthread_mutex_lock(&pn_janitor.mutex);
    pn_janitor.paused++;
    stop_locked();
    pthread_mutex_unlock(&pn_janitor.mutex);
    pn_bells_pause();
}

void
pn_janitor_resume(void)
{
    if (atomic_load(&pn_janitor.forking) == (pid_t)pn_self()->tid) {
        return;
    }
    pthread_mutex_lock(&pn_janitor.mutex);
    if (pn_janitor.paused > 0) {
        pn_janitor.paused--;
    }
    pn_janitor_start();
    pthread_mutex_unlock(&pn_janitor.mutex);
    pn_bells_resume();
}

/* ---- around fork --------------------------------------------------------------- */

static void
before_fork(void)
{
    pthread_mutex_lock(&pn_janitor.mutex);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&pn_janitor.mutex);
}

/* The parent's children are not ours, nor is its thread; a guardian is minded again by
 * whoever starts a process. Descriptors of children belong to their structs. */
static void
after_fork_in_child(void)
{
    pthread_mutex_init(&pn_janitor.mutex, NULL);
    pn_child *next;
    for (pn_child *child = pn_janitor.children; child != NULL; child = next) {
        next = child->next;
        child->next = NULL;
        child->domain->pins--;
        pn_child_release(child);
    }
    pn_janitor.children = NULL;
    pn_janitor.count = 0;
    pn_janitor.paused = 0;
    atomic_store(&pn_janitor.forking, 0);
    pn_janitor.running = pn_janitor.stopping = false;
    pn_janitor.ended = 0;
    close_doorbell();
}
