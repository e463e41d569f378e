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

/* A line of maps: address, rights, offset, device, inode, path. */
static bool
names_file(char *line, const char *name, uint64_t inode)
{
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    for (int field = 1; word != NULL && field < 5; field++) {
        word = strtok_r(NULL, " ", &rest);
    }
    return word != NULL && strtoull(word, NULL, 10) == inode && rest != NULL &&
           strncmp(rest + strspn(rest, " "), name, strlen(name)) == 0;
}

bool
pn_maps_file(const char *maps, const char *name, uint64_t inode)
{
    int fd = open(maps, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    char text[4096 + 512]; /* no malloc: perhaps in the child of a fork */
    size_t used = 0;
    ssize_t length = 0;
    bool found = false;
    while (!found && (length = read(fd, text + used, sizeof(text) - 1 - used)) > 0) {
        text[used + (size_t)length] = '\0';
        char *line = text, *end;
        while (!found && (end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            found = names_file(line, name, inode);
            line = end + 1;
        }
        used = strlen(line);
        used = used < sizeof(text) - 1 ? used : 0; /* a path that long is none of ours */
        memmove(text, line, used);
    }
    close(fd);
    return found;
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
