/* What a template does: it waits for questions, makes the children, and answers. All of it is C,
 * since every page that a template writes between two children is copied each time.
 */
#include "objects.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sibling.h"
#include "question.h"

/* The question that is being answered; one template is one thread. */
static struct {
    union {
        pn_question question;
        char bytes[PN_LARGEST];
    } message;
    size_t length;
    int *fds;
    size_t count, capacity;
    bool cut;         /* descriptors did not fit into this process */
    uint64_t ignored; /* signals, by the template */
} now;

typedef union {
    struct cmsghdr header;
    char space[CMSG_SPACE(PN_MESSAGE_FDS * sizeof(int))];
} control;

/* Keep what came with a datagram. False: no memory. */
static bool
keep_fds(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (now.count + count > now.capacity) {
            size_t capacity = (now.count + count) * 2;
            int *larger = realloc(now.fds, capacity * sizeof(int));
            if (larger == NULL) {
                return false;
            }
            now.fds = larger;
            now.capacity = capacity;
        }
        memcpy(now.fds + now.count, CMSG_DATA(part), count * sizeof(int));
        now.count += count;
    }
    return true;
}

/* One datagram. Its length; 0: the owner is gone; -1 with errno. */
static ssize_t
receive(int socket, void *bytes, size_t size)
{
    struct iovec data = {bytes, size};
    control control;
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (length <= 0) {
        return length < 0 && errno == ECONNRESET ? 0 : length;
    }
    now.cut |= (message.msg_flags & MSG_CTRUNC) != 0;
    if (!keep_fds(&message)) {
        errno = ENOMEM;
        return -1;
    }
    return length;
}

/* The next question, whole. As receive(). */
static ssize_t
receive_question(int socket)
{
    now.count = 0;
    now.cut = false;
    ssize_t length = receive(socket, now.message.bytes, sizeof(now.message));
    if (length <= 0) {
        return length;
    }
    if ((size_t)length < sizeof(pn_question)) {
        errno = EPROTO;
        return -1;
    }
    now.length = (size_t)length;
    /* So many datagrams, whether all descriptors in them could be received or not. */
    uint32_t wanted = now.message.question.descriptors;
    for (uint32_t come = PN_MESSAGE_FDS; come < wanted; come += PN_MESSAGE_FDS) {
        char byte;
        ssize_t more;
        while ((more = receive(socket, &byte, 1)) < 0 && errno == EINTR) {
        }
        if (more <= 0) {
            return more;
        }
    }
    now.cut |= now.count != wanted;
    return length;
}

static void
close_fds(void)
{
    for (size_t i = 0; i < now.count; i++) {
        close(now.fds[i]);
    }
    now.count = 0;
}

/* Make the process that is asked for. 0 in it, 1 in the template, which has answered. */
static int
make(pn_domain *domain, int socket)
{
    const pn_question *question = &now.message.question;
    pn_answer answer = {.slot = question->slot, .generation = question->generation};
    bool known = question->slot < PN_SLOTS;
    pid_t pid = -1;
    if (!known || now.cut) {
        answer.error = known ? EMFILE : EPROTO;
    } else {
        PyOS_BeforeFork();
        pid = pn_sibling(domain, question->slot, question->generation);
        if (pid == 0) {
            return 0;
        }
        answer.error = pid < 0 ? errno : 0;
    }
    /* A SIGKILL before this leaves a child that the owner finds in the table. */
    while (send(socket, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
    if (known && !now.cut) {
        PyOS_AfterFork_Parent();
    }
    close_fds();
    return 1;
}

/* ---- in the child ------------------------------------------------------------------------ */

/* 0, 1 and 2 as the owner has them, and its mask of signals. How many descriptors that took. */
static size_t
adopt(const pn_question *question)
{
    size_t used = 0;
    for (int stream = 0; stream < 3; stream++) {
        if (!(question->streams >> stream & 1)) {
            close(stream);
        } else if (used < now.count) {
            dup2(now.fds[used], stream);
            close(now.fds[used++]);
        }
    }
    sigset_t mask;
    sigemptyset(&mask);
    for (int number = 1; number <= 64; number++) {
        if (question->blocked >> (number - 1) & 1) {
            sigaddset(&mask, number);
        }
    }
    /* A template blocks SIGINT: here is where a Ctrl-C arrives that came while the child was made. */
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return used;
}

static uint64_t
ignored_signals(void)
{
    uint64_t ignored = 0;
    for (int number = 1; number <= 64; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            ignored |= UINT64_C(1) << (number - 1);
        }
    }
    return ignored;
}

static PyObject *
describe(const pn_question *question, size_t used)
{
    PyObject *fds = PyList_New((Py_ssize_t)(now.count - used));
    for (size_t i = used; fds != NULL && i < now.count; i++) {
        PyObject *fd = PyLong_FromLong(now.fds[i]);
        if (fd == NULL) {
            Py_CLEAR(fds);
            break;
        }
        PyList_SET_ITEM(fds, (Py_ssize_t)(i - used), fd);
    }
    return fds == NULL ? NULL
                       : Py_BuildValue("IIKKy#N", question->kind, question->flags,
                                       (unsigned long long)question->ignored,
                                       (unsigned long long)now.ignored,
                                       now.message.bytes + sizeof(pn_question),
                                       (Py_ssize_t)(now.length - sizeof(pn_question)), fds);
}

PyObject *
pn_py_serve_template(PyObject *module, PyObject *args)
{
    DomainObject *domain;
    int socket;
    pn_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "O!i", state->domain_type, &domain, &socket)) {
        return NULL;
    }
    now.ignored = ignored_signals();
    for (;;) {
        ssize_t length; /* with the GIL: there is no other thread */
        while ((length = receive_question(socket)) < 0 && errno == EINTR) {
            if (PyErr_CheckSignals() < 0) {
                return NULL;
            }
        }
        if (length == 0) {
            Py_RETURN_NONE;
        }
        if (length < 0) {
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        if (make(domain->domain, socket) == 0) {
            break;
        }
    }
    PyOS_AfterFork_Child();
    close(socket);
    const pn_question *question = &now.message.question;
    return describe(question, question->kind == 0 ? adopt(question) : 0);
}

static int
parse_line(PyObject *module, PyObject *args, DomainObject **domain, unsigned int *slot,
           unsigned int *generation)
{
    pn_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "O!II", state->domain_type, domain, slot, generation)) {
        return -1;
    }
    if (*slot >= PN_SLOTS) {
        PyErr_Format(PyExc_ValueError, "slot %u: there are %d", *slot, (int)PN_SLOTS);
        return -1;
    }
    return 0;
}

PyObject *
pn_py_settle_threads(PyObject *module, PyObject *args)
{
    DomainObject *domain;
    unsigned int slot, generation;
    if (parse_line(module, args, &domain, &slot, &generation) < 0) {
        return NULL;
    }
    pn_domain_arm_fork(domain->domain, slot, generation);
    pid_t pid = fork(); /* not Python's: its hooks are no business of the libraries' threads */
    if (pid == 0) {
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return PyLong_FromLong(pn_thread_count());
}

PyObject *
pn_py_thread_count(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(pn_thread_count());
}

PyObject *
pn_py_dispositions(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    unsigned long long blocked = 0;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number <= 64; number++) {
        if (sigismember(&mask, number) == 1) {
            blocked |= 1ULL << (number - 1);
        }
    }
    return Py_BuildValue("KK", (unsigned long long)ignored_signals(), blocked);
}
