/* The queue: a byte ring in shared memory, many producers, many consumers.
 *
 *  256  tail_lock    producers, one at a time
 *  320  tail         position of the end     written under tail_lock; its store commits a put
 *       tail_mark[2] {position, count, bytes}
 *  384  head_lock    consumers, one at a time
 *  448  head         position of the start   written under head_lock; its store commits a take
 *       head_mark[2]
 *  512  lead_get     held by the one consumer that may sleep on `not_empty`
 *  576  not_empty    0, or PN_WAITERS: the leading consumer sleeps
 *  640  lead_put     held by the one producer that may sleep on `not_full`
 *  704  not_full     0, or PN_WAITERS: the leading producer sleeps
 *  768  segment[32]  where the bytes are
 *
 * A position is segment number (24 bits) | byte number in that segment (40 bits);
 * the byte number modulo the segment's capacity is the place in its block.
 * Invariants:
 *   in one segment 0 <= tail - head <= capacity; records from head walk exactly to tail
 *   of the two marks, the one whose position equals tail (head) is valid: writing
 *   the other and then storing tail commits the count together with the bytes
 *   a sleeping leader is woken by whoever clears its word, or by the kernel if the
 *   one who should have done it died in between (list_op_pending)
 * The leader sleeps on three words, because a wake by the kernel changes none:
 * `not_empty`, the low half of tail, which the commit itself changes, and `shut`.
 * `shut` is written under tail_lock (but for PN_SHUT_NOW) and read before tail: who sees
 * it and then an empty ring has seen the last put.
 *
 * Records, 8-byte aligned: {u32 value, u8 kind, u8 flags, u16 0} [payload].
 */
#ifndef PN_RING_H
#define PN_RING_H

#include "collect.h"
#include "lease.h"

#define PN_RING_FIRST (UINT64_C(64) << 10) /* capacity of the first segment, bytes */
#define PN_RING_INLINE (PN_RING_FIRST / 4) /* a larger batch or record is refused here */
#define PN_RING_SEGMENTS 32u
#define PN_HANDLES_LIMIT 256u /* shared objects in one item, without the buffer made for it */
#define PN_TAKE_BYTES (UINT64_C(256) << 10) /* copied under the head lock at most, about */

typedef enum {
    /* value is all: 8 bytes */
    PN_RECORD_NONE = 1,
    PN_RECORD_FALSE,
    PN_RECORD_TRUE,
    PN_RECORD_INT32,
    PN_RECORD_JUMP, /* the next byte is byte 0 of segment `value` */
    /* value is the length of the payload */
    PN_RECORD_FIRST_WITH_PAYLOAD = 16,
    PN_RECORD_INT64 = 16,
    PN_RECORD_FLOAT,
    PN_RECORD_STR,
    PN_RECORD_BYTES,
    PN_RECORD_TREE, /* the codec's own form of tuples, lists, dicts of plain values */
    PN_RECORD_PICKLE,
    PN_RECORD_BESIDE,  /* a pickle, and places in buffers that hold the rest of it */
    PN_RECORD_ARRAY,   /* a numpy.ndarray whose bytes stand in the buffer that is the handle */
    PN_RECORD_MESSAGE, /* of send_bytes(): as an object it is what these bytes unpickle to */
    PN_RECORD_PAD      /* nothing, up to the end of the block */
} pn_record_kind;

enum {
    PN_RECORD_HANDLES = 1, /* payload begins with a pn_handles section */
    PN_RECORD_BUFFER = 2,  /* then comes a pn_payload_ref: the payload stands in the buffer that
                              is the first of the handles */
    PN_RECORD_ONCE = 128   /* it carries a descriptor, which unpickles once: never redelivered */
};

typedef struct pn_record {
    uint32_t value;
    uint8_t kind;
    uint8_t flags;
    uint16_t zero;
} pn_record;

/* The only way in which a record names anything. */
typedef struct {
    uint32_t count;
    uint32_t zero;
    uint64_t weight;   /* bytes of the buffers that were made for this item alone */
    uint64_t offset[]; /* of the shared objects that the item names */
} pn_handles;

typedef struct {
    uint64_t offset; /* in the buffer */
    uint64_t length;
} pn_payload_ref;

