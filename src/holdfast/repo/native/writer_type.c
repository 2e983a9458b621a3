/* The types `Writer` and `Pack`: packs on their way from being full to being stored, and the calls from Python. */

#include "writer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KEPT_BUFFERS 1

PyTypeObject *writer_type, *pack_type;

/* Packs as Python sees them. */

struct pack_object {
    PyObject_HEAD
    struct pack *pack;
    struct writer_object *writer;
    size_t blob_bytes; /* those of its blobs, once it is finished */
    uint8_t id[ID_BYTES];
};

static void lose_rows(struct writer *writer, struct pack *pack)
{
    for (uint32_t i = 0; i < pack->count; i++)
        index_give_back(writer->index, pack->rows[i]);
}

static PyObject *wrap_pack(struct writer_object *writer, struct pack *pack)
{
    struct pack_object *self = (struct pack_object *)PyType_GenericAlloc(pack_type, 0);
    if (self == NULL) {
        free_pack(pack);
        return NULL;
    }
    self->pack = pack;
    self->writer = writer;
    Py_INCREF((PyObject *)writer);
    return (PyObject *)self;
}

static void pack_dealloc(PyObject *object)
{
    struct pack_object *self = (struct pack_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->pack->data != NULL) /* never stored */
        lose_rows(&self->writer->writer, self->pack);
    free_pack(self->pack);
    Py_DECREF((PyObject *)self->writer);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* The table of contents, unsealed: type, sealed length, plain length where compressed, id. */
static size_t write_header(struct index *index, const struct pack *pack, uint8_t *to)
{
    uint8_t *at = to;
    for (uint32_t i = 0; i < pack->count; i++) {
        const struct row *row = index_row(index, pack->rows[i]);
        uint32_t length = row->length & ~TREE_BIT;
        *at++ = (uint8_t)((pack->tree ? 1 : 0) | (row->raw_length != 0 ? 2 : 0));
        memcpy(at, &length, 4);
        at += 4;
        if (row->raw_length != 0) {
            memcpy(at, &row->raw_length, 4);
            at += 4;
        }
        memcpy(at, row->id, ID_BYTES);
        at += ID_BYTES;
    }
    return (size_t)(at - to);
}

static const char *finish_pack(struct writer *writer, struct pack *pack, uint8_t *id)
{
    const char *why = no_memory;
    uint8_t *header = malloc(tail_bytes(pack->count));
    struct codec *codec = take_codec(writer->key);
    if (header != NULL && codec != NULL) {
        pthread_mutex_lock(&writer->index->mutex);
        size_t size = write_header(writer->index, pack, header);
        pthread_mutex_unlock(&writer->index->mutex);
        why = seal(codec, header, size, pack->data + pack->used);
        uint32_t sealed = (uint32_t)(size + SEAL_BYTES);
        memcpy(pack->data + pack->used + sealed, &sealed, LENGTH_BYTES);
        pack->used += sealed + LENGTH_BYTES;
        sha256(pack->data, pack->used, id);
    }
    if (codec != NULL)
        give_codec(writer->key, codec);
    free(header);
    return why;
}

static PyObject *pack_finish(PyObject *object, PyObject *unused)
{
    struct pack_object *self = (struct pack_object *)object;
    const char *why;
    (void)unused;
    if (self->blob_bytes != 0)
        return writer_error("the pack is finished already");
    self->blob_bytes = self->pack->used;
    Py_BEGIN_ALLOW_THREADS
    why = finish_pack(&self->writer->writer, self->pack, self->id);
    Py_END_ALLOW_THREADS
    return why != NULL ? writer_error(why) : PyBytes_FromStringAndSize((const char *)self->id, ID_BYTES);
}

static PyObject *pack_settle(PyObject *object, PyObject *unused)
{
    struct pack_object *self = (struct pack_object *)object;
    struct writer *writer = &self->writer->writer;
    struct pack *pack = self->pack;
    (void)unused;
    if (pack->data == NULL)
        return writer_error("the pack is settled already");
    if (!index_settle(writer->index, pack->rows, pack->count, self->id))
        return PyErr_NoMemory();
    struct pack *kept = calloc(1, sizeof *kept);
    pthread_mutex_lock(&writer->mutex);
    writer->stored += pack->used - self->blob_bytes;
    if (kept != NULL && writer->idle_count < KEPT_BUFFERS) {
        kept->data = pack->data;
        kept->room = pack->room;
        kept->next = writer->idle;
        writer->idle = kept;
        writer->idle_count++;
        pack->data = NULL;
        kept = NULL;
    }
    pthread_mutex_unlock(&writer->mutex);
    free(kept);
    if (pack->data != NULL)
        munmap(pack->data, pack->room);
    pack->data = NULL;
    Py_RETURN_NONE;
}

static PyObject *pack_count(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(((struct pack_object *)object)->pack->count);
}

static int pack_buffer(PyObject *object, Py_buffer *view, int flags)
{
    struct pack *pack = ((struct pack_object *)object)->pack;
    if (pack->data == NULL) {
        PyErr_SetString(PyExc_BufferError, "the pack is settled: its bytes are gone");
        return -1;
    }
    return PyBuffer_FillInfo(view, object, pack->data, (Py_ssize_t)pack->used, 1, flags);
}

static PyMethodDef pack_methods[] = {
    {"finish", pack_finish, METH_NOARGS, "finish() -> id: append the table of contents. Raises ValueError."},
    {"settle", pack_settle, METH_NOARGS, "settle(): the pack is stored: let the index know, and give the buffer back."},
    {"count", pack_count, METH_NOARGS, "count() -> int: how many blobs it holds."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pack_slots[] = {
    {Py_tp_doc, "A pack of a Writer; a buffer until it is settled."},
    {Py_tp_dealloc, pack_dealloc},
    {Py_tp_methods, pack_methods},
    {Py_bf_getbuffer, pack_buffer},
    {0, NULL},
};

static PyType_Spec pack_spec = {"holdfast.repo._native.Pack", sizeof(struct pack_object), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, pack_slots};

/* The JSON of an index object for packs that are settled. */

static void add_pack_json(struct string *json, struct index *index, const struct pack_object *self)
{
    add_word(json, "{\"id\":\"");
    add_hex(json, self->id, ID_BYTES);
    add_word(json, "\",\"blobs\":[");
    for (uint32_t i = 0; i < self->pack->count; i++) {
        const struct row *row = index_row(index, self->pack->rows[i]);
        if (i > 0)
            add_word(json, ",");
        add_word(json, "{\"id\":\"");
        add_hex(json, row->id, ID_BYTES);
        if (row->length & TREE_BIT)
            add_word(json, "\",\"type\":\"tree\",\"offset\":");
        else
            add_word(json, "\",\"type\":\"data\",\"offset\":");
        add_number(json, row->offset);
        add_word(json, ",\"length\":");
        add_number(json, row->length & ~TREE_BIT);
        if (row->raw_length != 0) {
            add_word(json, ",\"uncompressed_length\":");
            add_number(json, row->raw_length);
        }
        add_word(json, "}");
    }
    add_word(json, "]}");
}

PyObject *encode_index(PyObject *self, PyObject *packs)
{
    struct string json = {0};
    (void)self;
    Py_ssize_t count = PyList_Size(packs);
    if (count < 0)
        return NULL;
    add_word(&json, "{\"packs\":[");
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(packs, i);
        if (!PyObject_TypeCheck(item, pack_type)) {
            free(json.data);
            PyErr_SetString(PyExc_TypeError, "an index is made of a list of packs");
            return NULL;
        }
        struct pack_object *pack = (struct pack_object *)item;
        struct index *index = pack->writer->writer.index;
        if (i > 0)
            add_word(&json, ",");
        pthread_mutex_lock(&index->mutex);
        add_pack_json(&json, index, pack);
        pthread_mutex_unlock(&index->mutex);
    }
    add_word(&json, "]}");
    PyObject *bytes = json.failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize(json.data, (Py_ssize_t)json.size);
    free(json.data);
    return bytes;
}

/* The writer as Python sees it. */

static struct writer *writer_of(PyObject *object)
{
    return &((struct writer_object *)object)->writer;
}

static PyObject *writer_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    static char *words[] = {"index", "key", "pack_bytes", "most_blobs", "check", "dry", NULL};
    PyObject *index, *key;
    unsigned int pack_bytes, most_blobs;
    int check, dry;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "O!O!IIpp:Writer", words, index_type, &index, key_type, &key,
                                     &pack_bytes, &most_blobs, &check, &dry))
        return NULL;
    if (pack_bytes < 4 || pack_bytes > BLOB_MOST || most_blobs == 0 || most_blobs > 1000000) {
        PyErr_SetString(PyExc_ValueError, "packs have 4 bytes to 256 MiB and up to a million blobs");
        return NULL;
    }
    struct writer_object *self = (struct writer_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    struct writer *writer = &self->writer;
    pthread_mutex_init(&writer->mutex, NULL);
    self->index_object = index;
    self->key_object = key;
    Py_INCREF(index);
    Py_INCREF(key);
    writer->index = &((struct index_object *)index)->index;
    writer->key = &((struct key_object *)key)->key;
    writer->pack_bytes = pack_bytes;
    writer->most_blobs = most_blobs;
    writer->check = check;
    writer->dry = dry;
    return (PyObject *)self;
}

