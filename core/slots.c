#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "proc.h"
#include "sweep.h"

/* A line whose process has not told its pid is given up after so long: twice if the parent is
 * still there; soon if it is not and the child, if it was ever forked, takes its line at once
 * (one of the standard library's does so when it unpickles its arguments). */
#define STARTING_LIMIT_NS (60 * 1000000000LL)
#define ORPHAN_LIMIT_NS (1 * 1000000000LL)

static uint64_t
look_without_proc(uint32_t pid)
{
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH ? 0 : PN_UNTOLD;
}

typedef struct {
    uint64_t start; /* clock ticks after boot; 0: it is gone, or a zombie; PN_UNTOLD */
    uint64_t stack; /* where it begins; 0 if that is a secret, as after exec of a setuid program */
    uint64_t began; /* of a zombie too */
    int status;     /* of a zombie, as wait(2) tells it, or 0 if that is a secret; -1: not told */
} proc_stat;

static void
parse_stat(char *at, proc_stat *stat)
{
    char state = at[2];
    long threads = 1;
    char *rest = NULL;
    int field = 3;
    int last = state == 'Z' ? 52 : 28;
    for (char *word = strtok_r(at + 2, " ", &rest); word != NULL && field <= last;
         word = strtok_r(NULL, " ", &rest), field++) {
        if (field == 20) {
            threads = atol(word);
        } else if (field == 22) {
            stat->began = strtoull(word, NULL, 10);
        } else if (field == 28) {
            uint64_t told = strtoull(word, NULL, 10);
            stat->stack = told > 1 ? told : 0; /* 1 stands for "not for you" */
        } else if (field == 52) {
            stat->status = atoi(word);
        }
    }
    /* A zombie leader with other threads running is a process that lives on. */
    bool gone = state == 'X' || (state == 'Z' && threads <= 1);
    stat->start = gone ? 0 : stat->began;
    stat->status = gone ? stat->status : -1;
}

static proc_stat
look_at(uint32_t pid)
{
    proc_stat result = {.status = -1};
    char path[40], text[1024];
    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        result.start = look_without_proc(pid);
        return result;
    }
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0) {
        result.start = look_without_proc(pid);
        return result;
    }
    text[length] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    if (at != NULL && at[1] != '\0') {
        parse_stat(at, &result);
    }
    return result;
}

uint64_t
pn_start_time(uint32_t pid)
{
    return look_at(pid).start;
}

/* For a line of the table, where 0 is: not known. */
static uint64_t
told(uint64_t start)
{
    return start == PN_UNTOLD ? 0 : start;
}

static void
set_name(char *field, size_t size, const char *name)
{
    size_t length = strnlen(name, size - 1);
    while (length > 0 && name[length] != '\0' && (name[length] & 0xc0) == 0x80) {
        length--; /* do not cut a UTF-8 character */
    }
    memcpy(field, name, length);
    field[length] = '\0';
}

static bool
reserve_line(pn_domain *domain, const char *name, uint32_t flags, uint32_t *index)
{
    /* In turn, so that a line keeps its last process's pid and flags for a while. */
    uint32_t first = atomic_load(&domain->header->next_slot);
    for (uint32_t turn = 0; turn < PN_SLOTS; turn++) {
        uint32_t i = (first + turn) % PN_SLOTS;
        pn_slot *slot = &domain->slots[i];
        if (atomic_load(&slot->state) != PN_SLOT_FREE) {
            continue;
        }
        atomic_store(&domain->header->next_slot, (i + 1) % PN_SLOTS);
        atomic_fetch_add(&slot->generation, 1);
        atomic_store(&slot->pid, 0);
        atomic_store(&slot->start_time, 0);
        atomic_store(&slot->stack, 0);
        atomic_store(&slot->flags, flags | (domain->visitor ? PN_SLOT_VISITOR : 0));
        atomic_store(&slot->parent_slot, domain->slot);
        atomic_store(&slot->parent_generation, domain->generation);
        atomic_store(&slot->report, 0);
        slot->reserved_at = pn_now();
        set_name(slot->name, sizeof(slot->name), name);
        atomic_store(&slot->state, PN_SLOT_STARTING);
        *index = i;
        return true;
    }
    return false;
}

/* Under the lock: a line that nobody claimed in time is swept and reserved again under it. */
static pn_status
claim_locked(pn_domain *domain, uint32_t index, uint32_t generation, const proc_stat *self)
{
    pn_slot *slot = &domain->slots[index];
    if (atomic_load(&slot->generation) != generation ||
        atomic_load(&slot->state) != PN_SLOT_STARTING) {
        return PN_STALE;
    }
    atomic_store(&slot->pid, (uint32_t)getpid());
    atomic_store(&slot->start_time, told(self->start));
    atomic_store(&slot->stack, self->stack);
    domain->slot = index;
    domain->generation = generation;
    domain->visitor = atomic_load(&slot->flags) & PN_SLOT_VISITOR;
    domain->ends_badly = false;
    atomic_store(&slot->state, PN_SLOT_LIVE);
    return PN_OK;
}

