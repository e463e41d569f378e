#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "children_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "detached.h"
#include "slots.h"

#define RETRY_MS 200 /* how long a new one may take before another is tried */

/* The janitor's mutex guards it. */
static struct {
    char **argv; /* kept for the day on which it dies */
    pn_domain *domain;
    int pidfd; /* -1: not known */
    int64_t tried;
} guardian = {.pidfd = -1};

int
pn_guardian_pidfd(void)
{
    return guardian.pidfd;
}

int
pn_guardian_mind(void)
{
    if (guardian.argv == NULL) {
        return -1;
    }
    if (guardian.pidfd >= 0) {
        struct pollfd ended = {.fd = guardian.pidfd, .events = POLLIN};
        if (poll(&ended, 1, 0) == 0) {
            return -1;
        }
        close(guardian.pidfd);
        guardian.pidfd = -1;
    }
    pn_header *header = guardian.domain->header;
    pid_t pid = (pid_t)atomic_load(&header->guardian_pid);
    int pidfd = pid != 0 ? pn_open_pidfd(pid) : -1;
    if (pidfd >= 0 && pn_start_time((uint32_t)pid) == atomic_load(&header->guardian_start)) {
        guardian.pidfd = pidfd;
        return -1;
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    int64_t now = pn_now();
    if (now - guardian.tried > RETRY_MS * INT64_C(1000000)) {
        guardian.tried = now;
        pn_run_detached((const char *const *)guardian.argv, guardian.domain->fd);
    }
    return RETRY_MS / 10;
}

static char **
copy_command(const char *const argv[])
{
    size_t count = 0;
    while (argv[count] != NULL) {
        count++;
    }
    char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = strdup(argv[i]);
    }
    return copy;
}

int
pn_guardian_arm(pn_domain *domain, const char *const argv[])
{
    pthread_mutex_lock(&pn_janitor.mutex);
    if (guardian.argv == NULL) {
        guardian.argv = copy_command(argv);
        if (guardian.argv == NULL) {
            pthread_mutex_unlock(&pn_janitor.mutex);
            errno = ENOMEM;
            return -1;
        }
        guardian.domain = domain;
        atomic_store(&domain->header->guarded, 1);
        domain->pins++;
        /* Long ago: the first look starts one. */
        guardian.tried = pn_now() - INT64_C(3600) * 1000000000;
    }
    pn_guardian_mind();
    pthread_mutex_unlock(&pn_janitor.mutex);
    return 0;
}
