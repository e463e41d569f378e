/* Do the invariants that the headers of the core promise hold? Asked when nobody is at work. */
#ifndef TESTS_AUDIT_H
#define TESTS_AUDIT_H

#include "domain.h"

/* Each: NULL, or what is wrong, in words. */

/* Records from head walk exactly to tail, in capacity; the marks count them. */
const char *audit_ring(pn_domain *domain, uint64_t offset);
/* The lists of its leases hold what the entries say, and no entry is void. */
const char *audit_leases(pn_domain *domain, uint64_t offset);
/* Every item of a dictionary is found, in order, and its sums agree. */
const char *audit_dict(pn_domain *domain, uint64_t offset);
/* Blocks tile the heap; sums, hints and allocated pages agree with the table. */
const char *audit_heap(pn_domain *domain);
/* After a sweep: nothing belongs to a process that is gone, every ring holds its invariants. */
const char *audit_domain(pn_domain *domain);
/* Used cells of objects, over all slabs. */
uint32_t count_objects(pn_domain *domain);
/* Lines of the process table that are not FREE. */
uint32_t count_slots(pn_domain *domain);

#endif
