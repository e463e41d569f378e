#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sibling.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "domain.h"
#include "slots.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#define FLAGS (CLONE_PARENT | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID)
/* In glibc's struct pthread: pid_t tid, a second word, a pointer, the head of the robust list. */
#define TID_BEFORE_HEAD (2 * sizeof(void *))

static pid_t *thread_id; /* where the C library keeps the main thread's; NULL: not known */

static pn_robust_head *
robust_head(void)
{
    pn_robust_head *head = NULL;
    size_t size = 0;
    bool told = syscall(SYS_get_robust_list, 0, &head, &size) == 0 && size == sizeof(*head);
    return told ? head : NULL;
}

bool
pn_sibling_possible(void)
{
#if defined(__x86_64__) || defined(__aarch64__)
    pid_t self = (pid_t)syscall(SYS_gettid), *at = NULL;
    pn_robust_head *head = robust_head();
    if (self != getpid() || head == NULL) {
        return thread_id != NULL; /* the id of the main thread is in another thread's memory */
    }
    if (prctl(PR_GET_TID_ADDRESS, &at, 0, 0, 0) != 0 ||
        at == NULL) { /* CONFIG_CHECKPOINT_RESTORE */
        at = (pid_t *)((char *)head - TID_BEFORE_HEAD);
    }
    thread_id = *at == self ? at : NULL;
    return thread_id != NULL;
#else
    return false; /* the order of clone's arguments differs, and nobody has tried it */
#endif
}

int
pn_thread_count(void)
{
    struct stat info; /* of a folder: each entry counts as a link */
    return stat("/proc/self/task", &info) == 0 ? (int)info.st_nlink - 2 : -1;
}

static pid_t
clone_parent(pn_word *pid)
{
#if defined(__x86_64__)
    return (pid_t)syscall(SYS_clone, FLAGS | SIGCHLD, NULL, pid, thread_id, NULL);
#elif defined(__aarch64__)
    return (pid_t)syscall(SYS_clone, FLAGS | SIGCHLD, NULL, pid, NULL, thread_id);
#else
    (void)pid;
    errno = ENOSYS;
    return -1;
#endif
}

/* What fork() of the C library does in its child, as far as a process of one thread needs it. */
static void
begin(pn_robust_head *head)
{
    /* The neighbours of an empty list are the head itself: what we held, our parent's child does not. */
    if ((char *)thread_id == (char *)head - TID_BEFORE_HEAD) {
        ((pn_robust_head **)head)[-1] = head;
    }
    atomic_store(&head->list, head);
    atomic_store(&head->pending, NULL);
    syscall(SYS_set_robust_list, head, sizeof(*head));
}

pid_t
pn_sibling(pn_domain *domain, uint32_t index, uint32_t generation)
{
    pn_robust_head *head = robust_head();
    if (!pn_platform.siblings || head == NULL || (pid_t)syscall(SYS_gettid) != *thread_id) {
        errno = ENOSYS;
        return -1;
    }
    if (pn_thread_count() > 1) {
        errno = EBUSY;
        return -1;
    }
    pn_slot *slot = &domain->slots[index];
    uint32_t nobody = 0;
    /* This writes, so that the kernel, which tries but once, finds the page there. */
    if (!atomic_compare_exchange_strong(&slot->pid, &nobody, 0) ||
        atomic_load(&slot->generation) != generation ||
        atomic_load(&slot->state) != PN_SLOT_STARTING) {
        errno = ESTALE;
        return -1;
    }
    pn_domain_arm_fork(domain, index, generation);
    pn_run_fork_handlers(PN_FORK_BEFORE);
    /* A SIGKILL before this call: no child. Within it and after: the child, and its pid in the line. */
    pid_t pid = clone_parent(&slot->pid);
    if (pid == 0) {
        if (atomic_load(&slot->pid) != (uint32_t)getpid()) {
            _exit(1); /* the kernel could not write: our parent has never heard of this process */
        }
        begin(head);
        pn_run_fork_handlers(PN_FORK_IN_CHILD);
        return 0;
    }
    int error = errno;
    pn_run_fork_handlers(PN_FORK_IN_PARENT);
    errno = error;
    return pid;
}