pn_status
pn_slot_claim(pn_domain *domain, uint32_t index, uint32_t generation)
{
    if (index >= PN_SLOTS) {
        return PN_STALE;
    }
    proc_stat self = look_at((uint32_t)getpid()); /* outside the lock: it reads /proc */
    pn_status status = pn_domain_enter(domain);
    if (status == PN_OK) {
        status = claim_locked(domain, index, generation, &self);
        pn_domain_leave(domain);
    }
    return status;
}

/* `self` NULL: it is for a child. */
static pn_status
reserve(pn_domain *domain, const char *name, uint32_t flags, const proc_stat *self, uint32_t *index,
        uint32_t *generation)
{
    bool found = false;
    for (int turn = 0; turn < 2 && !found; turn++) {
        pn_status status = pn_domain_enter(domain);
        if (status != PN_OK) {
            return status;
        }
        found = reserve_line(domain, name, flags, index);
        if (found) {
            *generation = atomic_load(&domain->slots[*index].generation);
        }
        if (found && self != NULL) {
            claim_locked(domain, *index, *generation, self);
        }
        pn_domain_leave(domain);
        if (!found && pn_sweep_hard(domain) == 0) {
            break;
        }
    }
    return found ? PN_OK : PN_NO_SLOT;
}

pn_status
pn_slot_reserve(pn_domain *domain, const char *name, uint32_t flags, uint32_t *index,
                uint32_t *generation)
{
    return reserve(domain, name, flags, NULL, index, generation);
}

pn_status
pn_slot_take(pn_domain *domain, uint32_t flags)
{
    uint32_t index, generation;
    proc_stat self = look_at((uint32_t)getpid());
    return reserve(domain, "", flags, &self, &index, &generation);
}

void
pn_slot_set_pid(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t pid)
{
    pn_slot *slot = &domain->slots[index];
    uint32_t none = 0;
    if (atomic_load(&slot->generation) != generation) {
        return;
    }
    if (atomic_compare_exchange_strong(&slot->pid, &none, pid)) {
        atomic_store(&slot->start_time, told(pn_start_time(pid)));
    }
}

void
pn_slot_mark(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t flags)
{
    if (index < PN_SLOTS && atomic_load(&domain->slots[index].generation) == generation) {
        atomic_fetch_or(&domain->slots[index].flags, flags);
    }
}

void
pn_slot_judge(pn_domain *domain, uint32_t index, uint32_t generation, bool is_clean)
{
    pn_slot *slot = &domain->slots[index];
    if (index >= PN_SLOTS || atomic_load(&slot->generation) != generation) {
        return;
    }
    if (index == domain->slot) {
        domain->ends_badly = !is_clean;
    }
    if (is_clean) {
        atomic_fetch_or(&slot->flags, PN_SLOT_CLEAN);
    } else {
        atomic_fetch_and(&slot->flags, ~(uint32_t)PN_SLOT_CLEAN);
    }
}

/* The kernel writes 0 for the status of a process that we may not look into: one of another user,
 * with more capabilities, in another user namespace. This link is behind the same check. */
static bool
may_look_into(uint32_t pid)
{
    char path[40], target[64];
    snprintf(path, sizeof(path), "/proc/%u/ns/user", pid);
    return readlink(path, target, sizeof(target)) > 0;
}

/* How the kernel says that it ended, as wait(2) tells it; -1: not told, or it is reaped already. */
static int
told_status(const pn_slot *slot)
{
    uint32_t pid = atomic_load(&slot->pid);
    uint64_t known = atomic_load(&slot->start_time);
    proc_stat stat = look_at(pid);
    if (known == 0 || stat.began != known) {
        return -1;
    }
    if (stat.status != 0) {
        return stat.status;
    }
    /* A zombie before and after: the link was its own, not that of the next one with its pid. */
    bool is_sure = may_look_into(pid);
    stat = look_at(pid);
    return is_sure && stat.began == known ? stat.status : -1;
}

pn_end
pn_slot_end(pn_domain *domain, uint32_t index, bool awaited)
{
    pn_slot *slot = &domain->slots[index];
    /* As long as nobody has reaped it, the kernel tells, whatever it said itself. */
    int status = told_status(slot);
    if (status >= 0) {
        return status == 0 ? PN_END_CLEAN : PN_END_ABNORMAL;
    }
    if (awaited) {
        return PN_END_UNKNOWN; /* being reaped just now: its parent knows */
    }
    return atomic_load(&slot->flags) & PN_SLOT_CLEAN ? PN_END_CLEAN : PN_END_ABNORMAL;
}

bool
pn_slot_flags(pn_domain *domain, uint32_t index, uint32_t generation, uint32_t *flags)
{
    pn_slot *slot = &domain->slots[index];
    *flags = atomic_load(&slot->flags);
    return atomic_load(&slot->generation) == generation;
}

typedef struct {
    uint64_t length;
    char bytes[];
} report;