typedef struct {
    pn_word64 position, count, bytes;
} pn_mark;

typedef struct {
    pn_word64 block; /* offset */
    pn_word64 capacity;
} pn_segment;

typedef struct {
    pn_object object;
    pn_lock tail_lock;
    pn_word64 tail;
    pn_mark tail_mark[2];
    uint8_t pad_a[8];
    pn_lock head_lock;
    pn_word64 head;
    pn_mark head_mark[2];
    uint8_t pad_b[8];
    pn_lock lead_get;
    pn_word not_empty;
    uint8_t pad_c[60];
    pn_lock lead_put;
    pn_word not_full;
    pn_word shut;       /* 0 | PN_SHUT | PN_SHUT_NOW (leader.h), under tail_lock */
    uint64_t max_items; /* 0: unbounded */
    uint64_t max_bytes;
    uint8_t pad_d[40];
    pn_segment segment[PN_RING_SEGMENTS];
    /* Hint: no record with handles was ever put at or after this position. */
    pn_word64 last_handles;
    uint8_t pad_e[56];
    pn_leases leases; /* of a queue with task_done(): lease.h */
} pn_ring_cell;

_Static_assert(offsetof(pn_ring_cell, tail_lock) == 256 && offsetof(pn_ring_cell, tail) == 320 &&
                   offsetof(pn_ring_cell, head_lock) == 384 &&
                   offsetof(pn_ring_cell, head) == 448 && offsetof(pn_ring_cell, lead_get) == 512 &&
                   offsetof(pn_ring_cell, not_empty) == 576 &&
                   offsetof(pn_ring_cell, lead_put) == 640 &&
                   offsetof(pn_ring_cell, not_full) == 704 &&
                   offsetof(pn_ring_cell, segment) == 768 && offsetof(pn_ring_cell, leases) == 1344,
               "ring layout is shared between processes");

/* This process's view of one end: the segment that it is in. */
typedef struct {
    uint64_t number; /* UINT64_MAX: not looked up */
    char *bytes;
    uint64_t mask;
    uint64_t capacity;
} pn_ring_end;

typedef struct pn_ring {
    pn_domain *domain;
    pn_ring_cell *cell;
    uint64_t offset;
    /* Producers' last looks at head and at what had been taken; under tail_lock. */
    uint64_t head_seen, taken_seen, taken_bytes_seen;
    pn_word64 tail_seen; /* consumers' last look at tail; written under head_lock */
    pn_ring_end put, get;
    pn_word pauses_in_vain; /* a hint for the next wait: waits in a row that pausing did not end */
    pn_own_leases own;
} pn_ring;

/* Whole records, one after the other: committed by one store. */
typedef struct {
    const char *bytes;
    uint64_t length; /* <= PN_RING_INLINE */
    uint64_t count;
    uint64_t weight; /* what they count for max_bytes: sum of pn_record_weight */
    bool handles;
} pn_batch;

/* Where taken records go: private memory that grows. */
typedef struct pn_sink {
    char *bytes;
    uint64_t used, capacity;
    uint64_t count, limit; /* records taken, wanted */
    bool on_heap;
    /* of a queue with leases: of the first record */
    uint64_t id; /* its ordinal */
    uint32_t deliveries;
    uint64_t needs; /* PN_NEED_LEASES: an entry for so many bytes */
    bool any_lease; /* memory has ended: also a larger entry */
} pn_sink;

pn_status pn_ring_new(pn_domain *domain, const char *name, uint64_t max_items, uint64_t max_bytes,
                      uint64_t *offset, uint32_t *generation);
/* The same with leases: an item goes on waiting until pn_ring_task_done, and comes again if its consumer dies.
 * max_deliveries 0: as often as it takes. */
pn_status pn_ring_new_leased(pn_domain *domain, const char *name, uint64_t max_items,
                             uint64_t max_bytes, uint32_t max_deliveries, uint64_t *offset,
                             uint32_t *generation);
void pn_ring_open(pn_ring *ring, pn_domain *domain, uint64_t offset);

