/* The module `holdfast.repo._native`: its table of functions. Each C file of this folder brings its own part. */

#include "holdfast.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* What the numbers mean is memory.py's affair; an allocator that is not glibc's takes none. */
static PyObject *allocator_set(PyObject *self, PyObject *arguments)
{
    int setting, value, taken = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "ii:allocator_set", &setting, &value))
        return NULL;
#ifdef __GLIBC__
    taken = mallopt(setting, value);
#endif
    return PyBool_FromLong(taken);
}

static PyObject *built_from(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromUnsignedLong(HOLDFAST_SOURCES); /* given by scripts/build_native.py */
}

static PyMethodDef functions[] = {
    {"sources", built_from, METH_NOARGS, "sources() -> int: the checksum of the C files that it was built from."},
    {"allocator_set", allocator_set, METH_VARARGS,
     "allocator_set(setting, value) -> bool: mallopt of the C library; whether it took the setting."},
    {"bind", bind_libraries, METH_VARARGS,
     "bind(zstd, crypto) -> int: load the two libraries by path; returns zstd's version number. Call it before anything else.\n"
     "Raises ImportError."},
    {"scrypt_mix", scrypt_mix, METH_VARARGS,
     "scrypt_mix(lanes, n, r, form=0) -> bytes: scryptROMix of RFC 7914 for each lane, in the fastest form that the processor has, "
     "or a slower one. Raises ValueError (also when there are no more forms), MemoryError."},
    {"rabin_cut", rabin_cut, METH_VARARGS,
     "rabin_cut(tables, data) -> int: the length of the first chunk of data, cut as the stock program cuts; see rabin.py."},
    {"reseal", reseal, METH_VARARGS,
     "reseal(source, target, data, table, check) -> (sealed, lengths, row, why, ours): open the blobs of `data` that the table\n"
     "names (id, then offset, length and raw length as uint32), and seal them for another key. `lengths` has sealed and raw\n"
     "length of each as uint32. On a failure `row` is the blob's, else -1, and `ours` says that its source was sound.\n"
     "Raises ValueError for a table that points out of its range."},
    {"tree_files", tree_files, METH_O,
     "tree_files(tree) -> (rows, names, ids, counts, rest) or None: the plain files of a tree; see `gathered.Entries`. `rest`\n"
     "is a tree of the other entries, or empty. None says that the tree has to be read by `decode_tree`."},
    {"files_make", files_make, METH_VARARGS,
     "files_make(files, names, rows, owner): make empty files of full size. This and the other calls on files return\n"
     "(faults, files, bytes, unowned, verified files, verified bytes); a fault is (row, piece or -1, errno or 0, what).\n"
     "The tables are those of `gathered.py` and `plan.py`. Raises ValueError for a table that points out of its range."},
    {"files_fill", files_fill, METH_VARARGS,
     "files_fill(key, data, pieces, places, files, names, sparse, owner, verify): open blobs and write them to their places;\n"
     "verify reads back files that one blob fills."},
    {"files_finish", files_finish, METH_VARARGS,
     "files_finish(files, names, rows, owner): set owner, mode and times."},
    {"files_verify", files_verify, METH_VARARGS,
     "files_verify(files, names, spans, parts): read files back and compare each blob's hash."},
    {"blobs_check", blobs_check, METH_VARARGS,
     "blobs_check(key, data, pieces) -> [(row, row, 0, what)]: open blobs and compare their hashes."},
    {"times_parse", times_parse, METH_O,
     "times_parse(texts) -> bytes: for each RFC 3339 time seconds and nanoseconds since 1970 as two int64; nanoseconds of -1\n"
     "say that it can't be read."},
    {"next_cut", next_cut, METH_VARARGS,
     "next_cut(data, key, numbers) -> int: the length of the first chunk; numbers are four factors and a shift, 16 bits each."},
    {"text_name", text_name, METH_O, "text_name(name) -> bytes: a file name as a tree quotes it."},
    {"text_value", text_value, METH_O, "text_value(text) -> bytes: another text as a tree quotes it."},
    {"text_time", text_time, METH_VARARGS, "text_time(second, nanosecond, utc) -> bytes: a time as a tree has it."},
    {"encode_index", encode_index, METH_O, "encode_index(packs) -> bytes: the JSON of an index object for settled packs."},
    {NULL, NULL, 0, NULL},
};

static int add_types(PyObject *module)
{
    return add_key_type(module) && add_index_type(module) && add_writer_types(module) && add_folder_type(module) ? 0 : -1;
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
