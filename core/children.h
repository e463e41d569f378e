/* Our children: how each one ended, and the janitor that notices it.
 *
 * The janitor is one C thread of a process that started children. It sleeps on their
 * pidfds, reaps them, keeps how they ended, and sweeps their line of the process table. It
 * needs no interpreter, takes no signal, and waits for our pids only: children of others are
 * never touched and no SIGCHLD handler is taken. It runs while there are children, and is
 * away while the process forks. Whoever looks at a child (join) reaps it too; the mutex
 * decides who does.
 *
 * It also keeps the guardian alive: a process without parent or children that outlives
 * this one and ends what it leaves (src/procession/_process/guardian.py).
 */
#ifndef PN_CHILDREN_H
#define PN_CHILDREN_H

#include <sys/types.h>

#include "domain.h"

typedef enum {
    PN_CHILD_RUNNING,
    PN_CHILD_ENDED,
    PN_CHILD_LOST /* somebody else reaped it: how it ended is not known */
} pn_child_state;

typedef struct pn_child {
    pid_t pid;
    pid_t parent; /* after a fork the child's copy of this struct means nothing */
    int pidfd;    /* readable from the end of the child on; -1: it was gone before we looked */
    pn_domain *domain;
    uint32_t slot, generation;
    int64_t started; /* pn_now() just before it was forked */
    /* under the mutex of children_parts.h */
    unsigned references; /* the creator's, and the janitor's list's */
    struct pn_child *next;
    _Atomic bool traced; /* dead, but its tracer has not let go of it */
    /* written once, under the mutex, before the state says ENDED */
    _Atomic pn_child_state state;
    int code; /* of exit, or the signal's number */
    bool signalled, core_dumped;
    bool orphaned;      /* SIGKILL, because it had lost its parent */
    bool out_of_memory; /* SIGKILL, and the kernel killed for want of memory meanwhile */
    int64_t ended;
    int64_t run_ns, ready_ns; /* on a CPU; waiting for one (of its main thread) */
    int64_t user_us, system_us;
    int64_t max_rss; /* bytes */
    char *report;    /* its last words, malloc'ed; NULL: none */
    size_t report_length;
    uint64_t oom_kills; /* of the machine, when it started */
} pn_child;

/* Watch a child of this process from now on. NULL with errno: there was no memory or no
 * descriptor for that, and the child was killed. */
pn_child *pn_child_watch(pn_domain *domain, uint32_t slot, uint32_t generation, pid_t pid,
                         int64_t started);
/* Has it ended? Reaps it if so. False in any process but its parent. */
bool pn_child_look(pn_child *child);
/* Sleep until it has ended or `until` (pn_now()) is there: PN_OK, PN_TIMEOUT, PN_INTERRUPTED; PN_STALE in
 * a process that is not its parent. */
pn_status pn_child_wait(pn_child *child, int64_t until);
/* Send a signal to it: by pidfd, so never to a successor of its pid. 0 or -1 with errno. */
int pn_child_signal(pn_child *child, int signal);
/* The creator lets go of it. The janitor goes on watching it. */
void pn_child_drop(pn_child *child);

/* Let no janitor run (before the fork of somebody who counts threads), and let it run again.
 * Calls nest. Nothing happens in a thread that is in a fork of ours: the fork handlers keep
 * the janitor out of the way for the fork itself, and to stop it would mean to wait for it. */
void pn_janitor_pause(void);
void pn_janitor_resume(void);
void pn_janitor_own_fork(bool begins);
/* How many threads this process has besides the calling one and the janitor; -1: not told. */
int pn_janitor_other_threads(void);

/* Keep a guardian of this domain running: `argv` is executed apart from this process with
 * the domain's memfd as descriptor 3. Called again it only checks. -1 with errno. */
int pn_guardian_arm(pn_domain *domain, const char *const argv[]);

#endif
