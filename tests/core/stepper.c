#define _GNU_SOURCE
#include "stepper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define TICK_US 3000 /* a step that takes longer is looked at: is it asleep? */

static void
tick(int signal)
{
    (void)signal; /* makes waitpid return EINTR */
}

void
stepper_begin(void)
{
    struct sigaction action = {.sa_handler = tick};
    struct itimerval every = {.it_interval = {.tv_usec = TICK_US},
                              .it_value = {.tv_usec = TICK_US}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

void
step_me(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        perror("ptrace");
        _exit(3);
    }
    raise(SIGSTOP);
}

static int
read_proc(pid_t pid, const char *file, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

bool
is_asleep(pid_t pid)
{
    char text[512];
    if (!read_proc(pid, "stat", text, sizeof(text))) {
        return false;
    }
    const char *name_end = strrchr(text, ')');
    if (name_end == NULL || name_end[2] != 'S') {
        return false;
    }
    if (!read_proc(pid, "syscall", text, sizeof(text))) {
        return true; /* the kernel does not tell which call */
    }
    long number = text[0] >= '0' && text[0] <= '9' ? atol(text) : -1;
    return number == SYS_futex || number == SYS_futex_waitv;
}

static step_result
wait_for(pid_t pid)
{
    for (;;) {
        int status;
        pid_t which = waitpid(pid, &status, __WALL);
        if (which == pid) {
            return WIFSTOPPED(status) ? STEP_STOPPED : STEP_GONE;
        }
        if (errno != EINTR) {
            return STEP_GONE;
        }
        if (is_asleep(pid)) {
            return STEP_ASLEEP;
        }
    }
}

bool
step_attach(pid_t pid)
{
    return wait_for(pid) == STEP_STOPPED &&
           ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_EXITKILL) == 0;
}

step_result
step_once(pid_t pid)
{
    if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0) {
        return STEP_GONE;
    }
    return wait_for(pid);
}

step_result
step_again(pid_t pid)
{
    return wait_for(pid);
}

uint64_t
step_peek(pid_t pid, const void *address)
{
    return (uint64_t)ptrace(PTRACE_PEEKDATA, pid, address, NULL);
}

#if defined(__x86_64__)
bool
step_at_call(pid_t pid)
{
    struct user_regs_struct registers;
    ptrace(PTRACE_GETREGS, pid, NULL, &registers);
    return (step_peek(pid, (void *)registers.rip) & 0xffff) == 0x050f; /* syscall */
}

bool
step_to(pid_t pid, void (*function)(void))
{
    void *address = (void *)function;
    uint64_t code = step_peek(pid, address);
    ptrace(PTRACE_POKETEXT, pid, address, (void *)((code & ~UINT64_C(0xff)) | 0xcc)); /* int3 */
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    bool stopped = wait_for(pid) == STEP_STOPPED;
    ptrace(PTRACE_POKETEXT, pid, address, (void *)code);
    struct user_regs_struct registers;
    if (!stopped || ptrace(PTRACE_GETREGS, pid, NULL, &registers) != 0) {
        return false;
    }
    registers.rip = (uint64_t)address;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) == 0;
}
#else
bool
step_at_call(pid_t pid)
{
    (void)pid;
    return true;
}

bool
step_to(pid_t pid, void (*function)(void))
{
    (void)pid;
    (void)function;
    return true; /* every instruction before it is stepped as well: slower, not less */
}
#endif
