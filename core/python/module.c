/* procession._core: the one door to C. */
#include "objects.h"

static PyObject *
use_serializer(PyObject *module, PyObject *args)
{
    PyObject *dumps, *loads;
    if (!PyArg_ParseTuple(args, "OO:_use_serializer", &dumps, &loads)) {
        return NULL;
    }
    pn_state *state = PyModule_GetState(module);
    Py_XSETREF(state->dumps, Py_NewRef(dumps));
    Py_XSETREF(state->loads, Py_NewRef(loads));
    Py_RETURN_NONE;
}

static PyObject *
use_arrays(PyObject *module, PyObject *args)
{
    PyObject *teach, *reducers;
    if (!PyArg_ParseTuple(args, "OO!:_use_arrays", &teach, &PyDict_Type, &reducers)) {
        return NULL;
    }
    pn_state *state = PyModule_GetState(module);
    Py_XSETREF(state->teach, Py_NewRef(teach));
    Py_XSETREF(state->reducers, Py_NewRef(reducers));
    Py_RETURN_NONE;
}

static PyObject *
features(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    pn_platform_init();
    return Py_BuildValue("{sNsNsNsNsi}", "robust_list", PyBool_FromLong(pn_platform.robust_list),
                         "waitv", PyBool_FromLong(pn_platform.waitv), "pending_wake",
                         PyBool_FromLong(pn_platform.pending_wake), "siblings",
                         PyBool_FromLong(pn_platform.siblings), "cpus", pn_platform.cpus);
}

static PyMethodDef functions[] = {
    {"_use_serializer", use_serializer, METH_VARARGS,
     "_use_serializer($module, dumps, loads, /)\n--\n\nHow items that are not plain become bytes."},
    {"_use_arrays", use_arrays, METH_VARARGS,
     "_use_arrays($module, teach, reducers, /)\n--\n\n"
     "Whom to call when a shared Buffer and numpy are here, and what pickling was told of types."},
    {"teach_arrays", pn_py_teach_arrays, METH_NOARGS,
     "teach_arrays($module)\n--\n\nCall it, if both are here and it was not called before."},
    {"find_shared", pn_py_find_shared, METH_O,
     "find_shared($module, obj, /)\n--\n\n"
     "The shared Buffer in which all bytes of an object lie, and where its first element is there; "
     "None: in none."},
    {"goes_beside", pn_py_goes_beside, METH_O,
     "goes_beside($module, buffer, /)\n--\n\n"
     "Does it travel beside a pickle: is it large, or a part of a shared Buffer?"},
    {"features", features, METH_NOARGS,
     "features($module)\n--\n\nWhich optional abilities the kernel offers: name -> bool."},
    {"pause_janitor", pn_py_pause_janitor, METH_NOARGS,
     "pause_janitor($module)\n--\n\nLet no janitor run, until resume_janitor()."},
    {"resume_janitor", pn_py_resume_janitor, METH_NOARGS,
     "resume_janitor($module)\n--\n\nLet it run again if there are children."},
    {"other_threads", pn_py_other_threads, METH_NOARGS,
     "other_threads($module)\n--\n\n"
     "How many threads there are besides this one and the janitor; -1: /proc does not tell."},
    {"fork_child", pn_py_fork_child, METH_VARARGS,
     "fork_child($module, holder, domain, slot, generation, /)\n--\n\n"
     "os.fork() beside the janitor, which is no thread of the program's; the pid, 0 in the child. "
     "The parent's holder.child is set to the Child before anything can interrupt."},
    {"spawn_child", pn_py_spawn_child, METH_VARARGS,
     "spawn_child($module, holder, domain, slot, generation, command, descriptors, /)\n--\n\n"
     "Execute the command with these descriptors; the rest as fork_child()."},
    {"arm_guardian", pn_py_arm_guardian, METH_VARARGS,
     "arm_guardian($module, domain, command, /)\n--\n\nKeep a guardian of the domain running."},
    {"mark_tree", pn_py_mark_tree, METH_VARARGS,
     "mark_tree($module, domain, environment, /)\n--\n\n"
     "Let what this process runs carry its line of the table: PROCESSION_TREE in the environment, "
     "and in the dict in which os.environ keeps that."},
    {"die_with", pn_py_die_with, METH_O,
     "die_with($module, parent_pid, /)\n--\n\n"
     "SIGKILL me when the thread that forked me ends; False if the parent is gone already."},
    {"ask_template", pn_py_ask_template, METH_VARARGS,
     "ask_template($module, holder, domain, slot, generation, template, socket, message, "
     "descriptors, seconds, /)\n--\n\n"
     "Let a template make the child of that line: 0 and holder.child set; an errno, and there is "
     "none; or None: the template is dead, and made none. It is killed if it does not answer in so "
     "many seconds, or if a signal handler raises."},
    {"serve_template", pn_py_serve_template, METH_VARARGS,
     "serve_template($module, domain, socket, /)\n--\n\n"
     "Make the processes that are asked for through the socket. Returns in each of them: what was "
     "asked: (kind, flags, signals that the owner ignores, that this process ignores, body, "
     "descriptors); and None in the template when the owner is gone."},
    {"settle_threads", pn_py_settle_threads, METH_VARARGS,
     "settle_threads($module, domain, slot, generation, /)\n--\n\n"
     "Fork and forget a child of that line: libraries that know of fork end their threads. How "
     "many threads there are now."},
    {"wait_any", pn_py_wait_any, METH_VARARGS,
     "wait_any($module, items, timeout=None, /)\n--\n\n"
     "Sleep until one of the (shared object, what for) pairs is ready; the indices of all that are "
     "then, none after `timeout` seconds. What for: 1 to get, 2 to put, 4 to join."},
    {"lock_file", pn_py_lock_file, METH_VARARGS,
     "lock_file($module, file, timeout=None, domain=None, /)\n--\n\n"
     "Take the flock(2) of an open file; False if not within `timeout` seconds. Who waits is seen "
     "in the domain's table."},
    {"thread_count", pn_py_thread_count, METH_NOARGS,
     "thread_count($module)\n--\n\nHow many threads this process has; -1: /proc does not tell."},
    {"dispositions", pn_py_dispositions, METH_NOARGS,
     "dispositions($module)\n--\n\n"
     "(signals that are ignored, signals that this thread blocks), bit n - 1 for signal n."},
    {NULL},
};

