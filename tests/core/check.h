/* What the test programs share: CHECK, a domain, a test by its name. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "domain.h"

#define CHECK(truth)                                                                               \
    do {                                                                                           \
        if (!(truth)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #truth);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* For what audit.h answers. */
#define CHECK_SOUND(answer)                                                                        \
    do {                                                                                           \
        const char *wrong_ = (answer);                                                             \
        if (wrong_ != NULL) {                                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, wrong_);                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        alarm(120); /* a watchdog, not a measure */                                                \
        test();                                                                                    \
        printf("ok %s\n", #test);                                                                  \
    } while (0)

static inline pn_domain *
make_domain(uint64_t max_bytes)
{
    static const uint8_t uuid[16] = "a test's domain";
    pn_domain *domain;
    setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(pn_domain_create(&domain, UINT64_C(256) << 20, max_bytes, uuid) == PN_OK);
    return domain;
}

/* Run something in a process of its own that dies of SIGKILL at its end. */
#define IN_DEAD_PROCESS(...)                                                                       \
    do {                                                                                           \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0) {                                                                           \
            __VA_ARGS__;                                                                           \
            kill(getpid(), SIGKILL);                                                               \
        }                                                                                          \
        int status_;                                                                               \
        CHECK(waitpid(pid_, &status_, 0) == pid_);                                                 \
        CHECK(WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL);                               \
    } while (0)

#endif
