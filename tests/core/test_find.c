/* Objects by name, and the visitor who looks for them. */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "buffer.h"
#include "collect.h"
#include "find.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static uint64_t
new_object(pn_domain *domain, pn_object_type type, const char *name)
{
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_object_new(domain, type, name, &offset, &generation) == PN_OK);
    return offset;
}

/* How many are found, and how many of them are called so. */
static size_t
count_named(pn_domain *domain, const char *name, size_t *all)
{
    pn_found *list;
    size_t count, named = 0;
    CHECK(pn_find_named(domain, &list, &count) == PN_OK);
    for (size_t i = 0; i < count; i++) {
        named += strcmp(list[i].name, name) == 0;
        CHECK(pn_object_attach(domain, list[i].offset, list[i].generation) == PN_OK);
        pn_object_drop(domain, list[i].offset);
    }
    free(list);
    if (all != NULL) {
        *all = count;
    }
    return named;
}

static pn_domain *
visit(pn_domain *domain)
{
    pn_domain *visited;
    CHECK(pn_domain_attach(&visited, dup(domain->fd)) == PN_OK);
    CHECK(pn_slot_take(visited, PN_SLOT_VISITOR) == PN_OK);
    CHECK(visited->visitor);
    return visited;
}

static void
what_has_a_name_is_found(void)
{
    pn_domain *domain = make_domain(0);
    size_t all;
    uint64_t lock = new_object(domain, PN_OBJECT_LOCK, "stock");
    uint64_t twin = new_object(domain, PN_OBJECT_MUTEX, "stock");
    new_object(domain, PN_OBJECT_RLOCK, "");
    new_object(domain, PN_OBJECT_RING, "jobs");
    uint64_t part = new_object(domain, PN_OBJECT_RLOCK, "jobs");
    CHECK(count_named(domain, "jobs", &all) == 2 && all == 4);
    atomic_fetch_or(&((pn_object *)pn_at(domain, part))->flags, PN_OBJECT_PART);
    CHECK(count_named(domain, "jobs", &all) == 1 && all == 3);
    CHECK(count_named(domain, "stock", NULL) == 2);
    pn_object_drop(domain, twin);
    CHECK(count_named(domain, "stock", NULL) == 1);
    pn_object_drop(domain, lock);
    CHECK(count_named(domain, "stock", NULL) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_part_stays_one_after_a_sweep_and_a_new_one_is_none(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t part = new_object(domain, PN_OBJECT_LOCK, "part");
    atomic_fetch_or(&((pn_object *)pn_at(domain, part))->flags, PN_OBJECT_PART);
    IN_DEAD_PROCESS(pn_object_count_put(domain, part));
    CHECK(pn_sweep(domain) == 1);
    CHECK(count_named(domain, "part", NULL) == 0);
    atomic_fetch_add(&((pn_object *)pn_at(domain, part))->takes, 1);
    pn_object_drop(domain, part);
    CHECK(new_object(domain, PN_OBJECT_LOCK, "part") == part); /* the same cell */
    CHECK(count_named(domain, "part", NULL) == 1);
    CHECK(atomic_load(&((pn_object *)pn_at(domain, part))->mate) == 0);
    pn_domain_close(domain);
}

static void
more_than_one_slab_of_each_kind_is_looked_through(void)
{
    enum { MANY = 300 };
    pn_domain *domain = make_domain(0);
    size_t all;
    for (int i = 0; i < MANY; i++) {
        new_object(domain, i % 3 == 0 ? PN_OBJECT_RING : PN_OBJECT_LOCK, i % 2 ? "odd" : "even");
    }
    CHECK(count_named(domain, "odd", &all) == MANY / 2 && all == MANY);
    pn_domain_close(domain);
}

static void
a_form_stands_behind_the_bytes(void)
{
    static const uint64_t sizes[] = {0, 8, 150, 5000, 100000};
    pn_domain *domain = make_domain(0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint64_t offset;
        uint32_t generation;
        CHECK(pn_buffer_new(domain, sizes[i] + 7, PN_BUFFER_SHARED, &offset, &generation) == PN_OK);
        memset(pn_buffer_bytes(domain, offset), 0x55, sizes[i] + 7);
        pn_buffer_describe(domain, offset, "a shape", 7);
        CHECK(pn_buffer_length(domain, offset) == sizes[i]);
        CHECK(atomic_load(&pn_buffer_at(domain, offset)->form) == 7);
        CHECK(memcmp(pn_buffer_bytes(domain, offset) + sizes[i], "a shape", 7) == 0);
        pn_object_drop(domain, offset);
        CHECK_SOUND(audit_domain(domain));
        CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    }
    pn_domain_close(domain);
}

static void
a_visitor_holds_and_gives_back_when_it_goes(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t lock = new_object(domain, PN_OBJECT_LOCK, "lock");
    uint32_t generation = atomic_load(&((pn_object *)pn_at(domain, lock))->generation);
    pn_domain *visited = visit(domain);
    CHECK(count_slots(domain) == 2 && visited->slot != domain->slot);
    CHECK(pn_object_attach(visited, lock, generation) == PN_OK);
    pn_object_drop(domain, lock);
    CHECK(count_objects(domain) == 1);
    pn_domain_close(visited); /* with the object */
    CHECK(count_slots(domain) == 1 && count_objects(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
children_of_a_visitor_are_visitors(void)
{
    pn_domain *domain = make_domain(0);
    pn_domain *visited = visit(domain);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(visited, "", PN_SLOT_FOREIGN, &index, &generation) == PN_OK);
    CHECK(atomic_load(&domain->slots[index].flags) == (PN_SLOT_FOREIGN | PN_SLOT_VISITOR));
    CHECK(pn_slot_reserve(domain, "", PN_SLOT_FOREIGN, &index, &generation) == PN_OK);
    CHECK(atomic_load(&domain->slots[index].flags) == PN_SLOT_FOREIGN);
    pid_t pid = fork(); /* both are mapped in it, and it has a line for each */
    if (pid == 0) {
        CHECK(visited->visitor && !domain->visitor && visited->slot != domain->slot);
        CHECK(atomic_load(&domain->slots[visited->slot].flags) ==
              (PN_SLOT_PLAIN | PN_SLOT_VISITOR));
        CHECK(atomic_load(&domain->slots[domain->slot].flags) == PN_SLOT_PLAIN);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    pn_domain_close(visited);
    pn_domain_close(domain);
}

static void
a_killed_visitor_is_swept(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t lock = new_object(domain, PN_OBJECT_LOCK, "lock");
    uint32_t generation = atomic_load(&((pn_object *)pn_at(domain, lock))->generation);
    IN_DEAD_PROCESS(pn_domain *visited = visit(domain);
                    CHECK(pn_object_attach(visited, lock, generation) == PN_OK));
    pn_object_drop(domain, lock);
    CHECK(count_objects(domain) == 1);
    CHECK(pn_sweep(domain) == 2); /* it was a fork of ours as well */
    CHECK(count_objects(domain) == 0 && count_slots(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_visitor_that_never_took_its_line_is_given_up_soon(void)
{
    pn_domain *domain = make_domain(0);
    pn_domain *visited;
    uint32_t index, generation;
    CHECK(pn_domain_attach(&visited, dup(domain->fd)) == PN_OK);
    CHECK(pn_slot_reserve(visited, "", PN_SLOT_VISITOR, &index, &generation) == PN_OK);
    domain->slots[index].reserved_at -= INT64_C(2000000000);
    CHECK(pn_sweep(domain) == 1 && count_slots(domain) == 1);
    pn_domain_close(visited);
    pn_domain_close(domain);
}

static void
what_is_no_domain_is_told(void)
{
    pn_domain *domain = make_domain(0);
    pn_identity identity;
    CHECK(pn_domain_identify(domain->fd, &identity) == PN_OK);
    CHECK(identity.version == PN_LAYOUT_VERSION &&
          identity.pid_namespace == domain->header->pid_namespace &&
          memcmp(identity.uuid, domain->header->uuid, 16) == 0);
    uint32_t other = PN_LAYOUT_VERSION + 1;
    CHECK(pwrite(domain->fd, &other, 4, offsetof(pn_header, version)) == 4);
    CHECK(pn_domain_identify(domain->fd, &identity) == PN_OK && identity.version == other);
    uint64_t magic = 5;
    CHECK(pwrite(domain->fd, &magic, 8, offsetof(pn_header, magic)) == 8);
    CHECK(pn_domain_identify(domain->fd, &identity) == PN_LAYOUT);
    CHECK(pn_domain_identify(-1, &identity) == PN_SYSTEM);
    int fd = memfd_create("small", MFD_ALLOW_SEALING);
    CHECK(pn_domain_identify(fd, &identity) == PN_LAYOUT);
    CHECK(ftruncate(fd, 1 << 28) == 0);
    magic = PN_MAGIC;
    CHECK(pwrite(fd, &magic, 8, offsetof(pn_header, magic)) == 8);
    CHECK(pn_domain_identify(fd, &identity) == PN_LAYOUT); /* it may shrink */
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    CHECK(pn_domain_identify(fd, &identity) == PN_OK && identity.version == 0);
    close(fd);
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(what_has_a_name_is_found);
    RUN(a_part_stays_one_after_a_sweep_and_a_new_one_is_none);
    RUN(more_than_one_slab_of_each_kind_is_looked_through);
    RUN(a_form_stands_behind_the_bytes);
    RUN(a_visitor_holds_and_gives_back_when_it_goes);
    RUN(children_of_a_visitor_are_visitors);
    RUN(a_killed_visitor_is_swept);
    RUN(a_visitor_that_never_took_its_line_is_given_up_soon);
    RUN(what_is_no_domain_is_told);
    return 0;
}
