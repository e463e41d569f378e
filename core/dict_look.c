#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "dict_table.h"
#include "heap.h"
#include "ring_private.h"

#define LOOK_NS (20 * 1000000LL)        /* how long the sweep waits for a dictionary's lock */
#define SCAN_BYTES (UINT64_C(64) << 10) /* read in one go at most, about, if not all is wanted */

/* ---- reading many ---------------------------------------------------------------- */

static bool
copy_key(const pn_dict_entry *entry, pn_sink *sink)
{
    uint64_t size = pn_dict_key_size(entry);
    if (!pn_sink_reserve(sink, sizeof(pn_dict_image) + size)) {
        return false;
    }
    pn_dict_image image = {.length = entry->length, .shown = entry->shown};
    memcpy(sink->bytes + sink->used, &image, sizeof(image));
    memcpy(sink->bytes + sink->used + sizeof(image), entry->key, size);
    sink->used += sizeof(image) + size;
    return true;
}

pn_status
pn_dict_pop_last(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    uint64_t row = table->rows_used, floor = pn_dict_floor(table);
    while (row > floor && pn_dict_row(table, row - 1) == 0) {
        row--; /* who died before he was done left such rows */
    }
    if (row == floor) {
        return PN_EMPTY;
    }
    row--;
    pn_dict_entry *entry = pn_dict_entry_at(table, pn_dict_row(table, row));
    if (!copy_key(entry, op->sink) || !pn_dict_copy_record(dict, pn_dict_value(entry), op->sink)) {
        return PN_NO_MEMORY;
    }
    pn_dict_take_away(dict, row, NULL);
    return PN_OK;
}

/* The first row that may have what is to be read next. */
static uint64_t
first_row(pn_dict_table *table, const pn_dict_cursor *cursor)
{
    uint64_t row = pn_dict_floor(table);
    if (cursor->table == table->number + 1) {
        return cursor->row > row ? cursor->row : row;
    }
    /* Rows have moved, in the same order. */
    while (row < table->rows_used && cursor->born != 0) {
        uint64_t word = pn_dict_row(table, row);
        if (word != 0 && pn_dict_entry_at(table, word)->born > cursor->born) {
            break;
        }
        row++;
    }
    return row;
}

pn_status
pn_dict_scan(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    pn_sink *sink = op->sink;
    uint64_t row = first_row(table, &op->cursor), count = 0;
    op->more = false;
    for (; row < table->rows_used; row++) {
        uint64_t word = pn_dict_row(table, row);
        if (word == 0) {
            continue;
        }
        if (count == op->most || (op->most != UINT64_MAX && sink->used > SCAN_BYTES)) {
            op->more = true;
            break;
        }
        pn_dict_entry *entry = pn_dict_entry_at(table, word);
        uint64_t before = sink->used;
        if (!copy_key(entry, sink) ||
            (!op->keys_only && !pn_dict_copy_record(dict, pn_dict_value(entry), sink))) {
            sink->used = before;
            op->more = true;
            if (count == 0 || op->most == UINT64_MAX) {
                return PN_NO_MEMORY; /* what is in the sink is the caller's */
            }
            break;
        }
        op->cursor.born = entry->born;
        count++;
    }
    op->cursor.table = table->number + 1;
    op->cursor.row = row;
    return count != 0 ? PN_OK : PN_EMPTY;
}

static void
read_sums(pn_dict_table *table, pn_dict_op *op)
{
    op->items = table->items;
    op->used = table->live;
    op->bytes = table->bytes;
    op->rebuilds = table->number;
}

pn_status
pn_dict_look(pn_dict *dict, pn_dict_op *op)
{
    read_sums(pn_dict_table_of(dict), op);
    return PN_OK;
}

void
pn_dict_peek(pn_dict *dict, pn_dict_op *op)
{
    uint64_t at;
    do { /* a block that was given back meanwhile is still mapped */
        at = atomic_load(&dict->cell->table);
        read_sums(pn_at(dict->domain, at), op);
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&dict->cell->table) != at);
}

/* ---- walking ------------------------------------------------------------------------ */

/* Visit the records that name objects, of the rows from `row` to `end`: true if the visitor ended it. */
static bool
visit_rows(pn_dict *dict, uint64_t row, uint64_t end, pn_record_visit visit, void *context)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    for (; row < end; row++) {
        uint64_t word = pn_dict_row(table, row);
        const pn_record *record = word != 0 ? pn_dict_value(pn_dict_entry_at(table, word)) : NULL;
        if (record != NULL && (record->flags & PN_RECORD_HANDLES) &&
            visit(dict->domain, dict->offset, record, context)) {
            return true;
        }
    }
    return false;
}

bool
pn_dict_walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context)
{
    pn_dict dict;
    pn_dict_open(&dict, domain, offset);
    if (atomic_load(&dict.cell->names) == 0) {
        return true;
    }
    int64_t until = pn_now() + LOOK_NS;
    pn_status status;
    do {
        status = pn_dict_enter(&dict, until);
    } while (status == PN_INTERRUPTED);
    if (status != PN_OK) {
        return false;
    }
    pn_dict_table *table = pn_dict_table_of(&dict);
    bool ended = visit_rows(&dict, pn_dict_floor(table), table->rows_used, visit, context);
    pn_lock_release(&dict.cell->lock);
    return !ended;
}

/* ---- clearing ------------------------------------------------------------------------ */

static bool
note_names(pn_domain *domain, uint64_t offset, const pn_record *record, void *context)
{
    (void)domain, (void)offset;
    pn_dict_note_names(record, context);
    return false;
}

static bool
count_takes(pn_domain *domain, uint64_t offset, const pn_record *record, void *context)
{
    (void)offset, (void)context;
    pn_record_count_takes(domain, record);
    return false;
}

/* Give up everything: one store, and then what the values named. */
static void
empty(pn_dict *dict, pn_collect_list *named)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    uint64_t from = pn_dict_floor(table), end = table->rows_used;
    bool has_names = atomic_load(&dict->cell->names) != 0;
    if (has_names) {
        visit_rows(dict, from, end, note_names, named);
    }
    atomic_store_explicit(&table->floor, end, memory_order_release); /* COMMIT */
    pn_compiler_barrier();
    table->items = table->live = 0;
    if (has_names) {
        visit_rows(dict, from, end, count_takes, NULL);
    }
    atomic_store(&dict->cell->names, 0);
}

pn_status
pn_dict_clear(pn_dict *dict, pn_dict_op *op)
{
    empty(dict, &op->given_up);
    pn_dict_begin_anew(pn_dict_table_of(dict));
    return PN_OK;
}

/* ---- for the sweep --------------------------------------------------------------------- */

bool
pn_dict_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&((pn_dict_cell *)pn_at(domain, offset))->table) == block;
}

void
pn_dict_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    pn_dict dict;
    pn_dict_open(&dict, domain, offset);
    if (atomic_load(&dict.cell->table) != 0) {
        /* First: if we die before the cell is freed, nobody may look into its freed blocks, and `takes` of what
         * the values named must not grow while they still name it. Nobody holds it, so nobody has its lock. */
        empty(&dict, named);
        atomic_store(&dict.cell->table, 0);
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        if (pn_block_kind_of(atomic_load(&block->state)) == PN_BLOCK_SEGMENT &&
            atomic_load(&block->queue) == offset) {
            pn_heap_free_locked(domain, at);
        }
    }
}
