/* What the files of this folder share. Python.h is allowed here and nowhere else. */
#ifndef PN_OBJECTS_H
#define PN_OBJECTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <unistd.h>

#include "../ring.h"
#include "../slots.h"

typedef struct SharedObject SharedObject;

/* The shared Buffers of this process, sorted by address (registry.c). */
typedef struct {
    const char *begin, *end;
    SharedObject *buffer; /* borrowed */
} pn_span;

typedef struct {
    pn_span *spans;
    size_t used, capacity;
} pn_registry;

/* What array_codec.c looks up at the first array. */
#define PN_ARRAY_DTYPES 18

typedef struct {
    PyTypeObject *ndarray; /* NULL: not yet */
    PyObject *dtypes[PN_ARRAY_DTYPES];
    PyObject *copyreg; /* its dispatch table */
    PyObject *dtype_name, *setflags_name, *fortran;
} pn_numpy;

/* The types of this module: name, base, and the cells that one stands for (FREE: none). A line for each. */
#define PN_PYTHON_TYPES(TYPE)                                                                      \
    TYPE(domain, none, FREE)                                                                       \
    TYPE(child, none, FREE)                                                                        \
    TYPE(shared, none, FREE)                                                                       \
    TYPE(ring, shared, RING)                                                                       \
    TYPE(leased, ring, FREE)                                                                       \
    TYPE(mutex, shared, MUTEX)                                                                     \
    TYPE(rlock, shared, RLOCK)                                                                     \
    TYPE(lock, shared, LOCK)                                                                       \
    TYPE(buffer, shared, BUFFER)                                                                   \
    TYPE(event, shared, EVENT)                                                                     \
    TYPE(condition, shared, CONDITION)                                                             \
    TYPE(barrier, shared, BARRIER)                                                                 \
    TYPE(atomic, shared, ATOMIC)                                                                   \
    TYPE(guarded, none, FREE)                                                                      \
    TYPE(guarded_attribute, none, FREE)                                                            \
    TYPE(dict, shared, DICT)                                                                       \
    TYPE(semaphore, shared, SEMAPHORE)                                                             \
    TYPE(priority, shared, PRIORITY)                                                               \
    TYPE(bell, none, FREE)                                                                         \
    TYPE(connection, shared, END)

#define PN_TYPE_MEMBER(name, base, kind) PyTypeObject *name##_type;
#define PN_TYPE_SPEC(name, base, kind) extern PyType_Spec pn_##name##_spec;

typedef struct {
    PyTypeObject *none_type; /* NULL: the base of those that have none */
    PN_PYTHON_TYPES(PN_TYPE_MEMBER)
    PyTypeObject *kinds[PN_OBJECT_TYPES]; /* borrowed: which of them is that of a cell's type */
    PyObject *dumps;                      /* dumps(obj, domain): serialize.py */
    PyObject *loads;                      /* loads(memoryview, buffers=None) -> obj */
    PyObject *buffers_name;               /* ("buffers",) */
    PyObject *numpy_name;                 /* "numpy" */
    PyObject *teach;                      /* called once, when a shared Buffer and numpy are here */
    PyObject *reducers;      /* type -> function: what multiprocessing's pickler was told */
    PyObject *array_reducer; /* what teach() registered there for arrays; None: not ours alone */
    pn_registry registry;
    pn_numpy numpy;
} pn_state;

extern struct PyModuleDef pn_module;

/* State of the module that made a type of ours, or a subclass of it. */
pn_state *pn_state_of(PyObject *instance);

typedef struct {
    PyObject_HEAD
    pn_domain *domain;
    PyObject *weak; /* those of other programs go when nobody uses them any more */
} DomainObject;

/* The base of all shared objects: a cell of a domain, held as long as this lives. */
struct SharedObject {
    PyObject_HEAD
    DomainObject *domain_object;
    pn_domain *domain;
    uint64_t offset; /* 0: not made yet, or released */
    uint32_t generation;
    bool owner_died; /* a Mutex that this process took from a dead owner */
    bool unrepaired; /* and its hook raised, so that the next owner is to be told as well */
};

