/* Clearing up after the dead. Idempotent: a second death in it is cleared by the next. */
#ifndef PN_SWEEP_H
#define PN_SWEEP_H

#include "domain.h"

/* Sweep every slot whose process is dead; how many lines were freed. */
int pn_sweep(pn_domain *domain);
/* The same, with the lines that are kept for the guardian: the table is full. */
int pn_sweep_hard(pn_domain *domain);
/* Sweep one line now, whose process is known to be dead and reaped by this one. */
void pn_sweep_reaped(pn_domain *domain, uint32_t index, uint32_t generation);
/* The same, and free the line in any case: for a process that never started, and for the guardian. */
void pn_sweep_slot(pn_domain *domain, uint32_t index, uint32_t generation);
/* At most once a second: called where something is made. */
void pn_sweep_sometimes(pn_domain *domain);

#endif
