/* The process table of a domain: one line per process that uses it.
 *
 *   FREE -> STARTING (reserved by the parent) -> LIVE (claimed by the child) -> DEAD -> FREE
 *           \_______________________________________________________________/ swept
 * Swept lines of processes that were killed stay DEAD until the guardian has looked for what
 * they ran; lines of those that ended by themselves, and of processes not ours, are FREE at once.
 * A slot is named by (index, generation); generation grows each time the line is
 * used again, so what a dead process owned is never taken for its successor's.
 * A process is (pid, start time in clock ticks, start of its stack): pids come back,
 * pairs do not, and exec, which is a death here, makes a new stack. proc(5).
 */
#ifndef PN_SLOTS_H
#define PN_SLOTS_H

#include "domain.h"

typedef enum { PN_SLOT_FREE, PN_SLOT_STARTING, PN_SLOT_LIVE, PN_SLOT_DEAD } pn_slot_state;

enum {
    PN_SLOT_KEEP = 1,      /* may outlive its parent */
    PN_SLOT_PLAIN = 2,     /* a user's own fork */
    PN_SLOT_FOREIGN = 8,   /* started by the standard library */
    PN_SLOT_LEFT = 16,     /* it ended by itself: what it leaves behind is meant */
    PN_SLOT_ORPHANED = 32, /* it is ended because its parent died */
    PN_SLOT_SWEPT = 64,    /* dead, reaped, swept: kept for the guardian alone */
    PN_SLOT_REAPED = 128,  /* dead, and no parent will ask how it ended */
    PN_SLOT_CLEAN =
        256, /* it ended with exit code 0, or is about to: its leases are not redelivered */
    PN_SLOT_VISITOR = 512,    /* of another program, which uses objects of this one: find.h */
    PN_SLOT_LISTENS = 1 << 16 /* it has had a line of the table of listeners (listen.h) */
};

typedef struct pn_slot {
    pn_word state;
    pn_word generation;
    pn_word pid;
    pn_word flags;
    pn_word64 start_time; /* clock ticks after boot; 0 until known */
    pn_word parent_slot;  /* PN_SLOTS: none */
    pn_word parent_generation;
    pn_word64 report;    /* offset of the block with the child's last words, 0: none */
    int64_t reserved_at; /* ns, or when it was forked; without pid it is given up after a while */
    char name[64];
    pn_word64 stack; /* address that the kernel tells; 0: not known */
    uint8_t pad[256 - 120];
} pn_slot;

_Static_assert(sizeof(pn_slot) == 256, "slot layout is shared between processes");

/* Reserve a line for a process that is about to start. */
pn_status pn_slot_reserve(pn_domain *domain, const char *name, uint32_t flags, uint32_t *index,
                          uint32_t *generation);
/* The parent has learnt the pid. */
void pn_slot_set_pid(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t pid);
/* This process is the one: fill in pid and start time, become LIVE. PN_STALE: it came too late, the line was given up. */
pn_status pn_slot_claim(pn_domain *domain, uint32_t index, uint32_t generation);
/* Reserve and claim one for this process, which nobody has started for it. */
pn_status pn_slot_take(pn_domain *domain, uint32_t flags);
/* Add flags to the process of that generation; nothing if it is not there any more. */
void pn_slot_mark(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t flags);
/* Say how it ended (its janitor), or is about to end (itself): the last word counts. */
void pn_slot_judge(pn_domain *domain, uint32_t index, uint32_t generation, bool is_clean);
typedef enum { PN_END_CLEAN, PN_END_ABNORMAL, PN_END_UNKNOWN } pn_end;
/* How did this dead process end? `awaited`: its parent lives and will tell, so what only the process itself
 * said is not believed yet. Reads /proc. */
pn_end pn_slot_end(pn_domain *domain, uint32_t index, bool awaited);
/* Flags of the process of that generation, even if its line was swept; false if another
 * process uses the line by now. */
bool pn_slot_flags(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t *flags);
/* Leave last words in this process's line; they stay until the line is swept. */
pn_status pn_slot_set_report(pn_domain *domain, const void *words, size_t length);
/* What it left, NULL: nothing. Valid until the line is swept. */
const char *pn_slot_report(pn_domain *domain, uint32_t index, uint32_t generation, size_t *length);
/* Become the guardian, whose doorbell is the pipe `fd`; false if another one is alive. */
bool pn_guardian_claim(pn_domain *domain, uint32_t fd);
/* Is the process of this line alive? Reads /proc: 10 to 90 us. */
bool pn_slot_alive(pn_domain *domain, uint32_t index);
/* Will its parent, who lives, reap it and read its report? */
bool pn_slot_awaited(pn_domain *domain, uint32_t index);
/* pn_owner_alive of lock.h; context is the domain. */
bool pn_slot_owner_alive(void *domain, uint32_t owner);
/* Start time of a pid in clock ticks, 0 if it is gone or a zombie; PN_UNTOLD: it is there, but
 * /proc cannot be read just now (no descriptor left), and nobody is taken for dead by that. */
#define PN_UNTOLD UINT64_MAX
uint64_t pn_start_time(uint32_t pid);

#endif
