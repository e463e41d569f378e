/* Making and attaching a domain, and what is refused. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "heap.h"
#include "slots.h"

static const uint8_t uuid[16] = "0123456789abcde";

static void
made_as_asked_and_attached(void)
{
    pn_domain *domain = make_domain(0), *other;
    CHECK(domain->header->size == UINT64_C(256) << 20);
    CHECK(domain->slot != PN_SLOTS && count_slots(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    CHECK(ftruncate(domain->fd, 4096) != 0 && errno == EPERM); /* sealed */
    int fd = fcntl(domain->fd, F_DUPFD_CLOEXEC, 0);
    CHECK(pn_domain_attach(&other, fd) == PN_OK);
    CHECK(other->base != domain->base && other->slot == PN_SLOTS);
    CHECK(memcmp(other->header->uuid, domain->header->uuid, 16) == 0);
    CHECK(pn_domain_enter(other) == PN_OK);
    CHECK(pn_lock_try(&domain->header->lock) == PN_BUSY);
    pn_domain_leave(other);
    pn_domain_close(other);
    CHECK(fcntl(fd, F_GETFD) == -1);
    pn_domain_close(domain);
}

static void
the_size_steps_down(void)
{
    pn_domain *domain;
    CHECK(pn_domain_create(&domain, 0, 0, uuid) == PN_OK);
    CHECK(domain->size >= UINT64_C(64) << 20);
    pn_domain_close(domain);
    CHECK(pn_domain_create(&domain, UINT64_C(1) << 20, 0, uuid) == PN_SYSTEM); /* too small */
}

static void
foreign_memory_is_refused(void)
{
    pn_domain *domain = make_domain(0), *other;
    CHECK(pn_domain_attach(&other, -1) == PN_SYSTEM && errno == EBADF);
    int small = memfd_create("small", MFD_CLOEXEC);
    CHECK(pn_domain_attach(&other, small) == PN_SYSTEM && errno == EINVAL);
    CHECK(ftruncate(small, 64 << 20) == 0);
    CHECK(pn_domain_attach(&other, small) == PN_LAYOUT);
    CHECK(fcntl(small, F_GETFD) != -1); /* stays the caller's */
    close(small);
    int fd = fcntl(domain->fd, F_DUPFD_CLOEXEC, 0);
    domain->header->version++;
    CHECK(pn_domain_attach(&other, fd) == PN_LAYOUT);
    domain->header->version--;
    domain->header->pid_namespace++;
    CHECK(pn_domain_attach(&other, fd) == PN_NAMESPACE);
    domain->header->pid_namespace--;
    CHECK(pn_domain_attach(&other, fd) == PN_OK);
    pn_domain_close(other);
    pn_domain_close(domain);
}

static void
children_get_lines_of_their_own_in_every_domain(void)
{
    pn_domain *one = make_domain(0), *two = make_domain(0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(atomic_load(&one->slots[one->slot].pid) == (uint32_t)getpid());
        CHECK(atomic_load(&two->slots[two->slot].pid) == (uint32_t)getpid());
        CHECK(count_slots(one) == 2 && count_slots(two) == 2);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    pn_domain_close(one);
    pn_domain_close(two);
}

int
main(void)
{
    RUN(made_as_asked_and_attached);
    RUN(the_size_steps_down);
    RUN(foreign_memory_is_refused);
    RUN(children_get_lines_of_their_own_in_every_domain);
    return 0;
}
