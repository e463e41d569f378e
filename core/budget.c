#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "budget.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

static bool
read_number(const char *folder, const char *file, uint64_t *value)
{
    char path[640], text[64];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    if (!pn_read_text(path, text, sizeof(text)) || text[0] < '0' || text[0] > '9') {
        return false; /* "max" is no limit */
    }
    *value = strtoull(text, NULL, 10);
    return true;
}

/* Walk from the process's own group to the root of the hierarchy. */
static void
walk(const char *root, const char *group, const char *limit_file, const char *usage_file,
     uint64_t *room, char *name, size_t size)
{
    char folder[512];
    snprintf(folder, sizeof(folder), "%s%s", root, group);
    for (;;) {
        uint64_t limit, usage;
        if (read_number(folder, limit_file, &limit) && read_number(folder, usage_file, &usage)) {
            uint64_t left = limit > usage ? limit - usage : 0;
            if (left < *room) {
                *room = left;
                snprintf(name, size, "memory cgroup %.60s", folder + strlen(root));
            }
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL || strlen(folder) <= strlen(root)) {
            return;
        }
        *slash = '\0';
    }
}

uint64_t
pn_budget(char *name, size_t size)
{
    static const char meminfo[] = "/proc/meminfo";
    char text[4096];
    uint64_t room = UINT64_MAX;
    if (pn_read_text(meminfo, text, sizeof(text))) {
        char *line = strstr(text, "MemAvailable:");
        if (line != NULL) {
            room = strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024 / 10 * 9;
            snprintf(name, size, "90%% of the machine's available memory");
        }
    }
    if (!pn_read_text("/proc/self/cgroup", text, sizeof(text))) {
        return room;
    }
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL) {
            continue;
        }
        *group++ = '\0';
        if (strcmp(controllers, ":") == 0) {
            walk("/sys/fs/cgroup", group, "memory.max", "memory.current", &room, name, size);
        } else if (strstr(controllers, "memory") != NULL) {
            walk("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", "memory.usage_in_bytes",
                 &room, name, size);
        }
    }
    return room;
}
