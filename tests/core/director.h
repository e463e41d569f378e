/* Whoever directs one scenario: makes the world of each kill point, steps, kills, and judges. */
#ifndef TESTS_DIRECTOR_H
#define TESTS_DIRECTOR_H

#include "crew.h"

typedef struct {
    uint32_t points, instructions, stuck, lost, doubled, wrong, late;
    int64_t worst; /* ns until the last survivor went on */
    double seconds;
} tally;

/* In a process of its own. */
void direct(const scenario *scenario, tally *tally);

#endif
