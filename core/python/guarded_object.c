/* An object and the lock under which it is used: what Synchronized of multiprocessing.sharedctypes is made of.
 *
 * `v.value += 1` takes the lock three times (for the whole, for the read, for the write), so its
 * attributes are read and written here: no frame of Python stands between the lock and the bytes.
 * Any object with acquire() and release() will do for a lock. */
#include "objects.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *obj, *lock;
    PyObject *acquire, *release; /* bound methods of the lock */
    SharedObject *rlock; /* the lock, borrowed, if it is an RLock of ours: no call is needed then */
} GuardedObject;

static int
guarded_init(GuardedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"obj", "lock", NULL};
    PyObject *obj, *lock;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO", names, &obj, &lock)) {
        return -1;
    }
    PyObject *acquire = PyObject_GetAttrString(lock, "acquire");
    PyObject *release = acquire ? PyObject_GetAttrString(lock, "release") : NULL;
    if (release == NULL) {
        Py_XDECREF(acquire);
        return -1;
    }
    Py_XSETREF(self->obj, Py_NewRef(obj));
    Py_XSETREF(self->lock, Py_NewRef(lock));
    Py_XSETREF(self->acquire, acquire);
    Py_XSETREF(self->release, release);
    bool is_ours = pn_is_rlock_acquire(acquire) && PyCFunction_GET_SELF(acquire) == lock;
    self->rlock = is_ours ? (SharedObject *)lock : NULL;
    return 0;
}

static int
guarded_traverse(GuardedObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->obj);
    Py_VISIT(self->lock);
    Py_VISIT(self->acquire);
    Py_VISIT(self->release);
    return 0;
}

static int
guarded_clear(GuardedObject *self)
{
    self->rlock = NULL;
    Py_CLEAR(self->obj);
    Py_CLEAR(self->lock);
    Py_CLEAR(self->acquire);
    Py_CLEAR(self->release);
    return 0;
}

static void
guarded_dealloc(GuardedObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    guarded_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool
is_made(const GuardedObject *self)
{
    if (self->release == NULL) {
        PyErr_Format(PyExc_RuntimeError, "%.100s.__init__() was not called",
                     Py_TYPE(self)->tp_name);
    }
    return self->release != NULL;
}

/* What acquire() returned; NULL with an exception. */
static PyObject *
enter(GuardedObject *self)
{
    if (self->rlock != NULL) {
        return pn_rlock_take(self->rlock);
    }
    return is_made(self) ? PyObject_CallNoArgs(self->acquire) : NULL;
}

static PyObject *
give_back(GuardedObject *self)
{
    return self->rlock != NULL ? pn_rlock_give(self->rlock) : PyObject_CallNoArgs(self->release);
}

/* Release it, whatever happened under it: `result` goes on, or its exception does. */
static PyObject *
leave(GuardedObject *self, PyObject *result)
{
    if (result != NULL) {
        PyObject *done = give_back(self);
        Py_XDECREF(done);
        if (done == NULL) {
            Py_CLEAR(result);
        }
        return result;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *released = give_back(self);
    if (released == NULL) {
        /* its own exception is the later one */
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return NULL;
    }
    Py_DECREF(released);
    PyErr_Restore(type, value, traceback);
    return NULL;
}

static PyObject *
guarded_enter(GuardedObject *self, PyObject *Py_UNUSED(none))
{
    return enter(self);
}

static PyObject *
guarded_exit(GuardedObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    return is_made(self) ? leave(self, Py_NewRef(Py_None)) : NULL;
}

static PyObject *
guarded_get_obj(GuardedObject *self, PyObject *Py_UNUSED(none))
{
    return is_made(self) ? Py_NewRef(self->obj) : NULL;
}

static PyObject *
guarded_get_lock(GuardedObject *self, PyObject *Py_UNUSED(none))
{
    return is_made(self) ? Py_NewRef(self->lock) : NULL;
}

PyDoc_STRVAR(get_item_doc, "_get_item($self, key, /)\n--\n\nobj[key] under the lock.");

static PyObject *
guarded_get_item(GuardedObject *self, PyObject *key)
{
    PyObject *taken = enter(self);
    if (taken == NULL) {
        return NULL;
    }
    Py_DECREF(taken);
    return leave(self, PyObject_GetItem(self->obj, key));
}

PyDoc_STRVAR(set_item_doc,
             "_set_item($self, key, value, /)\n--\n\nobj[key] = value under the lock.");

static PyObject *
guarded_set_item(GuardedObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "_set_item() takes a key and a value");
        return NULL;
    }
    PyObject *taken = enter(self);
    if (taken == NULL) {
        return NULL;
    }
    Py_DECREF(taken);
    int result = PyObject_SetItem(self->obj, args[0], args[1]);
    return leave(self, result == 0 ? Py_NewRef(Py_None) : NULL);
}