pn_status
pn_slot_set_report(pn_domain *domain, const void *words, size_t length)
{
    uint64_t offset;
    pn_status status = pn_heap_alloc(domain, sizeof(report) + length, PN_BLOCK_REPORT, 0, &offset);
    if (status != PN_OK) {
        return status;
    }
    report *last = pn_at(domain, offset);
    last->length = length;
    memcpy(last->bytes, words, length);
    uint64_t old = atomic_exchange(&domain->slots[domain->slot].report, offset);
    if (old != 0) {
        pn_heap_free(domain, old);
    }
    return PN_OK;
}

const char *
pn_slot_report(pn_domain *domain, uint32_t index, uint32_t generation, size_t *length)
{
    pn_slot *slot = &domain->slots[index];
    uint64_t offset = atomic_load(&slot->report);
    if (atomic_load(&slot->generation) != generation || atomic_load(&slot->state) == PN_SLOT_FREE ||
        offset == 0) {
        return NULL;
    }
    const report *last = pn_at(domain, offset);
    *length = last->length;
    return last->bytes;
}

bool
pn_guardian_claim(pn_domain *domain, uint32_t fd)
{
    pn_header *header = domain->header;
    if (pn_domain_enter(domain) != PN_OK) {
        return false;
    }
    uint32_t pid = atomic_load(&header->guardian_pid);
    uint64_t start = pid != 0 ? pn_start_time(pid) : 0;
    bool is_free =
        start == 0 || (start != PN_UNTOLD && start != atomic_load(&header->guardian_start));
    if (is_free) {
        atomic_store(&header->guardian_pid, 0); /* a reader sees all three or no guardian */
        atomic_store(&header->guardian_fd, fd);
        atomic_store(&header->guardian_start, pn_start_time((uint32_t)getpid()));
        atomic_store(&header->guardian_pid, (uint32_t)getpid());
    }
    pn_domain_leave(domain);
    return is_free;
}

static bool
slot_parent_alive(pn_domain *domain, pn_slot *slot)
{
    uint32_t parent = atomic_load(&slot->parent_slot);
    return parent < PN_SLOTS &&
           atomic_load(&domain->slots[parent].generation) ==
               atomic_load(&slot->parent_generation) &&
           atomic_load(&domain->slots[parent].state) == PN_SLOT_LIVE &&
           pn_slot_alive(domain, parent);
}

bool
pn_slot_awaited(pn_domain *domain, uint32_t index)
{
    pn_slot *slot = &domain->slots[index];
    uint32_t foreign = PN_SLOT_PLAIN | PN_SLOT_FOREIGN;
    return !(atomic_load(&slot->flags) & (foreign | PN_SLOT_REAPED)) &&
           slot_parent_alive(domain, slot);
}

/* Reserved, not begun: alive as long as somebody may still begin it. */
static bool
may_begin(pn_domain *domain, pn_slot *slot)
{
    int64_t limit =
        atomic_load(&slot->flags) & PN_SLOT_FOREIGN ? STARTING_LIMIT_NS : ORPHAN_LIMIT_NS;
    int64_t age = pn_now() - slot->reserved_at;
    return age < limit || (age < 2 * STARTING_LIMIT_NS && slot_parent_alive(domain, slot));
}

bool
pn_slot_alive(pn_domain *domain, uint32_t index)
{
    pn_slot *slot = &domain->slots[index];
    uint32_t state = atomic_load(&slot->state);
    if (state == PN_SLOT_FREE || state == PN_SLOT_DEAD) {
        return false;
    }
    uint32_t pid = atomic_load(&slot->pid);
    if (pid == 0) {
        return may_begin(domain, slot);
    }
    proc_stat now = look_at(pid);
    uint64_t stack = now.stack, start = now.start;
    uint64_t known = atomic_load(&slot->start_time), known_stack = atomic_load(&slot->stack);
    return start != 0 && (known == 0 || start == PN_UNTOLD || known == start) &&
           (stack == 0 || known_stack == 0 || stack == known_stack);
}

bool
pn_slot_owner_alive(void *context, uint32_t owner)
{
    pn_domain *domain = context;
    if (owner & PN_LEDGER) {
        uint32_t index = owner & ~PN_LEDGER;
        /* An owner without a line of the table (it was full) cannot be judged. */
        return index >= PN_SLOTS || pn_slot_alive(domain, index);
    }
    /* A tid. Where the kernel keeps robust lists it marks the dead itself. */
    if (pn_platform.robust_list) {
        return true;
    }
    if (kill((pid_t)owner, 0) != 0 && errno == ESRCH) {
        return false; /* kill(2) takes any thread's id */
    }
    /* The tid may have come back in a process that has nothing to do with us. */
    char path[48];
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        uint32_t pid = atomic_load(&domain->slots[i].pid);
        uint32_t state = atomic_load(&domain->slots[i].state);
        if (pid == 0 || state == PN_SLOT_FREE || state == PN_SLOT_DEAD) {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%u/task/%u", pid, owner);
        if (access(path, F_OK) == 0 && pn_slot_alive(domain, i)) {
            return true; /* else it is the line of a dead process whose pid came back, or of this one */
        }
    }
    /* Without a line: the guardian, who takes none, one that is about to take its own, one that found the table full. */
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%u/maps", owner);
    return fstat(domain->fd, &info) == 0 && pn_maps_file(path, "/memfd:procession", info.st_ino);
}
