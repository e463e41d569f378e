/* What the files of children share: children.c is a child, and how it is reaped; janitor.c the thread that does it, and
 * forks; guardian.c keeps the guardian alive. */
#ifndef PN_CHILDREN_PARTS_H
#define PN_CHILDREN_PARTS_H

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "children.h"

#define TRACED_MS 20 /* how often one is looked at that is in the hands of a tracer */

/* All that this process has of one kind; the mutex guards it, and all that is declared below is called under it. */
typedef struct {
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
} pn_janitor_state;

extern pn_janitor_state pn_janitor;

static inline int
pn_open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* O_CLOEXEC always */
}

/* --- children.c --- */
/* Reap it if it has ended. The caller has a reference. */
void pn_child_reap(pn_child *child);
/* One reference less. */
void pn_child_release(pn_child *child);

/* --- janitor.c --- */
/* Before the first child, and before the first pause: whoever is forked in a pause is not to be paused for ever. Not
 * under the mutex. */
void pn_janitor_see_forks(void);
/* Start the thread, if there is a child for it. */
void pn_janitor_start(void);
/* Let it look again. */
void pn_janitor_ring(void);

/* --- guardian.c --- */
/* Is it alive? Start one if not. How long until the next look, ms; -1: for ever. */
int pn_guardian_mind(void);
/* -1: it is not known, or there is none. */
int pn_guardian_pidfd(void);

#endif
