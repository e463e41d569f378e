/* The dictionary: a hash table in shared memory, in order of insertion.
 *
 *  256  lock     everybody, readers too, one at a time
 *  320  table    offset of the block with everything in it: its store commits a rebuild
 *
 * A table is {numbers} | index | rows | log:
 *   log     entries, one after the other, never moved; what no row names is garbage
 *   rows    u64: where its entry stands in the block (40 bits) | bits of its hash, 0: no item. The truth, in
 *           order of insertion: an item is there if a row from `floor` on names its entry
 *   index   u32 by hash, open addressing: row + 1, 0: never used. A hint where to look: what it points to may be
 *           gone, or be another item by now
 *
 * Each change is one 8-byte store under the lock:
 *   set       the row, which names the new entry; or, where old and new value are records of one word, that
 *             word in the entry
 *   remove    the row, which is 0
 *   clear     `floor`, below which no row counts
 *   rebuild   `table`: a block without the garbage
 * `rows_used`, `log_used` and `index_used` grow BEFORE it: who dies in between leaves garbage, which goes with the
 * next rebuild. `items` and `live` are sums, written after it; who gets the lock from a dead owner adds up again.
 *
 * Memory is allocated with no lock held (the domain's comes before ours): an act that finds no room says so, and
 * comes again with a spare block. Before a rebuild is committed, its process writes itself as the old block's owner.
 */
#ifndef PN_DICT_H
#define PN_DICT_H

#include "ring.h"

typedef struct {
    pn_object object;
    pn_lock lock;
    pn_word64 table;
    uint64_t seed;   /* of the hash */
    uint64_t stamps; /* the last one given to an entry; written before the entry */
    pn_word names;   /* may a record in it name objects? Before the commit of such a one */
    uint32_t zero;
} pn_dict_cell;

_Static_assert(offsetof(pn_dict_cell, lock) == 256 && offsetof(pn_dict_cell, table) == 320,
               "dictionary layout is shared between processes");

/* In the log; 8-byte aligned. */
typedef struct {
    uint64_t hash;
    uint64_t stamp;  /* no other entry of this dictionary had it */
    uint64_t born;   /* the stamp of the first entry of this item: grows with the rows */
    uint32_t length; /* of the key's canonical form, by which keys are compared */
    uint32_t shown;  /* of the form after it, that the key is shown in; 0: it is the same */
    char key[];      /* both forms, padded; then the value: a pn_record */
} pn_dict_entry;

typedef struct {
    const char *bytes; /* both forms */
    uint32_t length, shown;
} pn_dict_key;

/* This process's view. */
typedef struct {
    pn_domain *domain;
    pn_dict_cell *cell;
    uint64_t offset;
    pn_word looks_in_vain; /* patience.h */
} pn_dict;

/* Where an iteration stands; all 0: at the beginning. */
typedef struct {
    uint64_t table; /* number of the table + 1 */
    uint64_t row;
    uint64_t born; /* of the last item that was given */
} pn_dict_cursor;

struct pn_dict_op;
typedef pn_status (*pn_dict_act)(pn_dict *dict, struct pn_dict_op *op);
/* The value that shall stand there now; `old` NULL: there is none. False: it cannot say. Called again if there was no room.
 * Under the lock. */
typedef bool (*pn_dict_edit)(const pn_record *old, uint64_t *value, void *context);
#define PN_DICT_EDITED 4u /* words of such a record, at most */

/* One call of any of the acts below. Zero what is not said. */
typedef struct pn_dict_op {
    pn_dict_act act;
    const pn_dict_key *key;
    const pn_record *record; /* to be written */
    pn_sink *sink; /* gets what is read; the process answers for what that names, until pn_decode */
    pn_dict_edit edit;
    void *context;
    uint64_t stamp, word; /* of the value that was read: pn_dict_swap compares them */
    bool found;           /* by pn_dict_add_new */
    /* of pn_dict_scan */
    pn_dict_cursor cursor;
    uint64_t most;  /* items */
    bool keys_only; /* without the values */
    bool more;      /* there are more items */
    /* of pn_dict_look */
    uint64_t items, used, bytes, rebuilds;
    /* between two tries: a block of this process's, and what there was no room for */
    uint64_t spare, need;
    pn_collect_list given_up; /* objects that an old value named */
} pn_dict_op;

/* What pn_dict_pop_last and pn_dict_scan write into the sink, before the record (if any). */
typedef struct {
    uint32_t length, shown; /* as in an entry; the bytes follow, padded */
} pn_dict_image;

pn_status pn_dict_new(pn_domain *domain, const char *name, uint64_t *offset, uint32_t *generation);
void pn_dict_open(pn_dict *dict, pn_domain *domain, uint64_t offset);

/* Without sleeping and allocating: what the act answers, PN_TOO_MANY, or PN_BUSY or PN_NEED_TABLE: then
 * call pn_dict_run. */
pn_status pn_dict_try(pn_dict *dict, pn_dict_op *op);
/* Sleeping until `deadline`: also PN_TIMEOUT, PN_NO_MEMORY, PN_TOO_BIG: nothing was changed; PN_INTERRUPTED: call it
 * again, or pn_dict_give_up. */
pn_status pn_dict_run(pn_dict *dict, pn_dict_op *op, int64_t deadline);
void pn_dict_give_up(pn_dict *dict, pn_dict_op *op);

/* --- acts ---------------------------------------------------------------- */

/* Read a value: PN_EMPTY if there is none. PN_NO_MEMORY, here and below: no private memory for the sink. */
pn_status pn_dict_get(pn_dict *dict, pn_dict_op *op);
/* Write it, whatever was there. */
pn_status pn_dict_set(pn_dict *dict, pn_dict_op *op);
/* Write it if there is none; else `found`, and it is read. */
pn_status pn_dict_add_new(pn_dict *dict, pn_dict_op *op);
/* Write it if what is there has that stamp and first word: PN_STALE if not, PN_EMPTY if nothing is there. */
pn_status pn_dict_swap(pn_dict *dict, pn_dict_op *op);
/* Write what `edit` makes of it: PN_NOTHING if it cannot say. */
pn_status pn_dict_change(pn_dict *dict, pn_dict_op *op);
/* Remove it, reading it if there is a sink: PN_EMPTY if there is none. */
pn_status pn_dict_remove(pn_dict *dict, pn_dict_op *op);
/* Remove the item that was inserted last, and read it with its key. */
pn_status pn_dict_pop_last(pn_dict *dict, pn_dict_op *op);
pn_status pn_dict_clear(pn_dict *dict, pn_dict_op *op);
/* Read the next items: each as it is at one instant. An item that is there from the first call to the last is read
 * once, whatever else happens. PN_EMPTY: no more. */
pn_status pn_dict_scan(pn_dict *dict, pn_dict_op *op);
pn_status pn_dict_look(pn_dict *dict, pn_dict_op *op);
/* The same without the lock, which is held by somebody who is stopped: as it was when he was. */
void pn_dict_peek(pn_dict *dict, pn_dict_op *op);

static inline uint64_t
pn_dict_padded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

/* --- for kind.c, under the domain's lock ------------------------------------ */

bool pn_dict_names_block(pn_domain *domain, uint64_t offset, uint64_t block);
void pn_dict_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);
/* Visit the records that name objects; false: the visitor ended it, or the lock cannot be had just now. */
bool pn_dict_walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context);

#endif
