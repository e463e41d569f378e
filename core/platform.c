#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "futex.h"
#include "lock.h"
#include "sibling.h"

pn_features pn_platform = {.cpus = 1};
_Thread_local pn_thread pn_self_tls __attribute__((tls_model("initial-exec")));

#define SLICE_NS (500 * 1000000LL)         /* nothing is known to need it: a net */
#define SLICE_DEGRADED_NS (50 * 1000000LL) /* here it stands in for the kernel's wake */

static pn_robust_head *
robust_head(void)
{
    pn_robust_head *head = NULL;
    size_t size = 0;
    if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || size != sizeof(*head)) {
        return NULL;
    }
    if (head == NULL) {
        /* musl registers the list when a robust mutex is first locked. */
        pthread_mutexattr_t attr;
        pthread_mutex_t mutex;
        pthread_mutexattr_init(&attr);
        pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
        pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
        pthread_mutex_init(&mutex, &attr);
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
        pthread_mutex_destroy(&mutex);
        pthread_mutexattr_destroy(&attr);
        if (syscall(SYS_get_robust_list, 0, &head, &size) != 0 || head == NULL) {
            return NULL;
        }
    }
    /* Our node has pthread_mutex_t's shape, because the C library writes into
     * its neighbours: another offset would mean another shape. */
    return head->futex_offset == -(long)offsetof(pn_lock, next) ? head : NULL;
}

static bool
switched_off(const char *feature)
{
    const char *list = getenv("PROCESSION_DISABLE");
    size_t length = strlen(feature);
    while (list != NULL && *list != '\0') {
        size_t word = strcspn(list, ",");
        if (word == length && strncmp(list, feature, length) == 0) {
            return true;
        }
        list += word;
        list += *list == ',';
    }
    return false;
}

void
pn_platform_refresh(void)
{
    cpu_set_t set;
    pn_platform.cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

void
pn_platform_init(void)
{
    static bool done;
    if (done) {
        return;
    }
    done = true;
    pn_platform.robust_list = !switched_off("robust_list") && robust_head() != NULL;
    pn_platform.waitv = !switched_off("waitv") && pn_futex_waitv_works();
    pn_platform.pending_wake = pn_platform.robust_list && !switched_off("pending_wake");
    pn_platform.siblings = !switched_off("siblings") && pn_sibling_possible();
    pn_platform_refresh();
}

pn_thread *
pn_thread_setup(void)
{
    pn_thread *self = &pn_self_tls;
    bool whole = pn_platform.robust_list && pn_platform.pending_wake && pn_platform.waitv;
    self->head = pn_platform.robust_list ? robust_head() : NULL;
    self->held = 0;
    if (self->slice_ns == 0 || !whole) {
        self->slice_ns = whole ? SLICE_NS : SLICE_DEGRADED_NS;
    }
    self->tid = (uint32_t)syscall(SYS_gettid);
    return self;
}

void
pn_thread_after_fork(void)
{
    pn_self_tls.tid = 0;
    pn_self_tls.head = NULL;
    pn_self_tls.held = 0;
    pn_platform_refresh();
}

/* ---- fork handlers ------------------------------------------------------- */

static struct {
    void (*run[3])(void); /* by pn_fork_moment */
} parts[PN_FORK_PARTS];
static int parts_used;

void
pn_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    if (parts_used == PN_FORK_PARTS) {
        abort(); /* a part was added to the core, and PN_FORK_PARTS not raised */
    }
    parts[parts_used].run[PN_FORK_BEFORE] = before;
    parts[parts_used].run[PN_FORK_IN_PARENT] = in_parent;
    parts[parts_used].run[PN_FORK_IN_CHILD] = in_child;
    parts_used++;
    pthread_atfork(before, in_parent, in_child);
}

void
pn_run_fork_handlers(pn_fork_moment moment)
{
    for (int i = 0; i < parts_used; i++) {
        /* What was registered last is prepared first: pthread_atfork(3). */
        parts[moment == PN_FORK_BEFORE ? parts_used - 1 - i : i].run[moment]();
    }
}
