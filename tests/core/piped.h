/* A pipe, what is said and heard through it, and processes that are killed, for the tests of it. */
#ifndef TESTS_PIPED_H
#define TESTS_PIPED_H

#include <signal.h>

#include "check.h"
#include "items.h"
#include "pipe.h"

extern pn_domain *domain;
extern uint64_t heard[PN_RING_INLINE / 8 + 16]; /* what was heard last */

void make_pipe(pn_pipe_end ends[2], bool duplex, uint64_t max_bytes);
/* Nothing of it may be left, whoever died. */
void close_domain(void);
pn_status send_bytes(pn_pipe_end *end, uint32_t id, uint32_t length, int64_t deadline);
pn_status say(pn_pipe_end *end, uint32_t id);
pn_status hear(pn_pipe_end *end, uint32_t *id, int64_t deadline);
void check_heard(pn_pipe_end *end, uint32_t wanted);
void check_over(pn_pipe_end *end);
void check_open(pn_pipe_end *end);
void end_by_kill(pid_t pid);
void ends_well(pid_t pid);
void until_it_waits(pn_ring *ring);

/* A process that does it and then waits to be killed; it has done it when this goes on. */
#define PROCESS(pid, ...)                                                                          \
    pid_t pid;                                                                                     \
    do {                                                                                           \
        int told_[2];                                                                              \
        char byte_ = 0;                                                                            \
        CHECK(pipe(told_) == 0);                                                                   \
        pid = fork();                                                                              \
        if (pid == 0) {                                                                            \
            __VA_ARGS__;                                                                           \
            CHECK(write(told_[1], &byte_, 1) == 1);                                                \
            for (;;) {                                                                             \
                pause();                                                                           \
            }                                                                                      \
        }                                                                                          \
        close(told_[1]);                                                                           \
        CHECK(read(told_[0], &byte_, 1) == 1);                                                     \
        close(told_[0]);                                                                           \
    } while (0)

#endif