static int
add_type(PyObject *module, PyType_Spec *spec, PyTypeObject *base, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    return *type != NULL ? PyModule_AddType(module, *type) : -1;
}

static int
module_exec(PyObject *module)
{
    pn_state *state = PyModule_GetState(module);
    pn_platform_init();
    state->buffers_name = Py_BuildValue("(s)", "buffers");
    state->numpy_name = PyUnicode_InternFromString("numpy");
    if (state->buffers_name == NULL || state->numpy_name == NULL ||
        PyModule_AddIntConstant(module, "LAYOUT_VERSION", PN_LAYOUT_VERSION) < 0) {
        return -1;
    }
#define ADD(name, base, kind)                                                                      \
    if (add_type(module, &pn_##name##_spec, state->base##_type, &state->name##_type) < 0) {        \
        return -1;                                                                                 \
    }                                                                                              \
    state->kinds[PN_OBJECT_##kind] = state->name##_type;
    PN_PYTHON_TYPES(ADD)
    state->kinds[PN_OBJECT_FREE] = NULL;
    return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    pn_state *state = PyModule_GetState(module);
#define VISIT(name, base, kind) Py_VISIT(state->name##_type);
    PN_PYTHON_TYPES(VISIT)
    Py_VISIT(state->dumps);
    Py_VISIT(state->loads);
    Py_VISIT(state->teach);
    Py_VISIT(state->reducers);
    Py_VISIT(state->array_reducer);
    Py_VISIT(state->numpy.ndarray);
    for (size_t i = 0; i < PN_ARRAY_DTYPES; i++) {
        Py_VISIT(state->numpy.dtypes[i]);
    }
    return 0;
}

static int
module_clear(PyObject *module)
{
    pn_state *state = PyModule_GetState(module);
#define CLEAR(name, base, kind) Py_CLEAR(state->name##_type);
    PN_PYTHON_TYPES(CLEAR)
    Py_CLEAR(state->dumps);
    Py_CLEAR(state->loads);
    Py_CLEAR(state->teach);
    Py_CLEAR(state->reducers);
    Py_CLEAR(state->array_reducer);
    Py_CLEAR(state->buffers_name);
    Py_CLEAR(state->numpy_name);
    Py_CLEAR(state->numpy.ndarray);
    for (size_t i = 0; i < PN_ARRAY_DTYPES; i++) {
        Py_CLEAR(state->numpy.dtypes[i]);
    }
    Py_CLEAR(state->numpy.copyreg);
    Py_CLEAR(state->numpy.dtype_name);
    Py_CLEAR(state->numpy.setflags_name);
    Py_CLEAR(state->numpy.fortran);
    return 0;
}

static void
module_free(void *module)
{
    pn_state *state = PyModule_GetState(module);
    if (state != NULL) {
        PyMem_RawFree(state->registry.spans);
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    /* The fork handlers and the thread's robust list belong to the process. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

struct PyModuleDef pn_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "procession._core",
    .m_doc = "The C core of procession.",
    .m_size = sizeof(pn_state),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&pn_module);
}
