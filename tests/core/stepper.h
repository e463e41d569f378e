/* One instruction of another process at a time. ptrace(2). */
#ifndef TESTS_STEPPER_H
#define TESTS_STEPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum {
    STEP_STOPPED, /* stands before its next instruction */
    STEP_ASLEEP,  /* sleeps inside the system call that it was to step over */
    STEP_GONE     /* ended */
} step_result;

/* Once in the process that steps others: a timer, so that a sleeping victim is noticed. */
void stepper_begin(void);
/* In the victim: let the parent step this process; stops here until it does. */
void step_me(void);
/* In the parent: wait until the child stands in step_me(). */
bool step_attach(pid_t pid);
step_result step_once(pid_t pid);
/* After STEP_ASLEEP: wait for the end of that step. */
step_result step_again(pid_t pid);
/* Let it run to the first instruction of `function`, which stands in this program too. */
bool step_to(pid_t pid, void (*function)(void));
/* Is its next instruction a system call? True where that is not known. */
bool step_at_call(pid_t pid);
uint64_t step_peek(pid_t pid, const void *address);

/* Does the process sleep in a futex call? */
bool is_asleep(pid_t pid);

#endif
