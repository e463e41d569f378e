#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool
pn_read_text(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t length = read(fd, buffer, size - 1);
    close(fd);
    buffer[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static uint64_t
number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at != NULL ? strtoull(at + strlen(word), NULL, 10) : 0;
}

uint64_t
pn_oom_kills(void)
{
    char text[16384];
    return pn_read_text("/proc/vmstat", text, sizeof(text)) ? number_after(text, "\noom_kill ") : 0;
}

void
pn_run_times(pid_t pid, int64_t *run_ns, int64_t *ready_ns)
{
    char path[48], text[96];
    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
    if (pn_read_text(path, text, sizeof(text))) {
        char *rest;
        *run_ns = (int64_t)strtoull(text, &rest, 10);
        *ready_ns = (int64_t)strtoull(rest, NULL, 10);
    }
}
