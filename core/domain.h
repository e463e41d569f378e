/* The domain: the one shared memory of a program, a sparse sealed memfd.
 *
 *   0       header          this struct
 *   4 KiB   slots           PN_SLOTS lines of the process table   (slots.h)
 *   +       waits           PN_WAITS lines: which thread sleeps on what
 *   +       listeners       PN_LISTENERS lines: who wants to hear of what (listen.h)
 *   +       block table     one entry per heap page               (heap.h)
 *   +       heap            blocks of whole pages
 *
 * Everything in it is named by its offset from the start; addresses differ from
 * process to process. Space is allocated with fallocate before it is touched, so a
 * full machine is an error, never SIGBUS.
 *
 * header.lock protects: heap, slabs, slot reservation, freeing of objects. It is
 * the outermost lock of short critical sections (order: README.md) and is never
 * taken while a ring's head or tail lock is held.
 */
#ifndef PN_DOMAIN_H
#define PN_DOMAIN_H

#include <pthread.h>
#include <sys/types.h>

#include "lock.h"

#define PN_LAYOUT_VERSION 6u
#define PN_MAGIC UINT64_C(0x6e6f697373636f72) /* "rocssion" */
#define PN_PAGE 4096u
#define PN_SLOTS 1024u
#define PN_WAITS 2048u
#define PN_HINTS 128u

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t reserved;
    uint8_t uuid[16];
    uint64_t size;          /* of the memfd */
    pn_word64 max_bytes;    /* cap of committed bytes, set at creation */
    uint64_t pid_namespace; /* inode; lock words hold tids of it */
    uint64_t table_offset;
    uint64_t heap_offset;
    uint64_t heap_pages;
    pn_word64 guardian_start;
    pn_word guardian_fd;
    pn_word guardian_pid;
    pn_word guarded;     /* a guardian was asked for */
    pn_word next_slot;   /* where the search for a free line begins (a hint) */
    pn_word uncollected; /* a sweep has to look at all objects though nobody died (collect.h) */
    uint32_t pad[5];
    pn_lock lock; /* at 128 */
    /* all below: under lock */
    uint64_t top;             /* pages below are tiled by blocks, above never used */
    uint64_t table_committed; /* bytes of the block table that are allocated */
    pn_word64 committed;      /* bytes of allocated space; recomputed after a death */
    pn_word64 warm;           /* bytes of FREE blocks that kept their pages */
    /* No FREE block of size class k or more below page hint[k], at which a block begins. */
    uint64_t hint[PN_HINTS];
    pn_word64 slabs[2];         /* the newest slab of small, of large cells (slab.h) */
    uint64_t slab_hint[2];      /* where the search for a free cell begins */
    uint64_t scans;             /* 4 more with each walk that marks what records name: collect.c */
    _Atomic int64_t last_sweep; /* a hint */
} pn_header;

_Static_assert(offsetof(pn_header, lock) == 128, "domain layout is shared between processes");
_Static_assert(sizeof(pn_header) <= PN_PAGE, "the header is one page");

struct pn_slot;
struct pn_wait;
struct pn_listener;
struct pn_block;

typedef struct pn_held {
    uint64_t offset;
    uint32_t count;
    bool is_handed; /* to children that this process forks, for their use (pipe.h) */
} pn_held;

/* This process's view of a domain. Private memory. */
typedef struct pn_domain {
    char *base;
    pn_header *header;
    struct pn_slot *slots;
    struct pn_wait *waits;
    struct pn_listener *listeners;
    struct pn_block *blocks;
    size_t size;
    int fd;
    uint32_t slot; /* own line of the table, PN_SLOTS: none */
    uint32_t generation;
    /* What this process holds: held.h. */
    pthread_mutex_t mutex;
    pn_held *held;
    size_t held_used, held_capacity;
    uint32_t child_slot, child_generation; /* during a fork */
    pn_word took_leases;                   /* has this process ever had one? lease_use.c */
    bool visitor;                          /* it is another program's, and so are our children */
    bool ends_badly;                       /* this process has said so */
    char limit[112];                       /* after PN_NO_MEMORY: which limit bound, in words */
    unsigned pins; /* children.c, guardian.c need the mapping; under their mutex */
    pn_word bells; /* how many doorbells of this process are here: bell.h */
    struct pn_domain *next;
} pn_domain;

/* Make one. size 0: the largest of 64 GiB, 16 GiB, ... 256 MiB that the limits of
 * this process allow; max_bytes 0: half of the machine's memory. */
pn_status pn_domain_create(pn_domain **result, uint64_t size, uint64_t max_bytes,
                           const uint8_t uuid[16]);
/* Map the memfd `fd`; the descriptor becomes the domain's on success. */
pn_status pn_domain_attach(pn_domain **result, int fd);
/* What the memfd `fd` is, before it is mapped: PN_LAYOUT if it is no domain at all. */
typedef struct {
    uint8_t uuid[16];
    uint32_t version;
    uint64_t pid_namespace;
} pn_identity;
pn_status pn_domain_identify(int fd, pn_identity *identity);
/* Unmap and close. Only when no object of it is in use; a pinned one stays. A visitor gives up its line. */
void pn_domain_close(pn_domain *domain);

/* The child of this thread's next fork() is the one for which the slot was reserved. (A vfork,
 * as subprocess and spawn use it, runs no handlers: it is not such a fork.) */
void pn_domain_arm_fork(pn_domain *domain, uint32_t slot, uint32_t generation);

static inline void *
pn_at(const pn_domain *domain, uint64_t offset)
{
    return domain->base + offset;
}

static inline uint64_t
pn_offset(const pn_domain *domain, const void *address)
{
    return (uint64_t)((const char *)address - domain->base);
}

/* Take and leave header.lock; repairs what a dead owner left of the hints. */
pn_status pn_domain_enter(pn_domain *domain);
void pn_domain_leave(pn_domain *domain);

/* Allocate the bytes of [offset, offset+length) if the budget allows. Under lock. */
pn_status pn_domain_commit(pn_domain *domain, uint64_t offset, uint64_t length);
void pn_domain_punch(pn_domain *domain, uint64_t offset, uint64_t length);

#endif