PN_PYTHON_TYPES(PN_TYPE_SPEC)

typedef struct {
    SharedObject shared;
    pn_ring ring;
    pn_state *state;
    bool closed; /* by this process */
} RingObject;

/* --- ring_object.c, for lease_object.c and ring_many.c --- */
/* tp_init of both kinds. */
int pn_ring_init(RingObject *self, PyObject *args, PyObject *kwargs, bool leased);
/* Set an attribute of an exception, if it has room for one; -1 with another exception. In ring_many.c. */
int pn_note(PyObject *error, const char *name, PyObject *value);
PyObject *pn_ring_raise(RingObject *self, pn_status status);
/* Take records to the sink, for get(block, timeout); -1 with an exception. */
int pn_ring_take_for(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names,
                     pn_sink *sink);
/* -1 with an exception: not made, or closed in this process. */
int pn_ring_check_open(RingObject *self);
/* 0, or -1 with an exception: Full, ShutDown, DomainFull, or a signal handler's. */
int pn_ring_put_batch(RingObject *self, const pn_batch *batch, bool block, int64_t deadline);
/* The same, of a get: Empty, ShutDown. */
int pn_ring_take(RingObject *self, pn_sink *sink, bool block, int64_t deadline);
void pn_sink_free(pn_sink *sink);

/* --- ring_many.c: methods --- */
extern const char pn_put_many_doc[], pn_get_many_doc[];
PyObject *pn_ring_put_many(RingObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names);
PyObject *pn_ring_get_many(RingObject *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *names);

/* --- shared_object.c --- */
/* Fill in a new instance: takes over the reference that pn_object_new/attach counted. */
void pn_shared_set(SharedObject *self, DomainObject *domain, uint64_t offset, uint32_t generation);
/* For other tp_inits: the domain that the object is to be made in; NULL with an exception, also if it was made already. */
DomainObject *pn_domain_for(SharedObject *self, PyObject *domain);
/* And what making it answered: pn_shared_set, or -1 with an exception. */
int pn_shared_take(SharedObject *self, DomainObject *domain, pn_status status, uint64_t offset,
                   uint32_t generation, const char *what, const char *name);
/* tp_init of a type that takes a domain and a name; `what` names it in errors. */
int pn_shared_init(SharedObject *self, PyObject *args, PyObject *kwargs, pn_object_type type,
                   const char *what);
/* tp_dealloc, for that of a subtype. */
void pn_shared_dealloc(SharedObject *self);
/* For tp_init of a subtype: domain and name from the arguments; -1 with an exception. */
DomainObject *pn_domain_check(PyObject *type_or_self, PyObject *domain);
static inline pn_object *
pn_shared_cell(SharedObject *self)
{
    return pn_at(self->domain, self->offset);
}

/* False, with RuntimeError, if __init__ or _attach did not make it. */
static inline bool
pn_shared_made(SharedObject *self)
{
    if (self->offset == 0) {
        PyErr_Format(PyExc_RuntimeError, "%.100s.__init__() was not called",
                     Py_TYPE(self)->tp_name);
    }
    return self->offset != 0;
}

/* -1 with an exception if it was not made, or `closed` in this process. */
static inline int
pn_shared_open(SharedObject *self, bool closed, const char *what)
{
    if (!pn_shared_made(self)) {
        return -1;
    }
    if (closed) {
        PyErr_Format(PyExc_ValueError, "%s '%s' is closed in this process (pid %d)", what,
                     pn_shared_cell(self)->name, (int)getpid());
        return -1;
    }
    return 0;
}

/* --- lock_object.c, for lock_given.c --- */
bool pn_lock_is_ledger(SharedObject *self);
/* Sleep with the GIL let go, looking for signals after every slice. */
pn_status pn_lock_sleep(SharedObject *self, pn_lock *lock, int64_t deadline, bool ledger);
/* It was released: who waits for it among others hears of it (listen.h). */
void pn_lock_tell(SharedObject *self);
PyObject *pn_lock_raise(SharedObject *self, pn_status status);

