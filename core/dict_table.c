#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "dict_table.h"

#include <string.h>

#include "heap.h"

#define ROWS_LIMIT (UINT64_C(1) << 31)
#define SPARSE 8 /* a table that is used to less than an eighth is given up for a smaller one */

/* ---- hash ---------------------------------------------------------------------- */

static uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of the canonical form, so the same in every process; seeded, so that nobody can prepare keys that collide. The
 * constants are odd numbers with bits all over. */
uint64_t
pn_dict_hash(const pn_dict *dict, const pn_dict_key *key)
{
    uint64_t seed = dict->cell->seed;
    uint64_t hash = fold(seed ^ key->length, UINT64_C(0x9e3779b97f4a7c15));
    for (uint32_t at = 0; at < key->length; at += 16) {
        uint64_t words[2] = {0, 0};
        uint32_t rest = key->length - at;
        memcpy(words, key->bytes + at, rest < sizeof(words) ? rest : sizeof(words));
        hash = fold(words[0] ^ hash ^ UINT64_C(0xd6e8feb86659fd93),
                    words[1] ^ seed ^ UINT64_C(0xa0761d6478bd642f));
    }
    return fold(hash ^ seed, UINT64_C(0xe7037ed1a0b428db));
}

static uint64_t
row_word(const pn_dict_table *table, const pn_dict_entry *entry, uint64_t hash)
{
    uint64_t place = (uint64_t)((const char *)entry - (const char *)table);
    return hash >> PN_DICT_PLACE_BITS << PN_DICT_PLACE_BITS | place;
}

/* ---- layout -------------------------------------------------------------------- */

static uint64_t
slots_for(uint64_t rows)
{
    uint64_t slots = 8;
    while (slots < rows + rows / 2) {
        slots *= 2;
    }
    return slots;
}

static uint64_t
log_start(uint64_t rows)
{
    return sizeof(pn_dict_table) + slots_for(rows) * sizeof(uint32_t) + rows * sizeof(uint64_t);
}

/* Rows for so many items. */
static uint64_t
rows_for(uint64_t items, bool tight)
{
    uint64_t rows = tight ? items + items / 8 + 8 : items * 2;
    return rows < PN_DICT_LEAST_ROWS ? PN_DICT_LEAST_ROWS : rows;
}

uint64_t
pn_dict_plan(pn_dict_table *table, uint64_t need, bool tight)
{
    uint64_t live = table->live + need;
    uint64_t bytes =
        log_start(rows_for(table->items + 1, tight)) + live + (tight ? live / 8 : live);
    return bytes < PN_DICT_LEAST ? PN_DICT_LEAST : bytes;
}

void
pn_dict_lay_out(pn_dict_table *table, uint64_t bytes, uint64_t rows, uint64_t number)
{
    *table = (pn_dict_table){.number = number, .bytes = bytes};
    table->slots = (uint32_t)slots_for(rows);
    table->rows = (uint32_t)rows;
    table->rows_at = sizeof(*table) + table->slots * sizeof(uint32_t);
    table->log_at = table->rows_at + rows * sizeof(uint64_t);
    memset(table + 1, 0, table->log_at - sizeof(*table));
}

bool
pn_dict_is_wide(pn_dict_table *table)
{
    uint64_t used = log_start(table->items) + table->live;
    return table->bytes > PN_DICT_LEAST && used < table->bytes / SPARSE;
}

/* ---- finding ------------------------------------------------------------------- */

static bool
is_key(const pn_dict_entry *entry, const pn_dict_key *key, uint64_t hash)
{
    return entry->hash == hash && entry->length == key->length &&
           memcmp(entry->key, key->bytes, key->length) == 0;
}

pn_dict_place
pn_dict_find(pn_dict *dict, const pn_dict_key *key)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    const uint32_t *index = pn_dict_index(table);
    uint64_t floor = pn_dict_floor(table), mask = table->slots - 1;
    pn_dict_place place = {.hash = pn_dict_hash(dict, key), .slot = UINT64_MAX};
    uint64_t at = place.hash & mask;
    for (; index[at] != 0; at = (at + 1) & mask) {
        uint64_t row = index[at] - 1;
        uint64_t word = row >= floor ? pn_dict_row(table, row) : 0;
        if (word == 0) { /* nobody's: the first such place is as good as a new one */
            place.slot = place.slot == UINT64_MAX ? at : place.slot;
        } else if (word >> PN_DICT_PLACE_BITS == place.hash >> PN_DICT_PLACE_BITS) {
            pn_dict_entry *entry = pn_dict_entry_at(table, word);
            if (is_key(entry, key, place.hash)) {
                place.found = true;
                place.row = row;
                place.entry = entry;
                return place;
            }
        }
    }
    place.slot = place.slot == UINT64_MAX ? at : place.slot;
    return place;
}

