/* The module `holdfast.repo._native`: its table of functions. Each C file of this folder brings its own part. */

#include <Python.h>

#define HOLDFAST_ABI 1

static PyObject *abi(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(HOLDFAST_ABI);
}

static PyMethodDef functions[] = {
    {"abi", abi, METH_NOARGS, "abi() -> int: the number that the Python side expects."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "holdfast.repo._native",
    .m_doc = "Hashing, compression, sealing and file work of the backup repository, outside the interpreter lock.",
    .m_size = 0,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
