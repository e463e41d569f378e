/* Asking a template for a child. What the template does: template_object.c */
#include "objects.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "../children.h"
#include "question.h"

#define DEATH_NS (10 * INT64_C(1000000000))

/* One question: what is still to be sent of it. */
typedef struct {
    int socket;
    const pn_child *template;
    Py_buffer message; /* goes with the first descriptors; the others with a byte each */
    int *fds;
    size_t count, sent;
    bool begun, asked; /* something, everything is sent; a signal may come in between */
} question;

typedef enum { DONE, DEAD, AGAIN, FAILED /* errno */ } progress;

/* A datagram, or EAGAIN: the socket does not block. */
static progress
send_some(question *ask)
{
    size_t count = ask->count - ask->sent;
    count = count > PN_MESSAGE_FDS ? PN_MESSAGE_FDS : count;
    char byte = 0;
    struct iovec data = {&byte, 1};
    if (!ask->begun) {
        data = (struct iovec){ask->message.buf, (size_t)ask->message.len};
    }
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(PN_MESSAGE_FDS * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), ask->fds + ask->sent, count * sizeof(int));
    }
    if (sendmsg(ask->socket, &message, MSG_NOSIGNAL) < 0) {
        return errno == EAGAIN || errno == EINTR       ? AGAIN
               : errno == EPIPE || errno == ECONNRESET ? DEAD
                                                       : FAILED;
    }
    ask->begun = true;
    ask->sent += count;
    return ask->sent < ask->count ? AGAIN : DONE;
}

static progress
receive(const question *ask, pn_answer *answer)
{
    ssize_t length = recv(ask->socket, answer, sizeof(*answer), 0);
    if (length == (ssize_t)sizeof(*answer)) {
        return DONE;
    }
    return length < 0 && (errno == EAGAIN || errno == EINTR) ? AGAIN : DEAD;
}

/* Send it all and have the answer, but for at most until `until`: PN_OK, PN_TIMEOUT,
 * PN_INTERRUPTED, PN_STALE (it is dead, and left no answer) or PN_SYSTEM with errno. */
static pn_status
converse(question *ask, pn_answer *answer, int64_t until)
{
    for (;;) {
        progress now = ask->asked ? receive(ask, answer) : send_some(ask);
        if (now == DONE && ask->asked) {
            return PN_OK;
        }
        if (now == DEAD) {
            return PN_STALE;
        }
        if (now == FAILED) {
            return PN_SYSTEM;
        }
        ask->asked = ask->asked || now == DONE;
        int64_t left = until - pn_now();
        if (left <= 0) {
            return PN_TIMEOUT;
        }
        struct pollfd polled[2] = {
            {.fd = ask->socket, .events = ask->asked ? POLLIN : POLLOUT},
            {.fd = ask->template->pidfd, .events = POLLIN},
        };
        struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        if (ppoll(polled, 2, &time, NULL) < 0 && errno == EINTR) {
            return PN_INTERRUPTED;
        }
        /* Of one that is dead: what it answered may still be there to be read. */
        if (polled[1].revents != 0 && (!ask->asked || receive(ask, answer) != DONE)) {
            return PN_STALE;
        }
        if (polled[1].revents != 0) {
            return PN_OK;
        }
    }
}

/* Kill it and wait until the kernel is done with it: only then its line tells whether there is a child. */
static bool
make_sure_of(const pn_child *template)
{
    if (template->pidfd < 0) {
        return true; /* it was reaped before it could be watched */
    }
    syscall(SYS_pidfd_send_signal, template->pidfd, SIGKILL, NULL, 0);
    struct pollfd dead = {.fd = template->pidfd, .events = POLLIN};
    int64_t until = pn_now() + DEATH_NS;
    while (poll(&dead, 1, 1000) <= 0) {
        if (pn_now() > until) {
            return false; /* the kernel holds it, in a file system that does not answer */
        }
    }
    return true;
}

static int
read_fds(PyObject *descriptors, question *ask)
{
    ask->count = (size_t)PyTuple_GET_SIZE(descriptors);
    ask->fds = PyMem_Malloc((ask->count + 1) * sizeof(int));
    if (ask->fds == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < ask->count; i++) {
        ask->fds[i] = (int)PyLong_AsLong(PyTuple_GET_ITEM(descriptors, (Py_ssize_t)i));
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return 0;
}

/* Until its answer, its death, or an exception of a signal handler; the last kills it. */
static PyObject *
have_child(PyObject *module, const pn_start *start, question *ask, int64_t until)
{
    int64_t started = pn_now();
    pn_answer answer = {0};
    pn_status status;
    bool is_dead = false;
    int error;
    do {
        Py_BEGIN_ALLOW_THREADS
        status = converse(ask, &answer, until);
        error = errno;
        Py_END_ALLOW_THREADS
    } while (status == PN_INTERRUPTED && PyErr_CheckSignals() == 0);
    if (status == PN_OK && (answer.slot != start->slot || answer.generation != start->generation)) {
        status = PN_STALE; /* it answers something else: it has lost its head */
    }
    if (status != PN_OK) {
        /* It may have got the question, or half of it: no other one may follow. */
        Py_BEGIN_ALLOW_THREADS
        is_dead = make_sure_of(ask->template);
        Py_END_ALLOW_THREADS
    }
    if (status == PN_OK && answer.error != 0) {
        return PyLong_FromLong(answer.error);
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    /* [window] of sibling.h */
    pid_t pid = (pid_t)atomic_load(&start->domain->domain->slots[start->slot].pid);
    PyObject *done = pid != 0 ? pn_py_hand_over(module, start, pid, started) : NULL;
    if (type != NULL) {
        Py_XDECREF(done);
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
        return NULL; /* the holder has the child, if there is one */
    }
    if (pid != 0) {
        Py_XDECREF(done);
        return done != NULL ? PyLong_FromLong(0) : NULL;
    }
    if (status == PN_SYSTEM || !is_dead) {
        errno = status == PN_SYSTEM ? error : ETIMEDOUT;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyObject *
pn_py_ask_template(PyObject *module, PyObject *args)
{
    pn_state *state = PyModule_GetState(module);
    pn_start start;
    ChildObject *template;
    PyObject *descriptors;
    double seconds;
    question ask = {0};
    if (!PyArg_ParseTuple(args, "OO!IIO!iy*O!d", &start.holder, state->domain_type, &start.domain,
                          &start.slot, &start.generation, state->child_type, &template, &ask.socket,
                          &ask.message, &PyTuple_Type, &descriptors, &seconds)) {
        return NULL;
    }
    PyObject *result = NULL;
    ask.template = template->child;
    if (start.slot >= PN_SLOTS || ask.message.len == 0) {
        PyErr_Format(PyExc_ValueError, "slot %u: there are %d; an empty message says nothing",
                     start.slot, (int)PN_SLOTS);
    } else if (read_fds(descriptors, &ask) == 0) {
        result = have_child(module, &start, &ask, pn_now() + (int64_t)(seconds * 1e9));
    }
    PyMem_Free(ask.fds);
    PyBuffer_Release(&ask.message);
    return result;
}