static void writer_dealloc(PyObject *object)
{
    struct writer_object *self = (struct writer_object *)object;
    struct writer *writer = &self->writer;
    PyTypeObject *type = Py_TYPE(object);
    for (int i = 0; i <= DATA_PACKS; i++)
        if (writer->open[i] != NULL) {
            lose_rows(writer, writer->open[i]);
            free_pack(writer->open[i]);
        }
    for (struct pack *pack = writer->full, *next; pack != NULL; pack = next) {
        next = pack->next;
        lose_rows(writer, pack);
        free_pack(pack);
    }
    for (struct pack *pack = writer->idle, *next; pack != NULL; pack = next) {
        next = pack->next;
        free_pack(pack);
    }
    pthread_mutex_destroy(&writer->mutex);
    Py_DECREF(self->index_object);
    Py_DECREF(self->key_object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *writer_save(PyObject *object, PyObject *arguments)
{
    struct writer *writer = writer_of(object);
    Py_buffer data;
    int tree;
    uint8_t id[ID_BYTES];
    const char *why = no_memory;
    if (!PyArg_ParseTuple(arguments, "py*:save", &tree, &data))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    struct codec *codec = take_codec(writer->key);
    if (codec != NULL) {
        why = save_blob(writer, codec, tree != 0, data.buf, (size_t)data.len, id);
        give_codec(writer->key, codec);
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return why != NULL ? writer_error(why) : PyBytes_FromStringAndSize((const char *)id, ID_BYTES);
}

/* (tree, id, data, raw_length): `sealed` tells whether data is sealed. */
static PyObject *put_claimed(PyObject *object, PyObject *arguments, bool sealed)
{
    struct writer *writer = writer_of(object);
    Py_buffer data;
    int tree;
    const char *id, *why = no_memory;
    Py_ssize_t id_size;
    unsigned int raw_length;
    if (!PyArg_ParseTuple(arguments, "py#y*I", &tree, &id, &id_size, &data, &raw_length))
        return NULL;
    if (id_size != ID_BYTES || (sealed && (data.len < SEAL_BYTES || (size_t)data.len > BLOB_MOST))) {
        PyBuffer_Release(&data);
        return writer_error("an id has 32 bytes, and a sealed blob 32 bytes to 256 MiB");
    }
    Py_BEGIN_ALLOW_THREADS
    struct codec *codec = take_codec(writer->key);
    uint32_t number;
    if (codec != NULL) {
        if (writer->failed != NULL)
            why = writer->failed;
        else if (sealed)
            why = put_sealed(writer, codec, tree, (const uint8_t *)id, data.buf, (size_t)data.len, raw_length);
        else if (!index_claimed(writer->index, (const uint8_t *)id, &number))
            why = "a blob was stored that nobody had claimed";
        else
            why = store_blob(writer, codec, tree, data.buf, (size_t)data.len, (const uint8_t *)id, number);
        give_codec(writer->key, codec);
    }
    if (why != NULL)
        fail(writer, why);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    if (why != NULL)
        return writer_error(why);
    Py_RETURN_NONE;
}

static PyObject *writer_store(PyObject *object, PyObject *arguments)
{
    return put_claimed(object, arguments, false);
}

static PyObject *writer_put(PyObject *object, PyObject *arguments)
{
    return put_claimed(object, arguments, true);
}

static PyObject *wrap_packs(struct writer_object *self, struct pack *pack)
{
    PyObject *list = PyList_New(0);
    while (pack != NULL) {
        struct pack *next = pack->next;
        PyObject *wrapped = list != NULL ? wrap_pack(self, pack) : NULL;
        if (list == NULL)
            free_pack(pack);
        if (wrapped == NULL || PyList_Append(list, wrapped) < 0)
            Py_CLEAR(list);
        Py_XDECREF(wrapped);
        pack = next;
    }
    return list;
}

static PyObject *writer_take(PyObject *object, PyObject *unused)
{
    struct writer *writer = writer_of(object);
    (void)unused;
    pthread_mutex_lock(&writer->mutex);
    if (writer->failed != NULL) {
        pthread_mutex_unlock(&writer->mutex);
        return writer_error(writer->failed);
    }
    struct pack *full = writer->full;
    writer->full = NULL;
    pthread_mutex_unlock(&writer->mutex);
    return wrap_packs((struct writer_object *)object, full);
}

static PyObject *writer_close(PyObject *object, PyObject *unused)
{
    struct writer *writer = writer_of(object);
    pthread_mutex_lock(&writer->mutex);
    for (int i = 0; i <= DATA_PACKS; i++)
        if (writer->open[i] != NULL)
            close_pack(writer, writer->open[i]);
    pthread_mutex_unlock(&writer->mutex);
    return writer_take(object, unused);
}

static PyObject *writer_abandon(PyObject *object, PyObject *unused)
{
    (void)unused;
    fail(writer_of(object), "the backup was given up");
    Py_RETURN_NONE;
}

static PyObject *writer_counts(PyObject *object, PyObject *unused)
{
    struct writer *writer = writer_of(object);
    (void)unused;
    return Py_BuildValue("(KKKK)", (unsigned long long)writer->blobs[0], (unsigned long long)writer->blobs[1],
                         (unsigned long long)writer->raw, (unsigned long long)writer->stored);
}

static PyMethodDef writer_methods[] = {
    {"save", writer_save, METH_VARARGS,
     "save(tree, data) -> id: store a blob unless it is known. Raises ValueError when the writer has failed, for good."},
    {"store", writer_store, METH_VARARGS, "store(tree, id, data, 0): seal a blob that was claimed. Raises ValueError, for good."},
    {"put", writer_put, METH_VARARGS, "put(tree, id, sealed, raw_length): take a claimed blob that is sealed already."},
    {"take", writer_take, METH_NOARGS, "take() -> list of the packs that are full. Raises ValueError when the writer failed."},
    {"close", writer_close, METH_NOARGS, "close() -> list of all packs that are left. Nobody may save meanwhile."},
    {"abandon", writer_abandon, METH_NOARGS, "abandon(): make every further call fail."},
    {"counts", writer_counts, METH_NOARGS, "counts() -> (data blobs, tree blobs, bytes before, bytes after)."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, "Writer(index, key, pack_bytes, most_blobs, check, dry): fills packs."},
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, writer_methods},
    {0, NULL},
};

static PyType_Spec writer_spec = {"holdfast.repo._native.Writer", sizeof(struct writer_object), 0, Py_TPFLAGS_DEFAULT,
                                  writer_slots};

bool add_writer_types(PyObject *module)
{
    writer_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &writer_spec, NULL);
    pack_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &pack_spec, NULL);
    return writer_type != NULL && pack_type != NULL && PyModule_AddType(module, writer_type) == 0 &&
           PyModule_AddType(module, pack_type) == 0;
}