static PyMemberDef guarded_members[] = {
    {"acquire", T_OBJECT_EX, offsetof(GuardedObject, acquire), READONLY, "the lock's acquire()"},
    {"release", T_OBJECT_EX, offsetof(GuardedObject, release), READONLY, "the lock's release()"},
    {"_obj", T_OBJECT_EX, offsetof(GuardedObject, obj), READONLY, "what is guarded"},
    {"_lock", T_OBJECT_EX, offsetof(GuardedObject, lock), READONLY, "what guards it"},
    {NULL},
};

static PyMethodDef guarded_methods[] = {
    {"get_obj", (PyCFunction)guarded_get_obj, METH_NOARGS,
     "get_obj($self)\n--\n\nThe object in shared memory; whoever uses it takes the lock himself."},
    {"get_lock", (PyCFunction)guarded_get_lock, METH_NOARGS, "get_lock($self)\n--\n\nIts lock."},
    {"_get_item", (PyCFunction)guarded_get_item, METH_O, get_item_doc},
    {"_set_item", (PyCFunction)(void (*)(void))guarded_set_item, METH_FASTCALL, set_item_doc},
    {"__enter__", (PyCFunction)guarded_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))guarded_exit, METH_FASTCALL, NULL},
    {NULL},
};

static PyType_Slot guarded_slots[] = {
    {Py_tp_dealloc, guarded_dealloc},
    {Py_tp_traverse, guarded_traverse},
    {Py_tp_clear, guarded_clear},
    {Py_tp_init, guarded_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_members, guarded_members},
    {Py_tp_methods, guarded_methods},
    {Py_tp_doc, "Guarded(obj, lock)\n--\n\nAn object and the lock under which it is used."},
    {0, NULL},
};

PyType_Spec pn_guarded_spec = {
    .name = "procession._core.Guarded",
    .basicsize = sizeof(GuardedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = guarded_slots,
};

/* ---- its attributes ------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    PyObject *name;
    pn_state *state;
} AttributeObject;

static PyObject *
attribute_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", NULL};
    PyObject *name;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "U", names, &name)) {
        return NULL;
    }
    AttributeObject *self = (AttributeObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        self->name = name;
        self->state = pn_state_of((PyObject *)self);
    }
    return (PyObject *)self;
}

static void
attribute_dealloc(AttributeObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool
is_guarded(AttributeObject *self, PyObject *instance)
{
    bool fits = PyObject_TypeCheck(instance, self->state->guarded_type);
    if (!fits) {
        PyErr_Format(PyExc_TypeError, "'%U' is an attribute of Guarded, not of %.100s", self->name,
                     Py_TYPE(instance)->tp_name);
    }
    return fits;
}

static PyObject *
attribute_get(AttributeObject *self, PyObject *instance, PyObject *Py_UNUSED(owner))
{
    if (instance == NULL || instance == Py_None) {
        return Py_NewRef((PyObject *)self);
    }
    if (!is_guarded(self, instance)) {
        return NULL;
    }
    GuardedObject *guarded = (GuardedObject *)instance;
    PyObject *taken = enter(guarded);
    if (taken == NULL) {
        return NULL;
    }
    Py_DECREF(taken);
    return leave(guarded, PyObject_GetAttr(guarded->obj, self->name));
}

static int
attribute_set(AttributeObject *self, PyObject *instance, PyObject *value)
{
    if (!is_guarded(self, instance)) {
        return -1;
    }
    GuardedObject *guarded = (GuardedObject *)instance;
    PyObject *taken = enter(guarded);
    if (taken == NULL) {
        return -1;
    }
    Py_DECREF(taken);
    int done = PyObject_SetAttr(guarded->obj, self->name, value);
    PyObject *result = leave(guarded, done == 0 ? Py_NewRef(Py_None) : NULL);
    Py_XDECREF(result);
    return result != NULL ? 0 : -1;
}

static PyType_Slot attribute_slots[] = {
    {Py_tp_dealloc, attribute_dealloc},
    {Py_tp_new, attribute_new},
    {Py_tp_descr_get, attribute_get},
    {Py_tp_descr_set, attribute_set},
    {Py_tp_doc, "GuardedAttribute(name)\n--\n\nAn attribute of a class of Guarded: that of its "
                "object, read and written under its lock."},
    {0, NULL},
};

PyType_Spec pn_guarded_attribute_spec = {
    .name = "procession._core.GuardedAttribute",
    .basicsize = sizeof(AttributeObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = attribute_slots,
};
