/* Shared objects: handles, generations, holders, what a death leaves. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "heap.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static void
a_handle_is_refused_after_the_object_is_gone(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset, again;
    uint32_t generation, other;
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "name", &offset, &generation) == PN_OK);
    CHECK(pn_object_held(domain, offset));
    CHECK(pn_object_attach(domain, offset, generation) == PN_OK);
    pn_object_drop(domain, offset);
    CHECK(pn_object_held(domain, offset));
    pn_object_drop(domain, offset);
    CHECK(!pn_object_held(domain, offset));
    CHECK(pn_object_attach(domain, offset, generation) == PN_STALE);
    CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "name", &again, &other) == PN_OK);
    CHECK(again == offset && other != generation);
    CHECK(pn_object_attach(domain, offset, generation) == PN_STALE);
    CHECK(pn_object_attach(domain, offset + 8, other) == PN_STALE);
    CHECK(pn_object_attach(domain, 0, other) == PN_STALE);
    CHECK(pn_object_attach(domain, UINT64_C(1) << 60, other) == PN_STALE);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
names_are_cut_between_characters(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation;
    char name[64];
    memset(name, 'a', sizeof(name));
    memcpy(name + PN_NAME - 2, "\xc3\xa9", 3); /* its second byte would not fit */
    CHECK(pn_object_new(domain, PN_OBJECT_LOCK, name, &offset, &generation) == PN_OK);
    CHECK(strlen(((pn_object *)pn_at(domain, offset))->name) == PN_NAME - 2);
    pn_domain_close(domain);
}

static void
many_objects_fill_several_slabs(void)
{
    enum { MANY = 300 };
    pn_domain *domain = make_domain(0);
    uint64_t offsets[MANY];
    uint32_t generation;
    for (int i = 0; i < MANY; i++) {
        pn_status status = i % 3
                               ? pn_object_new(domain, PN_OBJECT_LOCK, "", &offsets[i], &generation)
                               : pn_ring_new(domain, "", 0, 0, &offsets[i], &generation);
        CHECK(status == PN_OK);
    }
    CHECK(count_objects(domain) == MANY);
    CHECK_SOUND(audit_domain(domain));
    for (int i = 0; i < MANY; i++) {
        pn_object_drop(domain, offsets[i]);
    }
    CHECK(count_objects(domain) == 0);
    CHECK(pn_heap_used(domain, PN_BLOCK_SEGMENT) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_child_holds_what_its_parent_held_at_the_fork(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation;
    int go[2];
    CHECK(pipe(go) == 0);
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "", &offset, &generation) == PN_OK);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        CHECK(read(go[0], &byte, 1) == 1);
        CHECK(pn_object_held(domain, offset) && pn_object_valid(domain, offset));
        pn_object_drop(domain, offset);
        CHECK(count_objects(domain) == 0);
        _exit(0);
    }
    pn_object_drop(domain, offset);
    CHECK(count_objects(domain) == 1);
    CHECK(write(go[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(count_objects(domain) == 0);
    close(go[0]);
    close(go[1]);
    pn_domain_close(domain);
}

/* The bit of a process that has no line of the table fell into the next field. */
static void
a_process_without_a_slot_spoils_nothing(void)
{
    pn_domain *domain = make_domain(0), *other;
    uint64_t offset, mutex, room[16];
    uint32_t generation, id;
    pn_ring ring, view;
    parcel parcel;
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "", &mutex, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, mutex);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    CHECK(pn_domain_attach(&other, fcntl(domain->fd, F_DUPFD_CLOEXEC, 0)) == PN_OK);
    CHECK(other->slot == PN_SLOTS);
    pn_ring_open(&view, other, offset);
    uint64_t slab = ((pn_object *)pn_at(domain, mutex))->slab;
    CHECK(get_one(&view, room, sizeof(room), 0, &id) == PN_OK && id == 1);
    CHECK(((pn_object *)pn_at(domain, mutex))->slab == slab);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(other);
    pn_domain_close(domain);
}

/* Who frees a ring may die between its blocks and its cell; the blocks are used again. */
static void
a_ring_that_was_freed_by_half_is_not_walked(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset, mutex, block;
    uint32_t generation;
    pn_ring ring;
    parcel parcel;
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "", &mutex, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, mutex);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    pn_collect_list named = {0};
    CHECK(pn_domain_enter(domain) == PN_OK);
    pn_ring_discard(domain, offset, &named); /* and now this process would be killed */
    pn_domain_leave(domain);
    CHECK(named.used == 1 && named.offset[0] == mutex);
    free(named.offset);
    CHECK(pn_heap_alloc(domain, PN_RING_FIRST, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK);
    memset(pn_at(domain, block), 0x55, PN_RING_FIRST);
    pn_object_drop(domain, mutex); /* asks all rings whether they name it */
    CHECK(count_objects(domain) == 1);
    pn_object_drop(domain, offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* Between taking an item and decoding it another thread may drop the last reference. */
static void
a_taken_item_keeps_its_object(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset, mutex, room[16];
    uint32_t generation, id;
    pn_ring ring;
    parcel parcel;
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "", &mutex, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, mutex);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_OK);
    pn_object_drop(domain, mutex); /* as the other thread would */
    CHECK(pn_object_attach(domain, mutex, generation) == PN_OK);
    pn_object_drop(domain, mutex);
    CHECK(count_objects(domain) == 2);
    pn_object_drop(domain, mutex); /* what the take had given us */
    CHECK(count_objects(domain) == 1);
    pn_domain_close(domain);
}

static void
objects_of_the_dead_are_swept(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation;
    IN_DEAD_PROCESS(CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK); CHECK(
                        pn_object_new(domain, PN_OBJECT_LOCK, "", &offset, &generation) == PN_OK));
    CHECK(count_objects(domain) == 2);
    CHECK(pn_sweep(domain) == 1);
    CHECK(count_objects(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(a_handle_is_refused_after_the_object_is_gone);
    RUN(names_are_cut_between_characters);
    RUN(many_objects_fill_several_slabs);
    RUN(a_child_holds_what_its_parent_held_at_the_fork);
    RUN(a_process_without_a_slot_spoils_nothing);
    RUN(a_ring_that_was_freed_by_half_is_not_walked);
    RUN(a_taken_item_keeps_its_object);
    RUN(objects_of_the_dead_are_swept);
    return 0;
}