/* ---- rebuilding ---------------------------------------------------------------- */

/* Note a row of a table that has no such key. */
static void
note(pn_dict_table *table, uint64_t hash, uint64_t row)
{
    uint32_t *index = pn_dict_index(table);
    uint64_t mask = table->slots - 1, at = hash & mask;
    while (index[at] != 0) {
        at = (at + 1) & mask;
    }
    index[at] = (uint32_t)row + 1;
    table->index_used++;
}

/* Copy what counts; true if any of it may name objects. */
static bool
copy_items(pn_dict_table *from, pn_dict_table *to)
{
    bool has_names = false;
    for (uint64_t row = pn_dict_floor(from); row < from->rows_used; row++) {
        uint64_t word = pn_dict_row(from, row);
        if (word == 0) {
            continue;
        }
        pn_dict_entry *entry = pn_dict_entry_at(from, word);
        uint64_t size = pn_dict_entry_size(entry);
        pn_dict_entry *copy = (pn_dict_entry *)((char *)to + to->log_at + to->log_used);
        memcpy(copy, entry, size);
        has_names |= (pn_dict_value(copy)->flags & PN_RECORD_HANDLES) != 0;
        note(to, copy->hash, to->rows_used);
        atomic_store_explicit(&pn_dict_rows(to)[to->rows_used++], row_word(to, copy, copy->hash),
                              memory_order_relaxed);
        to->log_used += size;
        to->items++;
        to->live += size;
    }
    return has_names;
}

/* Rows of a table in a block of `bytes`, which shall have room for so much; 0: it has not. */
static uint64_t
rows_in(uint64_t bytes, const pn_dict_table *table, uint64_t need)
{
    uint64_t live = table->live + need;
    for (int tight = 0; tight < 2; tight++) {
        uint64_t rows = rows_for(table->items + 1, tight);
        if (rows < ROWS_LIMIT && log_start(rows) + live <= bytes) {
            return rows;
        }
    }
    return 0;
}

bool
pn_dict_rebuild(pn_dict *dict, pn_dict_op *op, uint64_t need)
{
    pn_dict_table *old = pn_dict_table_of(dict);
    pn_domain *domain = dict->domain;
    uint64_t at = atomic_load_explicit(&dict->cell->table, memory_order_relaxed);
    if (op->spare == 0) {
        return false;
    }
    uint64_t bytes = pn_block_pages(atomic_load(&pn_block_at(domain, op->spare)->state)) * PN_PAGE;
    uint64_t rows = rows_in(bytes, old, need);
    if (rows == 0) {
        return false;
    }
    pn_dict_table *new = pn_at(domain, op->spare);
    pn_dict_lay_out(new, bytes, rows, old->number + 1);
    bool has_names = copy_items(old, new);
    /* Before it the dictionary names the block, after it we own it. */
    atomic_store(&pn_block_at(domain, at)->owner, pn_owner_word(domain->slot, domain->generation));
    atomic_store(&dict->cell->table, op->spare); /* COMMIT */
    op->spare = at;
    if (!has_names) {
        atomic_store(&dict->cell->names, 0);
    }
    return true;
}

void
pn_dict_begin_anew(pn_dict_table *table)
{
    /* No row counts, now or in between. */
    for (uint64_t row = 0; row < table->rows_used; row++) {
        atomic_store_explicit(&pn_dict_rows(table)[row], 0, memory_order_relaxed);
    }
    pn_compiler_barrier();
    atomic_store_explicit(&table->floor, 0, memory_order_relaxed);
    table->rows_used = 0;
    memset(pn_dict_index(table), 0, table->slots * sizeof(uint32_t));
    pn_compiler_barrier();
    table->index_used = 0;
    table->log_used = 0;
}

void
pn_dict_repair(pn_dict *dict)
{
    uint64_t at = atomic_load_explicit(&dict->cell->table, memory_order_relaxed);
    if (at == 0) {
        return; /* its maker died before it was one */
    }
    pn_dict_table *table = pn_at(dict->domain, at);
    uint64_t items = 0, live = 0;
    for (uint64_t row = pn_dict_floor(table); row < table->rows_used; row++) {
        uint64_t word = pn_dict_row(table, row);
        if (word != 0) {
            items++;
            live += pn_dict_entry_size(pn_dict_entry_at(table, word));
        }
    }
    table->items = items;
    table->live = live;
}

/* ---- writing ------------------------------------------------------------------- */

/* Is the record one word, that a single store replaces? */
static bool
is_word(const pn_record *record)
{
    return record->kind < PN_RECORD_FIRST_WITH_PAYLOAD;
}

static bool
has_room(const pn_dict_table *table, uint64_t size, bool new_row)
{
    return table->log_at + table->log_used + size <= table->bytes &&
           (!new_row || (table->rows_used < table->rows &&
                         table->index_used < table->slots - table->slots / 4));
}

