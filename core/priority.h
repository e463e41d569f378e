/* A queue that gives the smallest item first.
 *
 * Each item is an object of its own, an *entry*: its key and its record, in the cell or in a block.
 * Keys are bytes, compared as memcmp does; equal keys come in the order of their puts.
 *
 *  256  lock       putters and takers, one at a time
 *  320  lead_get   held by the one taker that may sleep on `not_empty`
 *  384  lead_put   held by the one putter that may sleep on `not_full`
 *  448  not_empty, not_full   0, or PN_WAITERS: the leader sleeps
 *  456  shut       0 | PN_SHUT | PN_SHUT_NOW
 *  460  changing   somebody is, or died, in the middle of a change
 *  464  puts       its store commits a put
 *  472  takes      its store commits a take
 *  480  index      block: a binary heap of {entry, begin of its key}
 *  488  taking_sequence, taking_number
 *
 * Which entries are in it is said by the entries and the two counters alone:
 *
 *     it names this queue, and is KEPT (object.h)
 *     and its sequence < puts                                     else its put was never committed
 *     and not (taking_number == takes and its sequence == taking_sequence)    else it was taken
 *
 * The index only says in which order, and is built anew from these after a death in a change. There
 * are always puts - takes of them: nothing is counted that a death could falsify.
 * A sleeping leader watches `puts` (`takes`) beside its own word: the kernel's wake for the dead
 * changes no word, the commit does.
 */
#ifndef PN_PRIORITY_H
#define PN_PRIORITY_H

#include "ring.h"

typedef struct {
    pn_object object;
    pn_lock lock, lead_get, lead_put;
    pn_word not_empty, not_full;
    pn_word shut;
    pn_word changing;
    pn_word64 puts, takes;
    pn_word64 index; /* offset of a block; written under lock */
    pn_word64 taking_sequence, taking_number;
    uint64_t max_items; /* 0: unbounded */
} pn_priority_cell;

_Static_assert(sizeof(pn_priority_cell) == PN_SMALL_CELL, "it fills a small cell");
_Static_assert(offsetof(pn_priority_cell, not_empty) == 448 &&
                   offsetof(pn_priority_cell, puts) == 464 &&
                   offsetof(pn_priority_cell, index) == 480,
               "layout is shared between processes");

typedef struct {
    pn_object object;
    pn_word64 block; /* offset, 0: its bytes are in the cell */
    pn_word64 queue; /* offset */
    pn_word64 sequence;
    pn_word named; /* its record's names were counted as put, and not given up */
    uint32_t key_length;
    uint64_t length; /* of all its bytes: the key, padding to 8, the record */
    uint8_t pad[24];
} pn_entry_cell;

#define PN_ENTRY_INSIDE ((uint32_t)sizeof(pn_entry_cell))
#define PN_ENTRY_SMALL (PN_SMALL_CELL - PN_ENTRY_INSIDE)

_Static_assert(sizeof(pn_entry_cell) == 320, "layout is shared between processes");

typedef struct {
    pn_domain *domain;
    pn_priority_cell *cell;
    uint64_t offset;
    pn_word pauses_in_vain; /* as in ring.h */
} pn_priority;

#define PN_KEY_LIMIT 1024u /* bytes: the most that are compared */

pn_status pn_priority_new(pn_domain *domain, const char *name, uint64_t max_items, uint64_t *offset,
                          uint32_t *generation);
void pn_priority_open(pn_priority *queue, pn_domain *domain, uint64_t offset);

/* Make an entry that is in no queue yet; this process holds it, until pn_object_drop. */
pn_status pn_entry_new(pn_priority *queue, const void *key, uint32_t key_length,
                       const pn_record *record, uint64_t *entry);
/* Put it in. Without sleeping: also PN_FULL, PN_BUSY, PN_SHUT_DOWN, PN_NO_MEMORY. */
pn_status pn_priority_try_put(pn_priority *queue, uint64_t entry);
/* Sleeping until `deadline`: also PN_TIMEOUT, PN_INTERRUPTED (nothing done: call again). */
pn_status pn_priority_put(pn_priority *queue, uint64_t entry, int64_t deadline);
/* Take the record of the smallest: appended to the sink, as pn_ring_get does. PN_EMPTY. */
pn_status pn_priority_try_get(pn_priority *queue, pn_sink *sink);
pn_status pn_priority_get(pn_priority *queue, pn_sink *sink, int64_t deadline);

static inline uint64_t
pn_priority_count(pn_priority *queue)
{
    uint64_t takes = atomic_load(&queue->cell->takes); /* first: puts only grows */
    return atomic_load(&queue->cell->puts) - takes;
}

/* Bytes of what is in it: a walk, under its lock. PN_INTERRUPTED: call again. */
pn_status pn_priority_bytes(pn_priority *queue, uint64_t *bytes);
/* As pn_ring_shut. */
void pn_priority_shut(pn_priority *queue, bool now);

/* --- for kind.c, all but the last under the domain's lock ---------------- */

bool pn_priority_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_priority_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);
bool pn_entry_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_entry_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);
/* Visit the record of an entry that is kept and names objects; false: the visitor ended it. */
bool pn_entry_walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context);
/* An item is there, there is room, or it was shut: kind.h. */
bool pn_priority_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);

#endif
