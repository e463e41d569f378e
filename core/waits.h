/* Who sleeps on what: a table of lines, one for each thread that sleeps, written on the way to sleep only.
 *
 * A line is taken by the store of `owner` and given back by the same; the sweep of a dead process gives back its lines.
 * It may be read once `object` is there. A wait that finds no free line is seen by nobody, and waits nevertheless.
 */
#ifndef PN_WAITS_H
#define PN_WAITS_H

#include "domain.h"

typedef enum {
    PN_WAIT_NONE,
    PN_WAIT_LOCK,
    PN_WAIT_GET,
    PN_WAIT_PUT,
    PN_WAIT_EVENT,
    PN_WAIT_CONDITION,
    PN_WAIT_BARRIER,
    PN_WAIT_SEMAPHORE,
    PN_WAIT_MANY, /* one of several; a line for each of them, with the same owner */
    PN_WAIT_FILE, /* the lock of a file, which is no object of the domain: `descriptor` says which */
    PN_WAIT_KINDS
} pn_wait_kind;

#define PN_WAIT_OUTSIDE UINT64_MAX /* instead of an object's offset */

typedef struct pn_wait {
    pn_word64 owner;  /* (slot + 1) << 32 | tid; 0: this line is free */
    pn_word64 object; /* 0: it is being written */
    pn_word kind;
    pn_word sequence; /* grows each time the line is used again */
    _Atomic int64_t since;
    /* PN_WAIT_FILE: the owner's open file, and what it is; the kernel knows the path by them. */
    pn_word64 device;
    pn_word64 inode;
    pn_word descriptor;
    uint8_t pad[12];
} pn_wait;

_Static_assert(sizeof(pn_wait) == 64, "wait layout is shared between processes");

/* NULL if the table is full: then nobody sees this wait. */
pn_wait *pn_wait_begin(pn_domain *domain, uint64_t object, pn_wait_kind kind);
/* The same for the lock of an open file. */
pn_wait *pn_wait_begin_file(pn_domain *domain, int fd);
void pn_wait_end(pn_wait *wait);
/* How many threads sleep on an object. */
uint32_t pn_wait_count(pn_domain *domain, uint64_t object);
/* A copy of line `index`, if somebody waits there and it did not change meanwhile. */
bool pn_wait_read(pn_domain *domain, uint32_t index, pn_wait *copy);

#endif
