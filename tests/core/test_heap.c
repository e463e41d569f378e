/* The heap: reuse, merging, limits, accounts. */
#include "check.h"

#include "heap.h"

static uint64_t
alloc(pn_domain *domain, uint64_t pages)
{
    uint64_t offset;
    CHECK(pn_heap_alloc(domain, pages * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset) == PN_OK);
    CHECK(offset % PN_PAGE == 0);
    return offset;
}

static void
blocks_are_apart_and_come_back(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t a = alloc(domain, 3), b = alloc(domain, 5);
    CHECK(b >= a + 3 * PN_PAGE);
    pn_heap_free(domain, a);
    CHECK(alloc(domain, 2) == a);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 7 * PN_PAGE);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
neighbours_merge(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t a = alloc(domain, 4), b = alloc(domain, 4), guard = alloc(domain, 1);
    pn_heap_free(domain, b);
    pn_heap_free(domain, a);
    CHECK(alloc(domain, 8) == a);
    pn_heap_free(domain, guard);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

/* A hint pointed to a block that was then merged into the one before it, and the next
 * search began inside: the same pages were given out twice. */
static void
a_hint_never_points_inside_a_block(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t first = alloc(domain, 1), ten = alloc(domain, 10);
    alloc(domain, 1);
    pn_heap_free(domain, ten);
    uint64_t two = alloc(domain, 2), eight = alloc(domain, 8);
    CHECK(two == ten && eight == ten + 2 * PN_PAGE);
    pn_heap_free(domain, two);
    pn_heap_free(domain, first); /* merges with `two`, where the hint for ten pages is */
    CHECK_SOUND(audit_heap(domain));
    pn_heap_free(domain, eight);
    uint64_t large = alloc(domain, 10), small = alloc(domain, 3);
    CHECK(small >= large + 10 * PN_PAGE || small + 3 * PN_PAGE <= large);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
random_work_keeps_the_accounts(void)
{
    pn_domain *domain = make_domain(0);
    struct {
        uint64_t offset, pages;
    } live[64] = {{0}};
    unsigned seed = 7;
    for (int turn = 0; turn < 4000; turn++) {
        int i = rand_r(&seed) % 64;
        if (live[i].offset != 0) {
            uint64_t *page = pn_at(domain, live[i].offset);
            CHECK(page[0] == live[i].offset && page[live[i].pages * 512 - 1] == (uint64_t)i);
            pn_heap_free(domain, live[i].offset);
            live[i].offset = 0;
            continue;
        }
        live[i].pages = 1 + (uint64_t)rand_r(&seed) % (turn % 5 == 0 ? 300 : 12);
        live[i].offset = alloc(domain, live[i].pages);
        uint64_t *page = pn_at(domain, live[i].offset);
        page[0] = live[i].offset;
        page[live[i].pages * 512 - 1] = (uint64_t)i;
        if (turn % 64 == 0) {
            CHECK_SOUND(audit_heap(domain));
        }
    }
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
large_free_blocks_give_their_pages_back(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t large = alloc(domain, 20480); /* 80 MiB: more than stays warm */
    pn_heap_free(domain, large);
    CHECK(atomic_load(&domain->header->warm) == 0);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

/* Only what has been free for long enough, in pieces, the later part of a block first. */
static void
idle_blocks_are_cooled(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t old = alloc(domain, 2560), guard = alloc(domain, 1), young = alloc(domain, 8);
    alloc(domain, 1);
    pn_heap_free(domain, old); /* 10 MiB: several pieces */
    int64_t between = pn_now() + 1;
    while (pn_now() <= between) {
    }
    pn_heap_free(domain, young);
    CHECK(atomic_load(&domain->header->warm) == 2568 * PN_PAGE);
    uint64_t committed = atomic_load(&domain->header->committed);
    CHECK(pn_heap_cool(domain, between) == 2560 * PN_PAGE);
    CHECK(atomic_load(&domain->header->warm) == 8 * PN_PAGE);
    CHECK(atomic_load(&domain->header->committed) == committed - 2560 * PN_PAGE);
    CHECK_SOUND(audit_heap(domain));
    CHECK(pn_heap_cool(domain, between) == 0);
    CHECK(pn_heap_cool(domain, pn_now() + 1) == 8 * PN_PAGE);
    CHECK(alloc(domain, 2560) == old); /* the pieces are one block again */
    pn_heap_free(domain, guard);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
a_guarded_domain_keeps_an_eighth(void)
{
    pn_domain *domain = make_domain(UINT64_C(1) << 30);
    uint64_t block = alloc(domain, 20480); /* 80 MiB */
    atomic_store(&domain->header->guardian_pid, 1);
    pn_heap_free(domain, block);
    CHECK(atomic_load(&domain->header->warm) == 20480 * PN_PAGE);
    block = alloc(domain, 40960); /* 160 MiB do not fit in there */
    CHECK(atomic_load(&domain->header->warm) == 20480 * PN_PAGE);
    pn_heap_free(domain, block);
    CHECK(atomic_load(&domain->header->warm) == 20480 * PN_PAGE); /* 128 at most are kept */
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
limits_are_errors(void)
{
    pn_domain *domain = make_domain(UINT64_C(2) << 20);
    uint64_t offset, blocks[512];
    int count = 0;
    CHECK(pn_heap_alloc(domain, UINT64_C(3) << 20, PN_BLOCK_PAYLOAD, 0, &offset) == PN_TOO_BIG);
    while (pn_heap_alloc(domain, PN_PAGE, PN_BLOCK_PAYLOAD, 0, &blocks[count]) == PN_OK) {
        count++;
        CHECK(count < 512);
    }
    CHECK(domain->limit[0] != '\0');
    CHECK(atomic_load(&domain->header->committed) <= UINT64_C(2) << 20);
    for (int i = 0; i < count; i += 2) {
        pn_heap_free(domain, blocks[i]);
    }
    CHECK(pn_heap_alloc(domain, PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset) == PN_OK);
    /* Two pages side by side are nowhere; cooling the free ones pays for two at the top. */
    CHECK(pn_heap_alloc(domain, 2 * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &offset) == PN_OK);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

static void
address_space_ends(void)
{
    pn_domain *domain = make_domain(UINT64_C(1) << 30);
    uint64_t offset;
    CHECK(pn_heap_alloc(domain, UINT64_C(300) << 20, PN_BLOCK_PAYLOAD, 0, &offset) == PN_TOO_BIG);
    pn_status status = pn_heap_alloc(domain, UINT64_C(254) << 20, PN_BLOCK_PAYLOAD, 0, &offset);
    CHECK(status == PN_NO_MEMORY || status == PN_TOO_BIG);
    CHECK_SOUND(audit_heap(domain));
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(blocks_are_apart_and_come_back);
    RUN(neighbours_merge);
    RUN(a_hint_never_points_inside_a_block);
    RUN(random_work_keeps_the_accounts);
    RUN(large_free_blocks_give_their_pages_back);
    RUN(idle_blocks_are_cooled);
    RUN(a_guarded_domain_keeps_an_eighth);
    RUN(limits_are_errors);
    RUN(address_space_ends);
    return 0;
}