/* Without sleeping: also PN_FULL, PN_BUSY, PN_SHUT_DOWN, PN_NO_MEMORY. */
pn_status pn_ring_try_put(pn_ring *ring, const pn_batch *batch);
/* Sleeping until `deadline`: also PN_TIMEOUT, PN_INTERRUPTED (nothing done: call again). */
pn_status pn_ring_put(pn_ring *ring, const pn_batch *batch, int64_t deadline);
/* Without sleeping: also PN_EMPTY, PN_BUSY, PN_SHUT_DOWN. Appends to the sink. */
pn_status pn_ring_try_get(pn_ring *ring, pn_sink *sink);
pn_status pn_ring_get(pn_ring *ring, pn_sink *sink, int64_t deadline);

/* The other side, where it is known who that is (pipe.h). */
typedef struct {
    /* Nobody is there, or the caller is called back: asked before each look at the queue. What is in it is taken
     * all the same; else PN_SHUT_DOWN. */
    bool (*need_not_wait)(void *context);
    void (*look)(void *context); /* a slice has passed in vain */
    void *context;
} pn_ring_peer;

/* The same, with an eye on the other side. A `peer` that is woken by not_full, not_empty looks again. */
pn_status pn_ring_put_to(pn_ring *ring, const pn_batch *batch, const pn_ring_peer *peer,
                         int64_t deadline);
pn_status pn_ring_get_from(pn_ring *ring, pn_sink *sink, const pn_ring_peer *peer,
                           int64_t deadline);
/* Wait as for pn_ring_get_from, and take nothing. */
pn_status pn_ring_peek(pn_ring *ring, const pn_ring_peer *peer, int64_t deadline);

uint64_t pn_ring_count(pn_ring *ring);
uint64_t pn_ring_bytes(pn_ring *ring);
/* Nothing more may be put; with `now`, nothing more be taken either. Without `now` it
 * waits for a put that is under way, which may belong to a stopped process. */
void pn_ring_shut(pn_ring *ring, bool now);

static inline uint64_t
pn_record_size(const pn_record *record)
{
    return record->kind < PN_RECORD_FIRST_WITH_PAYLOAD
               ? sizeof(pn_record)
               : sizeof(pn_record) + ((record->value + UINT64_C(7)) & ~UINT64_C(7));
}

/* The shared objects that a record names; NULL: none. */
static inline const pn_handles *
pn_record_handles(const pn_record *record)
{
    return record->flags & PN_RECORD_HANDLES ? (const pn_handles *)(record + 1) : NULL;
}

/* What it counts for max_bytes. */
static inline uint64_t
pn_record_weight(const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    return pn_record_size(record) + (handles != NULL ? handles->weight : 0);
}

/* Before the commit of a record, after its take: for each object that it names. */
void pn_record_count_puts(pn_domain *domain, const pn_record *record);
void pn_record_count_takes(pn_domain *domain, const pn_record *record);

/* For pn_kind. An item is there, or the end of the queue; there is room for one more. PN_FOR_JOIN is no state that could be
 * looked at from outside the lock: false. */
bool pn_ring_is_ready(pn_domain *domain, uint64_t offset, uint32_t want);

/* --- for collect.c and sweep.c, under the domain's lock ----------------- */

/* Called for each record; true ends the walk. */
typedef bool (*pn_record_visit)(pn_domain *domain, uint64_t ring, const pn_record *record,
                                void *context);

/* Visit the records of a ring, if any may name objects; false as below. */
bool pn_ring_walk(pn_domain *domain, uint64_t ring, pn_record_visit visit, void *context);
/* Visit the records of all objects that have some and may name objects (kind.h). False: one could not be looked at just
 * now (a stopped process has its lock), or the visitor ended it. */
bool pn_ring_walk_all(pn_domain *domain, pn_record_visit visit, void *context);
/* Does a record of any other object name the object (or is that unknown just now)? */
bool pn_ring_any_names_object(pn_domain *domain, uint64_t object);
/* Is the block a segment in use? */
bool pn_ring_names_block(pn_domain *domain, uint64_t ring, uint64_t block);
/* Empty a ring that nobody holds any more and free its blocks. What its records named is to
 * be looked at by the caller. */
void pn_ring_discard(pn_domain *domain, uint64_t ring, pn_collect_list *named);

#endif
