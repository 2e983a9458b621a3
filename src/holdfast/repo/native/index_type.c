/* The type `Index`: the index as Python sees it. */

#include "index.h"

#include <stdlib.h>
#include <string.h>

PyTypeObject *index_type;

static struct index *index_of(PyObject *object)
{
    return &((struct index_object *)object)->index;
}

static PyObject *index_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    (void)names;
    if (!PyArg_ParseTuple(arguments, ":Index"))
        return NULL;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    pthread_mutex_init(&index_of(self)->mutex, NULL);
    if (!random_bytes(index_of(self)->seed, sizeof index_of(self)->seed)) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_OSError, "the system gives no random bytes");
        return NULL;
    }
    return self;
}

static void index_dealloc(PyObject *object)
{
    struct index *index = index_of(object);
    PyTypeObject *type = Py_TYPE(object);
    for (uint32_t block = 0; block < index->block_count; block++)
        free(index->blocks[block]);
    free(index->blocks);
    free(index->slots);
    free(index->packs);
    free(index->pack_slots);
    pthread_mutex_destroy(&index->mutex);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *index_load(PyObject *object, PyObject *argument)
{
    struct index *index = index_of(object);
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    const char *why;
    Py_BEGIN_ALLOW_THREADS
    struct json json = {data, data + size};
    pthread_mutex_lock(&index->mutex);
    why = read_index(index, &json);
    pthread_mutex_unlock(&index->mutex);
    Py_END_ALLOW_THREADS
    if (why != NULL) {
        PyErr_SetString(why == no_memory ? PyExc_MemoryError : PyExc_ValueError, why);
        return NULL;
    }
    Py_RETURN_NONE;
}

static const uint8_t *id_of(PyObject *argument)
{
    char *id;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(argument, &id, &size) < 0)
        return NULL;
    if (size != ID_BYTES) {
        PyErr_SetString(PyExc_ValueError, "an id has 32 bytes");
        return NULL;
    }
    return (const uint8_t *)id;
}

static PyObject *describe(struct index *index, const struct row *row)
{
    return Py_BuildValue("(Oy#III)", row->length & TREE_BIT ? Py_True : Py_False, (const char *)index->packs[row->pack],
                         (Py_ssize_t)ID_BYTES, row->offset, row->length & ~TREE_BIT, row->raw_length);
}

static PyObject *index_find_method(PyObject *object, PyObject *argument)
{
    struct index *index = index_of(object);
    struct row row;
    const uint8_t *id = id_of(argument);
    if (id == NULL)
        return NULL;
    if (!index_find(index, id, &row))
        Py_RETURN_NONE;
    pthread_mutex_lock(&index->mutex);
    PyObject *result = describe(index, &row);
    pthread_mutex_unlock(&index->mutex);
    return result;
}

/* For each id pack, offset, length with the bit of trees, and raw length; length 0 says that there is no such blob. */
static PyObject *index_find_many(PyObject *object, PyObject *argument)
{
    struct index *index = index_of(object);
    struct row row;
    Py_buffer ids;
    if (PyObject_GetBuffer(argument, &ids, PyBUF_SIMPLE) < 0)
        return NULL;
    size_t count = (size_t)ids.len / ID_BYTES;
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * 4 * sizeof(uint32_t)));
    if (result != NULL) {
        char *to = PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < count; i++) {
            uint32_t place[4] = {0};
            if (index_find(index, (const uint8_t *)ids.buf + i * ID_BYTES, &row))
                memcpy(place, &row.pack, sizeof place);
            memcpy(to + i * sizeof place, place, sizeof place);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&ids);
    return result;
}

static PyObject *index_pack(PyObject *object, PyObject *argument)
{
    struct index *index = index_of(object);
    unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred() != NULL)
        return NULL;
    if (number >= index->pack_count) {
        PyErr_SetString(PyExc_IndexError, "there is no pack of this number");
        return NULL;
    }
    return PyBytes_FromStringAndSize((const char *)index->packs[number], ID_BYTES);
}

static PyObject *index_contains(PyObject *object, PyObject *argument)
{
    const uint8_t *id = id_of(argument);
    return id == NULL ? NULL : PyBool_FromLong(index_find(index_of(object), id, NULL));
}

static PyObject *index_holds_method(PyObject *object, PyObject *argument)
{
    const uint8_t *id = id_of(argument);
    return id == NULL ? NULL : PyBool_FromLong(index_holds(index_of(object), id));
}

static PyObject *index_claim_method(PyObject *object, PyObject *argument)
{
    const uint8_t *id = id_of(argument);
    uint32_t number;
    if (id == NULL)
        return NULL;
    enum claim claim = index_claim(index_of(object), id, &number);
    return claim == CLAIM_NO_MEMORY ? PyErr_NoMemory() : PyBool_FromLong(claim == CLAIM_YOURS);
}