/* --- lock_given.c, for condition_object.c: any of the three locks --- */
/* Does the caller hold it: this thread, of a Lock this process? */
bool pn_lock_is_held(SharedObject *lock);
/* Let go of it, however often it is held; for pn_lock_take_back. */
uint32_t pn_lock_let_go(SharedObject *lock);
/* Take it back. -1 with an exception: one that was there before, or that a signal handler raised, and it is held; a second
 * one of a signal handler's, and it is not; that of the hook of a Mutex whose owner died meanwhile, and it is held, still
 * marked. */
int pn_lock_take_back(SharedObject *lock, uint32_t depth, pn_word *pauses_in_vain);

/* --- buffer_object.c --- */
/* The Buffer of a cell that this process holds; of a shared one there is one object only. NULL with
 * an exception. */
SharedObject *pn_buffer_object(pn_state *state, SharedObject *ring, uint64_t offset);
/* The same for one that was just attached, whose reference is taken over. */
SharedObject *pn_buffer_attached(pn_state *state, SharedObject *self);
/* Let the pickler learn of shared arrays, if there can be one by now; -1 with an exception. */
int pn_teach_arrays(pn_state *state);
PyObject *pn_py_teach_arrays(PyObject *module, PyObject *none);

/* --- lock_object.c --- */
/* Is it acquire() of an RLock, as its class has it from here? Then these do what it and release() do. */
bool pn_is_rlock_acquire(PyObject *method);
PyObject *pn_rlock_take(SharedObject *self);
PyObject *pn_rlock_give(SharedObject *self);

/* --- registry.c --- */
/* The shared Buffer in which all of these bytes lie, borrowed; NULL: none. */
SharedObject *pn_registry_find(const pn_registry *registry, const char *begin, const char *end);
int pn_registry_add(pn_registry *registry, SharedObject *buffer, const char *begin, size_t length);
void pn_registry_remove(pn_registry *registry, const SharedObject *buffer, const char *begin);
/* The lowest and the highest address of a view; false: it has no bytes, or not in one place. */
bool pn_extent(const Py_buffer *view, const char **begin, const char **end);
PyObject *pn_py_find_shared(PyObject *module, PyObject *obj);
PyObject *pn_py_goes_beside(PyObject *module, PyObject *buffer);

/* --- process_object.c --- */
typedef struct {
    PyObject_HEAD
    DomainObject *domain_object;
    struct pn_child *child;
} ChildObject;

/* What every way of starting is told: whom to give the Child, and its line of the table. */
typedef struct {
    PyObject *holder;
    DomainObject *domain;
    unsigned int slot, generation;
} pn_start;

/* The holder has the Child before any signal handler can raise in its stead; returns the pid. */
PyObject *pn_py_hand_over(PyObject *module, const pn_start *start, pid_t pid, int64_t started);
/* functions of the module */
PyObject *pn_py_pause_janitor(PyObject *module, PyObject *none);
PyObject *pn_py_resume_janitor(PyObject *module, PyObject *none);
PyObject *pn_py_other_threads(PyObject *module, PyObject *none);
PyObject *pn_py_fork_child(PyObject *module, PyObject *args);
PyObject *pn_py_spawn_child(PyObject *module, PyObject *args);
PyObject *pn_py_arm_guardian(PyObject *module, PyObject *args);
PyObject *pn_py_die_with(PyObject *module, PyObject *argument);
PyObject *pn_py_mark_tree(PyObject *module, PyObject *args);

/* --- ask_object.c, template_object.c: functions of the module --- */
PyObject *pn_py_ask_template(PyObject *module, PyObject *args);
PyObject *pn_py_serve_template(PyObject *module, PyObject *args);
PyObject *pn_py_settle_threads(PyObject *module, PyObject *args);
PyObject *pn_py_thread_count(PyObject *module, PyObject *none);
PyObject *pn_py_dispositions(PyObject *module, PyObject *none);