/* Append an entry, which nobody names yet. */
static pn_dict_entry *
append(pn_dict *dict, uint64_t hash, uint64_t born, const pn_dict_key *key, const pn_record *record)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    uint64_t key_size = pn_dict_padded((uint64_t)key->length + key->shown);
    uint64_t size = pn_record_size(record);
    pn_dict_entry *entry = (pn_dict_entry *)((char *)table + table->log_at + table->log_used);
    table->log_used += sizeof(*entry) + key_size + size;
    uint64_t stamp = ++dict->cell->stamps;
    *entry = (pn_dict_entry){.hash = hash,
                             .stamp = stamp,
                             .born = born ? born : stamp,
                             .length = key->length,
                             .shown = key->shown};
    memcpy(entry->key, key->bytes, (size_t)key->length + key->shown);
    memcpy(entry->key + key_size, record, size);
    return entry;
}

/* From here on nothing can refuse the write. A death before the commit leaves `puts` ahead for good (object.h). */
static void
name_objects(pn_dict *dict, const pn_record *record)
{
    if (record->flags & PN_RECORD_HANDLES) {
        atomic_store_explicit(&dict->cell->names, 1, memory_order_relaxed);
        pn_record_count_puts(dict->domain, record);
    }
}

static void
commit_row(pn_dict_table *table, uint64_t row, uint64_t word)
{
    atomic_store_explicit(&pn_dict_rows(table)[row], word, memory_order_release); /* COMMIT */
    pn_compiler_barrier();
}

static void
insert(pn_dict *dict, const pn_dict_key *key, const pn_dict_place *place, const pn_record *record)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    pn_dict_entry *entry = append(dict, place->hash, 0, key, record);
    uint32_t *slot = &pn_dict_index(table)[place->slot];
    uint64_t row = table->rows_used++;
    table->index_used += *slot == 0;
    *slot = (uint32_t)row + 1;
    name_objects(dict, record);
    commit_row(table, row, row_word(table, entry, place->hash));
    table->items++;
    table->live += pn_dict_entry_size(entry);
}

static void
replace(pn_dict *dict, const pn_dict_place *place, const pn_record *record,
        pn_collect_list *given_up)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    pn_dict_entry *old = place->entry;
    pn_record *value = pn_dict_value(old);
    if (is_word(value) && is_word(record)) {
        uint64_t word;
        memcpy(&word, record, sizeof(word));
        atomic_store_explicit((pn_word64 *)value, word, memory_order_release); /* COMMIT */
        return;
    }
    /* The first key stays, as in a dict: 1, though True is written. */
    pn_dict_key key = {.bytes = old->key, .length = old->length, .shown = old->shown};
    pn_dict_entry *entry = append(dict, old->hash, old->born, &key, record);
    pn_dict_note_names(value, given_up);
    name_objects(dict, record);
    commit_row(table, place->row, row_word(table, entry, old->hash));
    table->live += pn_dict_entry_size(entry) - pn_dict_entry_size(old);
    pn_record_count_takes(dict->domain, value);
}

pn_status
pn_dict_write(pn_dict *dict, pn_dict_op *op, pn_dict_place *place, const pn_record *record)
{
    if (!place->found || !is_word(record) || !is_word(pn_dict_value(place->entry))) {
        uint64_t key_size = place->found
                                ? pn_dict_key_size(place->entry)
                                : pn_dict_padded((uint64_t)op->key->length + op->key->shown);
        uint64_t size = sizeof(pn_dict_entry) + key_size + pn_record_size(record);
        if (!has_room(pn_dict_table_of(dict), size, !place->found)) {
            if (!pn_dict_rebuild(dict, op, size)) {
                op->need = size;
                return PN_NEED_TABLE;
            }
            *place = pn_dict_find(dict, op->key);
        }
    }
    if (place->found) {
        replace(dict, place, record, &op->given_up);
    } else {
        insert(dict, op->key, place, record);
    }
    return PN_OK;
}

void
pn_dict_take_away(pn_dict *dict, uint64_t row, pn_collect_list *given_up)
{
    pn_dict_table *table = pn_dict_table_of(dict);
    pn_dict_entry *entry = pn_dict_entry_at(table, pn_dict_row(table, row));
    if (given_up != NULL) {
        pn_dict_note_names(pn_dict_value(entry), given_up);
    }
    commit_row(table, row, 0);
    table->items--;
    table->live -= pn_dict_entry_size(entry);
    pn_record_count_takes(dict->domain, pn_dict_value(entry));
    while (table->rows_used > pn_dict_floor(table) &&
           pn_dict_row(table, table->rows_used - 1) == 0) {
        table->rows_used--; /* so that the last item is found at once */
    }
    if (table->items == 0) {
        table->log_used = 0;
    }
}
