/* What the tests of pipes share. */
#define _GNU_SOURCE
#include "piped.h"

#include "heap.h"
#include "listen.h"
#include "sweep.h"
#include "waits.h"

pn_domain *domain;
uint64_t heard[PN_RING_INLINE / 8 + 16];

/* ---- a pipe, and what is said through it ------------------------------------------ */

void
make_pipe(pn_pipe_end ends[2], bool duplex, uint64_t max_bytes)
{
    uint32_t generation[2];
    domain = make_domain(0);
    CHECK(pn_pipe_new(domain, "pipe", duplex, max_bytes, ends, generation) == PN_OK);
}

/* Nothing of it may be left, whoever died. */
void
close_domain(void)
{
    pn_sweep(domain);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0);
    CHECK(pn_heap_used(domain, PN_BLOCK_SEGMENT) + pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

pn_status
send_bytes(pn_pipe_end *end, uint32_t id, uint32_t length, int64_t deadline)
{
    parcel parcel;
    parcel_clear(&parcel);
    if (length != 0) {
        parcel_add_bytes(&parcel, id, length);
    } else {
        parcel_add(&parcel, id);
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_status status;
    pn_end_use(end);
    do {
        status = deadline ? pn_end_send(end, &batch, deadline) : pn_end_try_send(end, &batch);
    } while (status == PN_INTERRUPTED);
    return status;
}

pn_status
say(pn_pipe_end *end, uint32_t id)
{
    return send_bytes(end, id, 0, PN_FOREVER);
}

pn_status
hear(pn_pipe_end *end, uint32_t *id, int64_t deadline)
{
    pn_sink sink = {.bytes = (char *)heard, .capacity = sizeof(heard), .limit = 1};
    pn_status status;
    pn_end_use(end);
    do {
        status = deadline ? pn_end_receive(end, &sink, deadline) : pn_end_try_receive(end, &sink);
    } while (status == PN_INTERRUPTED);
    if (status == PN_OK) {
        *id = item_id((pn_record *)heard);
        CHECK(item_is_whole(domain, (pn_record *)heard));
    }
    return status;
}

void
check_heard(pn_pipe_end *end, uint32_t wanted)
{
    uint32_t id = 0;
    CHECK(hear(end, &id, PN_FOREVER) == PN_OK);
    CHECK(id == wanted);
}

void
check_over(pn_pipe_end *end)
{
    uint32_t id;
    CHECK(hear(end, &id, 0) == PN_SHUT_DOWN);
    CHECK(hear(end, &id, PN_FOREVER) == PN_SHUT_DOWN);
    CHECK(pn_end_try_poll(end) == PN_SHUT_DOWN);
    CHECK(pn_end_poll(end, PN_FOREVER) == PN_SHUT_DOWN);
    CHECK(pn_end_is_ready(domain, end->offset, PN_FOR_GET));
}

void
check_open(pn_pipe_end *end)
{
    uint32_t id;
    CHECK(!pn_end_peer_is_over(end));
    CHECK(hear(end, &id, 0) == PN_EMPTY);
    CHECK(hear(end, &id, pn_now() + 1000000) == PN_TIMEOUT);
    CHECK(pn_end_try_poll(end) == PN_EMPTY);
    CHECK(!pn_end_is_ready(domain, end->offset, PN_FOR_GET));
}

/* ---- other processes ---------------------------------------------------------------- */

void
end_by_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

void
ends_well(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

void
until_it_waits(pn_ring *ring)
{
    while (pn_wait_count(domain, ring->offset) == 0) {
        usleep(100);
    }
}
