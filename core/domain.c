#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "domain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "budget.h"
#include "heap.h"
#include "listen.h"
#include "object.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* ---- all domains of this process, for the fork handlers ---------------- */

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static pn_domain *registry;
/* Each thread's own: another one may fork in between. */
static _Thread_local struct {
    pn_domain *domain; /* NULL: no slot is reserved for its next child */
    uint32_t slot, generation;
} armed;

static void
before_fork(void)
{
    pthread_mutex_lock(&registry_mutex);
    for (pn_domain *domain = registry; domain != NULL; domain = domain->next) {
        if (domain == armed.domain) {
            domain->child_slot = armed.slot;
            domain->child_generation = armed.generation;
            armed.domain = NULL;
            domain->slots[domain->child_slot].reserved_at = pn_now();
        } else if (domain->slot == PN_SLOTS ||
                   pn_slot_reserve(domain, "", PN_SLOT_PLAIN, &domain->child_slot,
                                   &domain->child_generation) != PN_OK) {
            domain->child_slot = PN_SLOTS; /* the table is full: the child goes unseen */
        }
        pthread_mutex_lock(&domain->mutex);
        pn_object_hold_all_for(domain, domain->child_slot);
    }
}

static void
after_fork_in_parent(void)
{
    for (pn_domain *domain = registry; domain != NULL; domain = domain->next) {
        domain->child_slot = PN_SLOTS;
        pthread_mutex_unlock(&domain->mutex);
    }
    pthread_mutex_unlock(&registry_mutex);
}

static void
after_fork_in_child(void)
{
    pn_thread_after_fork();
    for (pn_domain *domain = registry; domain != NULL; domain = domain->next) {
        uint32_t index = domain->child_slot, generation = domain->child_generation;
        domain->child_slot = PN_SLOTS;
        domain->slot = PN_SLOTS;
        atomic_store(&domain->took_leases, 0);
        for (size_t i = 0; i < domain->held_capacity; i++) {
            domain->held[i].is_handed = false;
        }
        if (index != PN_SLOTS && pn_slot_claim(domain, index, generation) == PN_STALE) {
            /* Given up: our parent was killed, and we did not run for a second. */
            pn_slot_take(domain, PN_SLOT_PLAIN);
            pn_object_hold_again(domain);
        }
        pthread_mutex_init(&domain->mutex, NULL);
    }
    pthread_mutex_init(&registry_mutex, NULL);
}

void
pn_domain_arm_fork(pn_domain *domain, uint32_t slot, uint32_t generation)
{
    armed.domain = domain;
    armed.slot = slot;
    armed.generation = generation;
}

