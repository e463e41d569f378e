/* What the files of the dictionary share: dict_table.c finds, writes and rebuilds, dict.c acts and waits,
 * dict_look.c reads many, walks and frees. All with the dictionary's lock held.
 */
#ifndef PN_DICT_TABLE_H
#define PN_DICT_TABLE_H

#include "dict.h"

#define PN_DICT_LEAST (UINT64_C(16) << 10) /* bytes of the smallest table */
#define PN_DICT_LEAST_ROWS 128u

/* The beginning of a block. Offsets are from there. */
typedef struct {
    uint64_t number;          /* 0, 1, 2 ...: how many this dictionary had before */
    uint64_t bytes;           /* of the block */
    uint64_t rows_at, log_at; /* the index comes at once */
    uint32_t slots, rows;     /* of the index: a power of two; rows that there are */
    pn_word64 floor;          /* no row below it counts */
    uint64_t rows_used;       /* grow before a commit */
    uint64_t log_used;        /* bytes */
    uint64_t index_used;      /* slots that are not 0, or more */
    uint64_t items, live;     /* sums: rows that count, bytes of their entries */
} pn_dict_table;

/* What was found. */
typedef struct {
    bool found;
    uint64_t row;         /* if it was */
    pn_dict_entry *entry; /* the same */
    uint64_t slot;        /* if not: where it may be noted */
    uint64_t hash;
} pn_dict_place;

static inline pn_dict_table *
pn_dict_table_of(const pn_dict *dict)
{
    return pn_at(dict->domain, atomic_load_explicit(&dict->cell->table, memory_order_relaxed));
}

static inline uint32_t *
pn_dict_index(pn_dict_table *table)
{
    return (uint32_t *)(table + 1);
}

static inline pn_word64 *
pn_dict_rows(pn_dict_table *table)
{
    return (pn_word64 *)((char *)table + table->rows_at);
}

#define PN_DICT_PLACE_BITS 40

static inline pn_dict_entry *
pn_dict_entry_at(pn_dict_table *table, uint64_t row_word)
{
    return (pn_dict_entry *)((char *)table +
                             (row_word & ((UINT64_C(1) << PN_DICT_PLACE_BITS) - 1)));
}

/* What a row says: 0 if there is no item. */
static inline uint64_t
pn_dict_row(pn_dict_table *table, uint64_t row)
{
    return atomic_load_explicit(&pn_dict_rows(table)[row], memory_order_relaxed);
}

static inline uint64_t
pn_dict_floor(pn_dict_table *table)
{
    return atomic_load_explicit(&table->floor, memory_order_relaxed);
}

static inline uint64_t
pn_dict_key_size(const pn_dict_entry *entry)
{
    return pn_dict_padded((uint64_t)entry->length + entry->shown);
}

static inline pn_record *
pn_dict_value(pn_dict_entry *entry)
{
    return (pn_record *)(entry->key + pn_dict_key_size(entry));
}

static inline uint64_t
pn_dict_entry_size(pn_dict_entry *entry)
{
    return sizeof(*entry) + pn_dict_key_size(entry) + pn_record_size(pn_dict_value(entry));
}

/* --- dict_table.c --- */

uint64_t pn_dict_hash(const pn_dict *dict, const pn_dict_key *key);
/* Bytes of a table that has room for what is in `table` and an entry of `need` more, and as much again; `tight`:
 * for little more than that. */
uint64_t pn_dict_plan(pn_dict_table *table, uint64_t need, bool tight);
/* Lay out an empty table in a block. */
void pn_dict_lay_out(pn_dict_table *table, uint64_t bytes, uint64_t rows, uint64_t number);
pn_dict_place pn_dict_find(pn_dict *dict, const pn_dict_key *key);
/* Write a value for the key at the place: PN_OK or PN_NEED_TABLE. The objects of an old one are noted in
 * op->given_up. */
pn_status pn_dict_write(pn_dict *dict, pn_dict_op *op, pn_dict_place *place,
                        const pn_record *record);
/* Take the item of a row away. Its value's objects are noted in `given_up`, or (NULL) answered for by the caller. */
void pn_dict_take_away(pn_dict *dict, uint64_t row, pn_collect_list *given_up);
/* Move everything into op->spare, if there is one with room for `need` more; the old block is the spare then. */
bool pn_dict_rebuild(pn_dict *dict, pn_dict_op *op, uint64_t need);
/* Add up again: the last owner of the lock died. */
void pn_dict_repair(pn_dict *dict);
/* Nothing is in it: all rows, the index and the log begin anew. */
void pn_dict_begin_anew(pn_dict_table *table);
/* Is most of it empty? */
bool pn_dict_is_wide(pn_dict_table *table);

/* --- dict.c --- */

/* Copy a record to the sink; the process answers for what it names. False: no private memory. */
bool pn_dict_copy_record(pn_dict *dict, const pn_record *record, pn_sink *sink);
/* Note the objects that a record names; count the takes after it is gone. */
void pn_dict_note_names(const pn_record *record, pn_collect_list *list);
/* Take the lock until `deadline`, and repair: PN_OK, PN_TIMEOUT, PN_INTERRUPTED, PN_TOO_MANY. */
pn_status pn_dict_enter(pn_dict *dict, int64_t deadline);

#endif
