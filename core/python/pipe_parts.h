/* What the files of the connection's type share: pipe_object.c is the type: open, in use, closed; pipe_send.c and
 * pipe_receive.c are the methods that move messages. */
#ifndef PN_PIPE_PARTS_H
#define PN_PIPE_PARTS_H

#include "codec.h"

#include "../pipe.h"

typedef struct {
    SharedObject shared; /* the end's object */
    pn_pipe_end end;
    pn_state *state;
    unsigned busy; /* calls under way; under the GIL */
    bool closed;
    bool is_unreadable; /* after a message that was longer than maxlength */
    char name[PN_NAME]; /* also when it is closed */
} ConnectionObject;

/* --- pipe_object.c --- */
/* False with an exception: closed, not made, or not for that. Else its objects stay until `leave`. */
bool pn_connection_enter_to_read(ConnectionObject *self);
bool pn_connection_enter_to_write(ConnectionObject *self);
void pn_connection_leave(ConnectionObject *self);
void pn_connection_shut(ConnectionObject *self);
/* May a call that was interrupted go on? */
bool pn_connection_goes_on(ConnectionObject *self, pn_status status);
/* Raise what `status` means, if nothing is raised yet; -1. */
int pn_connection_fail(ConnectionObject *self, pn_status status);

/* --- methods --- */
extern const char pn_send_doc[], pn_send_bytes_doc[], pn_recv_doc[], pn_recv_bytes_doc[],
    pn_recv_bytes_into_doc[], pn_poll_doc[];
PyObject *pn_connection_send(ConnectionObject *self, PyObject *obj);
PyObject *pn_connection_send_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs);
PyObject *pn_connection_recv(ConnectionObject *self, PyObject *Py_UNUSED(none));
PyObject *pn_connection_recv_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs);
PyObject *pn_connection_recv_bytes_into(ConnectionObject *self, PyObject *args, PyObject *kwargs);
PyObject *pn_connection_poll(ConnectionObject *self, PyObject *args, PyObject *kwargs);

#endif
