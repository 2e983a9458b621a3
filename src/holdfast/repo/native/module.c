/* The module `holdfast.repo._native`: its table of functions. Each C file of this folder brings its own part. */

#include "holdfast.h"

#define HOLDFAST_ABI 1

static PyObject *abi(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(HOLDFAST_ABI);
}

static PyMethodDef functions[] = {
    {"abi", abi, METH_NOARGS, "abi() -> int: the number that the Python side expects."},
    {"bind", bind_libraries, METH_VARARGS,
     "bind(zstd, crypto) -> int: load the two libraries by path; returns zstd's version number. Call it before anything else.\n"
     "Raises ImportError."},
    {"rabin_cut", rabin_cut, METH_VARARGS,
     "rabin_cut(tables, data) -> int: the length of the first chunk of data, cut as the stock program cuts; see rabin.py."},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    return add_key_type(module) ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_types}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "holdfast.repo._native",
    .m_doc = "Hashing, compression, sealing and file work of the backup repository, outside the interpreter lock.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
