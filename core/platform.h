/* What this kernel and C library offer, probed once, and what belongs to one thread.
 *
 * Required: memfd with sealing. Optional, each replaced by shorter slices and
 * liveness checks when absent (EPERM counts as ENOSYS, seccomp filters say so):
 *   robust_list   the kernel marks locks whose owner died       get_robust_list(2)
 *   waitv         one sleep on several words                     futex_waitv, Linux 5.16
 *   pending_wake  the kernel wakes list_op_pending at death      kernel/futex/core.c, handle_futex_death
 *   siblings      a process can make children of its parent      sibling.h
 * PROCESSION_DISABLE=robust_list,waitv,pending_wake,siblings switches them off one by one.
 */
#ifndef PN_PLATFORM_H
#define PN_PLATFORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint32_t pn_word;
typedef _Atomic uint64_t pn_word64;

typedef struct {
    bool robust_list;
    bool waitv;
    bool pending_wake;
    bool siblings;
    int cpus; /* of this process's affinity mask; 1 switches spinning off */
} pn_features;

/* Mirrors struct robust_list_head of <linux/futex.h>; glibc owns the memory. */
typedef struct {
    _Atomic(void *) list;
    long futex_offset;
    _Atomic(void *) pending;
} pn_robust_head;

/* One per thread. The tid and the head are stale after fork: a pthread_atfork
 * handler clears them in the child. */
typedef struct {
    uint32_t tid; /* 0: not looked up yet */
    uint32_t held;
    pn_robust_head *head; /* NULL without robust_list */
    int64_t slice_ns;     /* upper bound of one sleep */
} pn_thread;

extern pn_features pn_platform;
extern _Thread_local pn_thread pn_self_tls __attribute__((tls_model("initial-exec")));

/* Probe the kernel. Called once per process before anything else; idempotent. */
void pn_platform_init(void);
/* Count the CPUs again (after fork, or when a caller asks). */
void pn_platform_refresh(void);
pn_thread *pn_thread_setup(void);
/* Called by the fork handler in the child. */
void pn_thread_after_fork(void);

/* pthread_atfork for a part of the core: its handlers run around a sibling's making as well,
 * which the C library does not know as a fork. At most PN_FORK_PARTS. */
enum { PN_FORK_PARTS = 4 };
void pn_at_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void));
typedef enum { PN_FORK_BEFORE, PN_FORK_IN_PARENT, PN_FORK_IN_CHILD } pn_fork_moment;
/* Run them in pthread_atfork's order. */
void pn_run_fork_handlers(pn_fork_moment moment);

static inline pn_thread *
pn_self(void)
{
    pn_thread *self = &pn_self_tls;
    return __builtin_expect(self->tid != 0, 1) ? self : pn_thread_setup();
}

static inline void
pn_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A sequentially consistent exchange is a full fence on x86, not on aarch64. */
static inline void
pn_fence_after_exchange(void)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Keeps the compiler, not the CPU, from moving accesses: enough where the only
 * observer is the kernel at the death of this very thread. */
static inline void
pn_compiler_barrier(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

#endif
