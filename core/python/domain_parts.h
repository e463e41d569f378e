/* What the files of the domain's type share: domain_object.c is the type, its memory and its names; domain_table.c
 * the methods of the process table. */
#ifndef PN_DOMAIN_PARTS_H
#define PN_DOMAIN_PARTS_H

#include "objects.h"

PyObject *pn_table_reserve_slot(DomainObject *self, PyObject *args);
PyObject *pn_table_release_slot(DomainObject *self, PyObject *args);
PyObject *pn_table_slots(DomainObject *self, PyObject *none);
PyObject *pn_table_waits(DomainObject *self, PyObject *none);
PyObject *pn_table_sweep(DomainObject *self, PyObject *none);
PyObject *pn_table_set_report(DomainObject *self, PyObject *argument);
PyObject *pn_table_leave(DomainObject *self, PyObject *none);
PyObject *pn_table_judge(DomainObject *self, PyObject *argument);
PyObject *pn_table_mark_orphan(DomainObject *self, PyObject *args);
PyObject *pn_table_slot_flags(DomainObject *self, PyObject *args);
PyObject *pn_table_claim_guardian(DomainObject *self, PyObject *argument);
PyObject *pn_table_guardian(DomainObject *self, PyObject *none);

#endif