static void
enlist(pn_domain *domain)
{
    static bool handlers;
    pthread_mutex_lock(&registry_mutex);
    if (!handlers) {
        handlers = true;
        pn_at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
    domain->next = registry;
    registry = domain;
    pthread_mutex_unlock(&registry_mutex);
}

static void
delist(pn_domain *domain)
{
    pthread_mutex_lock(&registry_mutex);
    for (pn_domain **at = &registry; *at != NULL; at = &(*at)->next) {
        if (*at == domain) {
            *at = domain->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry_mutex);
}

/* ---- mapping ----------------------------------------------------------- */

static uint64_t
pages(uint64_t bytes)
{
    return (bytes + PN_PAGE - 1) / PN_PAGE * PN_PAGE;
}

static uint64_t
pid_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

static pn_domain *
map(int fd, uint64_t size)
{
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    /* A core dump of an untouched 1 GiB memfd takes ten seconds and charges it all. */
    madvise(base, size, MADV_DONTDUMP);
    pn_domain *domain = calloc(1, sizeof(*domain));
    if (domain == NULL) {
        munmap(base, size);
        return NULL;
    }
    domain->base = base;
    domain->header = (pn_header *)base;
    domain->size = size;
    domain->fd = fd;
    domain->slot = PN_SLOTS;
    domain->child_slot = PN_SLOTS;
    pthread_mutex_init(&domain->mutex, NULL);
    domain->slots = (pn_slot *)(base + PN_PAGE);
    domain->waits = (pn_wait *)(domain->slots + PN_SLOTS);
    domain->listeners = (pn_listener *)(domain->waits + PN_WAITS);
    domain->blocks = (pn_block *)(domain->listeners + PN_LISTENERS);
    return domain;
}

static void
unmap(pn_domain *domain)
{
    munmap(domain->base, domain->size);
    pthread_mutex_destroy(&domain->mutex);
    free(domain->held);
    free(domain);
}

/* Sparse, as large as the limits of this process let it be: ulimit -v answers
 * ENOMEM, ulimit -f EFBIG (or SIGXFSZ), valgrind EINVAL. */
static pn_domain *
map_largest(int fd, uint64_t size)
{
    for (uint64_t wanted = size ? size : 64 * GIB; wanted >= 64 * MIB; wanted /= 4) {
        if (ftruncate(fd, (off_t)wanted) == 0) {
            pn_domain *domain = map(fd, wanted);
            if (domain != NULL) {
                return domain;
            }
        }
        if (size != 0) {
            return NULL;
        }
    }
    errno = size != 0 ? EINVAL : ENOMEM;
    return NULL;
}

static uint64_t
half_of_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

pn_status
pn_domain_create(pn_domain **result, uint64_t size, uint64_t max_bytes, const uint8_t uuid[16])
{
    pn_platform_init();
    int fd = memfd_create("procession", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return PN_SYSTEM;
    }
    pn_domain *domain = map_largest(fd, pages(size));
    if (domain == NULL) {
        int error = errno;
        close(fd);
        errno = error;
        return PN_SYSTEM;
    }
    pn_header *header = domain->header;
    uint64_t table = pn_offset(domain, domain->blocks);
    if (fallocate(fd, 0, 0, (off_t)table) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        unmap(domain);
        close(fd);
        return PN_SYSTEM;
    }
    header->version = PN_LAYOUT_VERSION;
    memcpy(header->uuid, uuid, 16);
    header->size = domain->size;
    atomic_store(&header->max_bytes, max_bytes ? max_bytes : half_of_memory());
    header->pid_namespace = pid_namespace();
    header->table_offset = table;
    header->heap_pages = (domain->size - table) / (PN_PAGE + sizeof(pn_block));
    header->heap_offset = pages(table + header->heap_pages * sizeof(pn_block));
    header->heap_pages = (domain->size - header->heap_offset) / PN_PAGE;
    atomic_store(&header->committed, table);
    for (uint32_t i = 0; i < PN_HINTS; i++) {
        header->hint[i] = header->heap_pages;
    }
    header->magic = PN_MAGIC;
    pn_status status = pn_slot_take(domain, 0);
    if (status != PN_OK) {
        unmap(domain);
        close(fd);
        return status;
    }
    enlist(domain);
    *result = domain;
    return PN_OK;
}

pn_status
pn_domain_identify(int fd, pn_identity *identity)
{
    pn_header header;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return PN_SYSTEM;
    }
    /* The seal, too: nobody can shrink it under us, which would be SIGBUS. */
    int seals = fcntl(fd, F_GET_SEALS);
    if (info.st_size < (off_t)(64 * MIB) || seals < 0 || !(seals & F_SEAL_SHRINK) ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        header.magic != PN_MAGIC) {
        return PN_LAYOUT;
    }
    memcpy(identity->uuid, header.uuid, sizeof(identity->uuid));
    identity->version = header.version;
    identity->pid_namespace = header.pid_namespace;
    return PN_OK;
}

pn_status
pn_domain_attach(pn_domain **result, int fd)
{
    pn_platform_init();
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return PN_SYSTEM;
    }
    if (info.st_size < (off_t)(64 * MIB)) {
        errno = EINVAL;
        return PN_SYSTEM;
    }
    pn_domain *domain = map(fd, (uint64_t)info.st_size);
    if (domain == NULL) {
        return PN_SYSTEM;
    }
    pn_status status = PN_OK;
    if (domain->header->magic != PN_MAGIC || domain->header->version != PN_LAYOUT_VERSION) {
        status = PN_LAYOUT;
    } else if (domain->header->pid_namespace != pid_namespace()) {
        status = PN_NAMESPACE;
    }
    if (status != PN_OK) {
        unmap(domain);
        return status;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    enlist(domain);
    *result = domain;
    return PN_OK;
}

void
pn_domain_close(pn_domain *domain)
{
    if (domain->pins > 0) {
        return; /* at the end of the interpreter: children of ours live on */
    }
    if (domain->visitor && domain->slot != PN_SLOTS) {
        pn_sweep_slot(domain, domain->slot, domain->generation); /* as if we had ended */
    }
    delist(domain);
    close(domain->fd);
    unmap(domain);
}

/* ---- the domain lock ---------------------------------------------------- */

pn_status
pn_domain_enter(pn_domain *domain)
{
    pn_status status = pn_lock_enter(&domain->header->lock, pn_slot_owner_alive, domain);
    if (status == PN_OWNER_DIED) {
        /* What is committed by single stores is right; sums and hints are derived anew. */
        pn_heap_recount(domain);
        pn_slab_relink(domain);
        status = PN_OK;
    }
    return status;
}

void
pn_domain_leave(pn_domain *domain)
{
    pn_lock_release(&domain->header->lock);
}

pn_status
pn_domain_commit(pn_domain *domain, uint64_t offset, uint64_t length)
{
    pn_header *header = domain->header;
    uint64_t committed = atomic_load_explicit(&header->committed, memory_order_relaxed);
    uint64_t cap = atomic_load_explicit(&header->max_bytes, memory_order_relaxed);
    if (committed + length > cap) {
        snprintf(domain->limit, sizeof(domain->limit),
                 "max_bytes of the domain, %llu bytes, of which %llu are in use",
                 (unsigned long long)cap, (unsigned long long)committed);
        return PN_NO_MEMORY;
    }
    if (length >= MIB || (committed ^ (committed + length)) >> 20 != 0) {
        /* Reading the limits takes longer than the allocation: look once per MiB. */
        char name[96] = "the machine's memory";
        uint64_t room = pn_budget(name, sizeof(name));
        if (length > room) {
            snprintf(domain->limit, sizeof(domain->limit), "%s", name);
            return PN_NO_MEMORY;
        }
    }
    int result;
    do {
        result = fallocate(domain->fd, 0, (off_t)offset, (off_t)length);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        snprintf(domain->limit, sizeof(domain->limit), "fallocate failed: errno %d", errno);
        return PN_NO_MEMORY;
    }
    atomic_store_explicit(&header->committed, committed + length, memory_order_relaxed);
    return PN_OK;
}

void
pn_domain_punch(pn_domain *domain, uint64_t offset, uint64_t length)
{
    fallocate(domain->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
    atomic_fetch_sub_explicit(&domain->header->committed, length, memory_order_relaxed);
}
