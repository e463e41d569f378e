#include "items.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"

void
parcel_clear(parcel *parcel)
{
    parcel->used = parcel->count = parcel->weight = 0;
    parcel->handles = false;
}

static pn_record *
append(parcel *parcel, pn_record record)
{
    pn_record *at = (pn_record *)((char *)parcel->bytes + parcel->used);
    uint64_t size = pn_record_size(&record);
    if (parcel->used + size > sizeof(parcel->bytes)) {
        abort();
    }
    memset(at, 0, size);
    *at = record;
    parcel->used += size;
    parcel->count++;
    parcel->weight += size;
    return at;
}

static uint32_t
word_of(uint32_t id, uint64_t index)
{
    return id ^ (uint32_t)index * 2654435761u;
}

void
parcel_add(parcel *parcel, uint32_t id)
{
    append(parcel, (pn_record){.value = id, .kind = PN_RECORD_INT32});
}

void
parcel_add_bytes(parcel *parcel, uint32_t id, uint32_t length)
{
    pn_record *record = append(parcel, (pn_record){.value = length, .kind = PN_RECORD_BYTES});
    uint32_t *words = (uint32_t *)(record + 1);
    for (uint32_t i = 0; i < length / 4; i++) {
        words[i] = word_of(id, i);
    }
}

void
parcel_add_object(parcel *parcel, uint32_t id, uint64_t object)
{
    pn_record *record =
        append(parcel, (pn_record){.value = sizeof(pn_handles) + sizeof(uint64_t) + sizeof(id),
                                   .kind = PN_RECORD_PICKLE,
                                   .flags = PN_RECORD_HANDLES});
    pn_handles *handles = (pn_handles *)(record + 1);
    handles->count = 1;
    handles->offset[0] = object;
    memcpy(&handles->offset[1], &id, sizeof(id));
    parcel->handles = true;
}

bool
parcel_add_buffer(parcel *parcel, pn_domain *domain, uint32_t id, uint64_t length)
{
    uint64_t buffer;
    uint32_t generation;
    if (pn_buffer_new(domain, length, 0, &buffer, &generation) != PN_OK) {
        return false;
    }
    pn_record *record = append(parcel, (pn_record){.value = sizeof(pn_handles) + sizeof(uint64_t) +
                                                            sizeof(pn_payload_ref) + sizeof(id),
                                                   .kind = PN_RECORD_BYTES,
                                                   .flags = PN_RECORD_HANDLES | PN_RECORD_BUFFER});
    pn_handles *handles = (pn_handles *)(record + 1);
    handles->count = 1;
    handles->weight = length;
    handles->offset[0] = buffer;
    pn_payload_ref *ref = (pn_payload_ref *)&handles->offset[1];
    *ref = (pn_payload_ref){.length = length};
    memcpy(ref + 1, &id, sizeof(id));
    parcel->weight += length;
    parcel->handles = true;
    uint32_t *words = (uint32_t *)pn_buffer_bytes(domain, buffer);
    for (uint64_t i = 0; i < length / 4; i++) {
        words[i] = word_of(id, i);
    }
    return true;
}

pn_batch
parcel_batch(const parcel *parcel)
{
    return (pn_batch){.bytes = (const char *)parcel->bytes,
                      .length = parcel->used,
                      .count = parcel->count,
                      .weight = parcel->weight,
                      .handles = parcel->handles};
}

uint32_t
item_id(const pn_record *record)
{
    uint32_t id = record->value;
    const char *payload = (const char *)(record + 1);
    if (record->flags & PN_RECORD_HANDLES) {
        payload += sizeof(pn_handles) + sizeof(uint64_t);
        memcpy(&id, payload + (item_has_buffer(record) ? sizeof(pn_payload_ref) : 0), sizeof(id));
    } else if (record->kind >= PN_RECORD_FIRST_WITH_PAYLOAD) {
        memcpy(&id, payload, sizeof(id));
    }
    return id;
}

uint64_t
item_object(const pn_record *record)
{
    return record->flags & PN_RECORD_HANDLES ? ((const pn_handles *)(record + 1))->offset[0] : 0;
}

bool
item_has_buffer(const pn_record *record)
{
    return record->flags & PN_RECORD_BUFFER;
}

bool
item_is_whole(pn_domain *domain, const pn_record *record)
{
    const uint32_t *words = (const uint32_t *)(record + 1);
    uint64_t length = record->kind == PN_RECORD_BYTES ? record->value : 0;
    if (item_has_buffer(record)) {
        words = (const uint32_t *)pn_buffer_bytes(domain, item_object(record));
        length = pn_buffer_length(domain, item_object(record));
    }
    for (uint64_t i = 0; i < length / 4; i++) {
        if (words[i] != word_of(item_id(record), i)) {
            return false;
        }
    }
    return true;
}

pn_status
put_one(pn_ring *ring, uint32_t id)
{
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add(&parcel, id);
    pn_batch batch = parcel_batch(&parcel);
    return pn_ring_try_put(ring, &batch);
}

pn_status
put_bytes(pn_ring *ring, uint32_t id, uint32_t length)
{
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, id, length);
    pn_batch batch = parcel_batch(&parcel);
    return pn_ring_try_put(ring, &batch);
}

pn_status
get_one(pn_ring *ring, void *room, size_t size, int64_t deadline, uint32_t *id)
{
    pn_sink sink = {.bytes = room, .capacity = size, .limit = 1};
    pn_status status = deadline ? pn_ring_get(ring, &sink, deadline) : pn_ring_try_get(ring, &sink);
    if (sink.on_heap) {
        abort(); /* the caller's room was too small */
    }
    if (status == PN_OK) {
        *id = item_id(room);
    }
    return status;
}
