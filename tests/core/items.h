/* Items as the core sees them: records, made and read without Python. Each carries an id. */
#ifndef TESTS_ITEMS_H
#define TESTS_ITEMS_H

#include "ring.h"

/* A batch under construction. */
typedef struct {
    uint64_t bytes[PN_RING_INLINE / sizeof(uint64_t)];
    uint64_t used, count, weight;
    bool handles;
} parcel;

void parcel_clear(parcel *parcel);
/* One record of 8 bytes. */
void parcel_add(parcel *parcel, uint32_t id);
/* A record with `length` bytes of payload, all made of the id; at least 4. */
void parcel_add_bytes(parcel *parcel, uint32_t id, uint32_t length);
/* A record that names a shared object. */
void parcel_add_object(parcel *parcel, uint32_t id, uint64_t object);
/* A record whose payload stands in a new buffer, filled from the id, which this process has to
 * drop after the put. False: no memory. */
bool parcel_add_buffer(parcel *parcel, pn_domain *domain, uint32_t id, uint64_t length);
pn_batch parcel_batch(const parcel *parcel);

uint32_t item_id(const pn_record *record);
/* The object that it names, which may be a buffer with its payload; 0: none. */
uint64_t item_object(const pn_record *record);
bool item_has_buffer(const pn_record *record);
/* Is the payload what the id says? */
bool item_is_whole(pn_domain *domain, const pn_record *record);

/* Put one small item, without sleeping. */
pn_status put_one(pn_ring *ring, uint32_t id);
/* Put one item with `length` bytes of payload, without sleeping. */
pn_status put_bytes(pn_ring *ring, uint32_t id, uint32_t length);
/* Take one item; its record stands in `room` afterwards. deadline 0: without sleeping. */
pn_status get_one(pn_ring *ring, void *room, size_t size, int64_t deadline, uint32_t *id);

#endif