/* --- errors.c --- */
/* Raise what `status` means; `what` and `name` say to whom. Returns NULL. */
PyObject *pn_raise(pn_status status, pn_domain *domain, const char *what, const char *name);
PyObject *pn_raise_named(const char *module, const char *exception, const char *format, ...);

/* --- wait_object.c --- */
PyObject *pn_py_wait_any(PyObject *module, PyObject *args);

/* --- lock_file.c --- */
PyObject *pn_py_lock_file(PyObject *module, PyObject *args);

/* --- blocking.c --- */
/* A deadline from a timeout argument (None: for ever); -1 with an exception. Negative
 * timeouts are 0, as in multiprocessing. */
int pn_deadline(PyObject *timeout, int64_t *deadline);
/* The one argument of method `what`, NULL if it was not given; -1 with an exception. */
int pn_only_timeout(const char *what, PyObject *const *args, Py_ssize_t count, PyObject *names,
                    PyObject **timeout);
/* A call of the form (first, block=True, timeout=None), by position or name. */
typedef struct {
    PyObject *first;
    int block;
    int64_t deadline;
} pn_call;

/* Without arguments. */
#define PN_CALL ((pn_call){.block = 1, .deadline = PN_FOREVER})

/* `first_name` NULL: there is no first. -1 with an exception. */
int pn_parse_call(const char *function, const char *first_name, PyObject *const *args,
                  Py_ssize_t count, PyObject *names, pn_call *call);
/* The arguments of acquire(block=True, timeout=None), of which the first may be called `blocking`. */
int pn_parse_acquire(PyObject *const *args, Py_ssize_t count, PyObject *names, pn_call *call);
/* get_nowait() on a queue that has items waits so long for another taker to finish. */
#define PN_NOWAIT_NS (50 * 1000000LL)
/* Prepare this thread for sleeping: the main thread must look for signals more often. */
void pn_before_sleep(void);
/* Sleep with the GIL let go, and once more after each slice: PN_INTERRUPTED then means that a signal handler raised. */
#define PN_SLEEP(status, sleep)                                                                    \
    do {                                                                                           \
        pn_before_sleep();                                                                         \
        do {                                                                                       \
            Py_BEGIN_ALLOW_THREADS(status)                                                         \
            = (sleep);                                                                             \
            Py_END_ALLOW_THREADS                                                                   \
        } while ((status) == PN_INTERRUPTED && PyErr_CheckSignals() == 0);                         \
    } while (0)

/* --- priority_key.c --- */
/* The bytes by which an item is sorted, into an empty `out`. 0, or -1 with TypeError, ValueError, OverflowError. */
struct pn_writer;
int pn_encode_key(struct pn_writer *out, PyObject *item);

/* --- codec.c --- */
/* Bytes on the stack in which most items find room. */
#define PN_STACK_BUFFER 1024
/* Private memory that starts on the stack and holds whole records. */
typedef struct pn_writer {
    char *bytes;
    size_t used, capacity;
    bool on_heap;
} pn_writer;

/* Append one record with `obj`. What is too large travels in a buffer that this process
 * holds until pn_release_records. 0, or -1 with an exception. */
int pn_encode(pn_state *state, PyObject *ring, pn_writer *out, PyObject *obj);
/* The object in a taken record, whose objects this process holds no more then. NULL with an exception. */
PyObject *pn_decode(pn_state *state, SharedObject *ring, const pn_record *record);
/* What pn_decode does besides decoding: let go of what a taken record names. */
void pn_let_go(SharedObject *ring, const pn_record *record);
/* They were put, or not: let go of the buffers that were made for them. */
void pn_release_records(pn_domain *domain, const char *bytes, size_t length);
void pn_writer_free(pn_writer *out);

#endif