static PyObject *index_add(PyObject *object, PyObject *arguments)
{
    struct index *index = index_of(object);
    const char *pack, *id;
    Py_ssize_t pack_size, id_size;
    unsigned int offset, length, raw_length;
    int tree;
    if (!PyArg_ParseTuple(arguments, "y#y#IIIp:add", &pack, &pack_size, &id, &id_size, &offset, &length, &raw_length, &tree))
        return NULL;
    if (pack_size != ID_BYTES || id_size != ID_BYTES || length >= TREE_BIT) {
        PyErr_SetString(PyExc_ValueError, "an id has 32 bytes, and a blob less than 2 GiB");
        return NULL;
    }
    uint32_t number, pack_number;
    pthread_mutex_lock(&index->mutex);
    uint32_t known = look_up(index, (const uint8_t *)id);
    bool done = add_row(index, (const uint8_t *)id, known, &number) &&
                number_pack(index, (const uint8_t *)pack, &pack_number);
    if (done) {
        struct row *row = index_row(index, number);
        row->pack = pack_number;
        row->offset = offset;
        row->length = length | (tree ? TREE_BIT : 0);
        row->raw_length = raw_length;
        index->stored++;
    }
    pthread_mutex_unlock(&index->mutex);
    if (!done)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *index_packs(PyObject *object, PyObject *unused)
{
    struct index *index = index_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < index->pack_count; number++) {
        PyObject *id = PyBytes_FromStringAndSize((const char *)index->packs[number], ID_BYTES);
        if (id == NULL || PyList_Append(list, id) < 0)
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    return list;
}

static int by_place(const void *a, const void *b, void *context)
{
    const struct row *one = index_row(context, *(const uint32_t *)a), *two = index_row(context, *(const uint32_t *)b);
    if (one->pack != two->pack)
        return one->pack < two->pack ? -1 : 1;
    return one->offset < two->offset ? -1 : one->offset > two->offset;
}

static PyObject *index_order(PyObject *object, PyObject *unused)
{
    struct index *index = index_of(object);
    (void)unused;
    PyObject *bytes = NULL;
    pthread_mutex_lock(&index->mutex);
    uint32_t count = 0, *rows = malloc(((size_t)index->rows + 1) * sizeof *rows);
    if (rows != NULL) {
        for (uint32_t number = 0; number < index->rows; number++)
            if (index_row(index, number)->pack < PACK_LOST)
                rows[count++] = number;
        qsort_r(rows, count, sizeof *rows, by_place, index);
    }
    pthread_mutex_unlock(&index->mutex);
    if (rows == NULL)
        return PyErr_NoMemory();
    bytes = PyBytes_FromStringAndSize((const char *)rows, (Py_ssize_t)(count * sizeof *rows));
    free(rows);
    return bytes;
}

static PyObject *index_row_method(PyObject *object, PyObject *argument)
{
    struct index *index = index_of(object);
    unsigned long number = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred())
        return NULL;
    if (number >= index->rows || index_row(index, (uint32_t)number)->pack >= PACK_LOST) {
        PyErr_SetString(PyExc_IndexError, "there is no such row");
        return NULL;
    }
    const struct row *row = index_row(index, (uint32_t)number);
    PyObject *place = describe(index, row);
    return place == NULL ? NULL : Py_BuildValue("(y#N)", (const char *)row->id, (Py_ssize_t)ID_BYTES, place);
}

static PyObject *index_stored(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(index_of(object)->stored);
}

static PyObject *index_flying(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(index_of(object)->flying);
}

static PyObject *index_nbytes(PyObject *object, PyObject *unused)
{
    struct index *index = index_of(object);
    (void)unused;
    return PyLong_FromSize_t((size_t)index->block_count * BLOCK_ROWS * sizeof(struct row) +
                             index->slot_count * sizeof *index->slots +
                             (size_t)index->pack_room * (ID_BYTES + 2 * sizeof *index->pack_slots));
}

static PyMethodDef index_methods[] = {
    {"load", index_load, METH_O, "load(json): add an index object. Raises ValueError; the index is of no use after that."},
    {"find", index_find_method, METH_O, "find(id) -> (tree, pack, offset, length, raw_length), or None."},
    {"find_many", index_find_many, METH_O,
     "find_many(ids) -> bytes: pack, offset, length and raw length of each as 32-bit integers; see `BlobIndex.find_many`."},
    {"pack", index_pack, METH_O, "pack(number) -> id of a pack. Raises IndexError."},
    {"contains", index_contains, METH_O, "contains(id) -> bool: whether the blob is in a stored pack."},
    {"holds", index_holds_method, METH_O, "holds(id) -> bool: whether the blob is stored or on its way."},
    {"claim", index_claim_method, METH_O, "claim(id) -> bool: whether the caller has to store the blob now."},
    {"add", index_add, METH_VARARGS, "add(pack, id, offset, length, raw_length, tree): record a stored blob."},
    {"packs", index_packs, METH_NOARGS, "packs() -> list of the ids of all packs."},
    {"order", index_order, METH_NOARGS, "order() -> the numbers of all stored rows by pack and offset, as 32-bit integers."},
    {"row", index_row_method, METH_O, "row(number) -> (id, (tree, pack, offset, length, raw_length)). Raises IndexError."},
    {"stored", index_stored, METH_NOARGS, "stored() -> int: how many blobs are in stored packs."},
    {"flying", index_flying, METH_NOARGS, "flying() -> int: how many blobs are claimed and not stored."},
    {"nbytes", index_nbytes, METH_NOARGS, "nbytes() -> int: bytes held."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot index_slots[] = {
    {Py_tp_doc, "Index(): which blob lies where."},
    {Py_tp_new, index_new},
    {Py_tp_dealloc, index_dealloc},
    {Py_tp_methods, index_methods},
    {0, NULL},
};

static PyType_Spec index_spec = {"holdfast.repo._native.Index", sizeof(struct index_object), 0, Py_TPFLAGS_DEFAULT,
                                 index_slots};

bool add_index_type(PyObject *module)
{
    index_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &index_spec, NULL);
    return index_type != NULL && PyModule_AddType(module, index_type) == 0;
}
