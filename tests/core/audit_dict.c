/* Is every item of a dictionary found where it must be, and do its sums agree? */
#include <stdio.h>

#include "audit.h"
#include "dict_table.h"
#include "heap.h"

static char said[200];

#define WRONG(...) (snprintf(said, sizeof(said), __VA_ARGS__), (const char *)said)
#define UL(value) ((unsigned long)(value))

/* The block is its own, and its parts lie in it. */
static const char *
audit_layout(pn_domain *domain, uint64_t offset, uint64_t at)
{
    const pn_block *entry = pn_block_at(domain, at);
    uint64_t state = atomic_load(&entry->state);
    const pn_dict_table *table = pn_at(domain, at);
    if (pn_block_kind_of(state) != PN_BLOCK_SEGMENT || atomic_load(&entry->queue) != offset ||
        pn_block_pages(state) * PN_PAGE < table->bytes) {
        return WRONG("dict at %lx has no block of its own", UL(offset));
    }
    if (table->rows_at != sizeof(*table) + table->slots * sizeof(uint32_t) ||
        table->log_at != table->rows_at + table->rows * sizeof(uint64_t) ||
        table->log_at + table->log_used > table->bytes || table->rows_used > table->rows ||
        atomic_load(&table->floor) > table->rows_used || table->index_used > table->slots) {
        return WRONG("dict at %lx: its parts pass its end", UL(offset));
    }
    return NULL;
}

static const char *
audit_row(pn_dict *dict, uint64_t row, pn_dict_entry *entry, uint64_t before)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    uint64_t place = (uint64_t)((char *)entry - (char *)table);
    if (place < table->log_at ||
        place + pn_dict_entry_size(entry) > table->log_at + table->log_used) {
        return WRONG("dict: row %lu names something outside of the log", UL(row));
    }
    if (entry->born <= before || entry->born > entry->stamp || entry->stamp > dict->cell->stamps) {
        return WRONG("dict: row %lu is out of order", UL(row));
    }
    pn_dict_key key = {.bytes = entry->key, .length = entry->length, .shown = entry->shown};
    pn_dict_place found = pn_dict_find(dict, &key);
    if (!found.found || found.row != row || found.entry != entry || found.hash != entry->hash) {
        return WRONG("dict: the key of row %lu is not found there", UL(row));
    }
    if ((pn_dict_value(entry)->flags & PN_RECORD_HANDLES) && !atomic_load(&dict->cell->names)) {
        return WRONG("dict: row %lu names objects, and nobody would look there", UL(row));
    }
    return NULL;
}

const char *
audit_dict(pn_domain *domain, uint64_t offset)
{
    pn_dict dict;
    pn_dict_open(&dict, domain, offset);
    uint64_t at = atomic_load(&dict.cell->table), items = 0, live = 0, born = 0;
    const char *wrong = audit_layout(domain, offset, at);
    if (wrong != NULL) {
        return wrong;
    }
    pn_dict_table *table = pn_dict_table_of(&dict);
    for (uint64_t row = 0; row < table->rows; row++) {
        uint64_t word = pn_dict_row(table, row);
        if (word == 0 || row < pn_dict_floor(table)) {
            continue;
        }
        if (row >= table->rows_used) {
            return WRONG("dict: row %lu counts, and %lu are in use", UL(row), UL(table->rows_used));
        }
        pn_dict_entry *entry = pn_dict_entry_at(table, word);
        wrong = audit_row(&dict, row, entry, born);
        if (wrong != NULL) {
            return wrong;
        }
        born = entry->born;
        items++;
        live += pn_dict_entry_size(entry);
    }
    /* Who died holding the lock leaves sums that the next owner makes again. */
    bool is_marked = atomic_load(&dict.cell->lock.word) & PN_DIED;
    if (!is_marked && (items != table->items || live != table->live)) {
        return WRONG("dict: it says %lu items, %lu bytes; there are %lu, %lu", UL(table->items),
                     UL(table->live), UL(items), UL(live));
    }
    return NULL;
}
