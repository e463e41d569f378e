/* Buffers with a name: who finds one, and when it goes. */
#define _GNU_SOURCE
#include "check.h"

#include "buffer.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static uint64_t
payloads(pn_domain *domain)
{
    return pn_heap_used(domain, PN_BLOCK_PAYLOAD);
}

static uint64_t
new_named(pn_domain *domain, const char *name, uint64_t bytes, uint32_t *generation)
{
    uint64_t offset;
    CHECK(pn_buffer_new(domain, bytes, PN_BUFFER_SHARED, &offset, generation) == PN_OK);
    pn_object_set_name(domain, offset, name);
    return offset;
}

static void
a_name_finds_it_and_keeps_it(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t found;
    uint32_t generation, its;
    CHECK(pn_buffer_find(domain, "one", &found, &its) == PN_NOTHING);
    uint64_t one = new_named(domain, "one", 5000, &generation);
    CHECK(pn_buffer_find(domain, "one", &found, &its) == PN_NOTHING); /* not published */
    CHECK(pn_buffer_publish(domain, one) == PN_OK);
    pn_object_drop(domain, one);
    pn_sweep(domain);
    CHECK(payloads(domain) == 2 * PN_PAGE);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pn_buffer_find(domain, "on", &found, &its) == PN_NOTHING);
    CHECK(pn_buffer_find(domain, "one", &found, &its) == PN_OK);
    CHECK(found == one && its == generation && pn_object_held(domain, one));
    uint64_t other = new_named(domain, "one", 8, &its);
    CHECK(pn_buffer_publish(domain, other) == PN_EXISTS);
    pn_object_drop(domain, other);
    CHECK(pn_buffer_unlink(domain, one, generation + 1) == PN_NOTHING);
    CHECK(pn_buffer_unlink(domain, one, generation) == PN_OK);
    CHECK(pn_buffer_unlink(domain, one, generation) == PN_NOTHING);
    CHECK(pn_buffer_find(domain, "one", &found, &its) == PN_NOTHING);
    CHECK(count_objects(domain) == 1);
    pn_object_drop(domain, one);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    CHECK(pn_buffer_unlink(domain, one, generation) == PN_NOTHING);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
unlink_frees_what_nobody_holds(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t generation;
    uint64_t one = new_named(domain, "one", 5000, &generation);
    CHECK(pn_buffer_publish(domain, one) == PN_OK);
    pn_object_drop(domain, one);
    CHECK(pn_buffer_unlink(domain, one, generation) == PN_OK);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    pn_domain_close(domain);
}

static void
a_name_goes_with_who_was_killed(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t found;
    uint32_t generation;
    IN_DEAD_PROCESS(uint32_t its; CHECK(
                        pn_buffer_publish(domain, new_named(domain, "one", 5000, &its)) == PN_OK));
    CHECK(pn_buffer_find(domain, "one", &found, &generation) == PN_OK); /* nobody has swept */
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1); /* this process holds it */
    CHECK_SOUND(audit_domain(domain));
    CHECK(pn_buffer_find(domain, "one", &found, &generation) == PN_OK);
    pn_object_drop(domain, found);
    pn_object_drop(domain, found);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    IN_DEAD_PROCESS(uint32_t its; CHECK(
                        pn_buffer_publish(domain, new_named(domain, "two", 5000, &its)) == PN_OK));
    uint64_t again = new_named(domain, "two", 8, &generation); /* without a sweep between */
    CHECK(pn_buffer_publish(domain, again) == PN_OK);
    CHECK(payloads(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_name_stays_if_its_maker_ended_well(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t found;
    uint32_t generation;
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t its;
        CHECK(pn_buffer_publish(domain, new_named(domain, "one", 5000, &its)) == PN_OK);
        pn_slot_judge(domain, domain->slot, domain->generation, true);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pn_buffer_find(domain, "one", &found, &generation) == PN_OK);
    CHECK(pn_buffer_unlink(domain, found, generation) == PN_OK);
    pn_object_drop(domain, found);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* Nobody would learn of its death. */
static void
a_process_without_a_line_keeps_nothing_by_name(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t generation, slot = domain->slot;
    uint64_t found, one;
    domain->slot = PN_SLOTS;
    one = new_named(domain, "one", 5000, &generation);
    CHECK(pn_buffer_publish(domain, one) == PN_OK);
    CHECK(pn_buffer_find(domain, "one", &found, &generation) == PN_OK && found == one);
    pn_object_drop(domain, one);
    pn_object_drop(domain, one);
    CHECK(count_objects(domain) == 0);
    domain->slot = slot;
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(a_name_finds_it_and_keeps_it);
    RUN(unlink_frees_what_nobody_holds);
    RUN(a_name_goes_with_who_was_killed);
    RUN(a_name_stays_if_its_maker_ended_well);
    RUN(a_process_without_a_line_keeps_nothing_by_name);
    return 0;
}
