#include "waits.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"

/* A free line, ours from now on, and not to be read yet. */
static pn_wait *
take_wait(pn_domain *domain, pn_wait_kind kind)
{
    pn_thread *self = pn_self();
    uint64_t me = (uint64_t)(domain->slot + 1) << 32 | self->tid;
    uint32_t at = self->tid % PN_WAITS;
    for (uint32_t turn = 0; turn < 64; turn++, at = (at + 1) % PN_WAITS) {
        pn_wait *wait = &domain->waits[at];
        uint64_t nobody = 0;
        if (atomic_load_explicit(&wait->owner, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&wait->owner, &nobody, me)) {
            atomic_store_explicit(&wait->since, pn_now(), memory_order_relaxed);
            atomic_store_explicit(&wait->kind, kind, memory_order_relaxed);
            atomic_fetch_add_explicit(&wait->sequence, 1, memory_order_relaxed);
            return wait;
        }
    }
    return NULL;
}

pn_wait *
pn_wait_begin(pn_domain *domain, uint64_t object, pn_wait_kind kind)
{
    pn_wait *wait = take_wait(domain, kind);
    if (wait != NULL) {
        atomic_store_explicit(&wait->object, object, memory_order_release);
    }
    return wait;
}

pn_wait *
pn_wait_begin_file(pn_domain *domain, int fd)
{
    struct stat status;
    pn_wait *wait = fstat(fd, &status) == 0 ? take_wait(domain, PN_WAIT_FILE) : NULL;
    if (wait != NULL) {
        atomic_store_explicit(&wait->device, status.st_dev, memory_order_relaxed);
        atomic_store_explicit(&wait->inode, status.st_ino, memory_order_relaxed);
        atomic_store_explicit(&wait->descriptor, (uint32_t)fd, memory_order_relaxed);
        atomic_store_explicit(&wait->object, PN_WAIT_OUTSIDE, memory_order_release);
    }
    return wait;
}

void
pn_wait_end(pn_wait *wait)
{
    if (wait != NULL) {
        atomic_store_explicit(&wait->object, 0, memory_order_relaxed);
        atomic_store_explicit(&wait->owner, 0, memory_order_release);
    }
}

uint32_t
pn_wait_count(pn_domain *domain, uint64_t object)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PN_WAITS; i++) {
        count += atomic_load_explicit(&domain->waits[i].object, memory_order_acquire) == object;
    }
    return count;
}

bool
pn_wait_read(pn_domain *domain, uint32_t index, pn_wait *copy)
{
    const pn_wait *wait = &domain->waits[index];
    uint64_t owner = atomic_load(&wait->owner);
    uint32_t sequence = atomic_load(&wait->sequence);
    uint64_t object = atomic_load(&wait->object);
    if (owner == 0 || object == 0) {
        return false;
    }
    memset(copy, 0, sizeof(*copy));
    atomic_init(&copy->owner, owner);
    atomic_init(&copy->object, object);
    atomic_init(&copy->sequence, sequence);
    atomic_init(&copy->kind, atomic_load(&wait->kind));
    atomic_init(&copy->since, atomic_load(&wait->since));
    atomic_init(&copy->device, atomic_load(&wait->device));
    atomic_init(&copy->inode, atomic_load(&wait->inode));
    atomic_init(&copy->descriptor, atomic_load(&wait->descriptor));
    return atomic_load(&wait->object) == object && atomic_load(&wait->sequence) == sequence &&
           atomic_load(&wait->owner) == owner;
}
