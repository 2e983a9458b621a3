/* One folder of the source, from its listing to its tree: the type `Folder`.
 *
 * `scan` lists and looks at every entry, `match` compares with the parent's tree and writes the nodes of what needs no reading,
 * `read` reads, stores and describes a range of small files, and `finish` makes the tree. Each is one call without the
 * interpreter lock. `read` may run for several ranges at once; the others are for one thread. Large files are left to the
 * caller, who knows how to stream them, and hands in their nodes.
 */

#include "folder.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static PyTypeObject *folder_type;

static struct folder *folder_of(PyObject *object)
{
    return &((struct folder_object *)object)->folder;
}

static PyObject *fault_list(const struct folder *folder, struct report *report)
{
    PyObject *list = PyList_New(0);
    for (struct fault *fault = report->faults, *next; fault != NULL; fault = next) {
        next = fault->next;
        const struct entry *entry = &folder->entries[fault->entry];
        PyObject *item = list == NULL ? NULL
                                      : Py_BuildValue("(y#iz)", entry->name, (Py_ssize_t)entry->name_size, fault->error,
                                                      fault->attribute);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(fault->attribute);
        free(fault);
    }
    report->faults = NULL;
    return list;
}

/* (files, bytes, changed, vanished, faults), or NULL with an error set. */
static PyObject *report_tuple(const struct folder *folder, struct report *report)
{
    PyObject *faults = fault_list(folder, report);
    if (report->why != NULL) {
        Py_XDECREF(faults);
        return writer_error(report->why);
    }
    if (faults == NULL)
        return NULL;
    return Py_BuildValue("(IKIIN)", report->files, (unsigned long long)report->bytes, report->changed, report->vanished,
                         faults);
}

/* The type. */

static PyObject *folder_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    const char *path;
    Py_ssize_t size;
    int utc;
    (void)names;
    if (!PyArg_ParseTuple(arguments, "y#p:Folder", &path, &size, &utc))
        return NULL;
    while (size > 0 && path[size - 1] == '/')
        size--;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    struct folder *folder = folder_of(self);
    pthread_mutex_init(&folder->mutex, NULL);
    folder->utc = utc;
    folder->path = calloc(1, (size_t)size + 1);
    if (folder->path == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    memcpy(folder->path, path, (size_t)size);
    folder->path_size = (size_t)size;
    return self;
}

static void empty_folder(struct folder *folder)
{
    for (uint32_t number = 0; number < folder->count; number++)
        free(folder->entries[number].name);
    free(folder->entries);
    folder->entries = NULL;
    folder->count = folder->room = 0;
    for (struct block *block = folder->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block->data);
        free(block);
    }
    folder->blocks = NULL;
    Py_CLEAR(folder->old);
}

static void folder_dealloc(PyObject *object)
{
    struct folder *folder = folder_of(object);
    PyTypeObject *type = Py_TYPE(object);
    empty_folder(folder);
    free(folder->path);
    pthread_mutex_destroy(&folder->mutex);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *folder_scan(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    uint32_t vanished = 0;
    int error;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    error = scan_folder(folder, &vanished);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromUnsignedLong(vanished);
}

static PyObject *folder_look(PyObject *object, PyObject *argument)
{
    struct folder *folder = folder_of(object);
    struct entry entry = {0};
    char *name, path[PATH_MAX];
    Py_ssize_t size;
    struct stat stat;
    if (PyBytes_AsStringAndSize(argument, &name, &size) < 0)
        return NULL;
    entry.name = name;
    entry.name_size = (uint16_t)size;
    errno = ENAMETOOLONG;
    if (size > NAME_MAX || !full_path(folder, &entry, path) || lstat(path, &stat) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!S_ISSOCK(stat.st_mode) && !new_entry(folder, name, &stat))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *folder_entries(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state == OUT)
            continue;
        PyObject *item = Py_BuildValue("(Iy#IKK)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       (unsigned int)entry->stat.st_mode, (unsigned long long)entry->stat.st_size,
                                       (unsigned long long)entry->stat.st_dev);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static struct entry *entry_at(struct folder *folder, unsigned long number)
{
    if (number < folder->count)
        return &folder->entries[number];
    PyErr_SetString(PyExc_IndexError, "the folder has no such entry");
    return NULL;
}

static PyObject *folder_totals(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    unsigned long files = 0;
    unsigned long long bytes = 0;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (uint32_t number = 0; names != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != OUT && S_ISREG(entry->stat.st_mode)) {
            files++;
            bytes += (unsigned long long)entry->stat.st_size;
        }
        if (entry->state != FOLDER)
            continue;
        PyObject *name = PyBytes_FromStringAndSize(entry->name, entry->name_size);
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names == NULL ? NULL : Py_BuildValue("(kKN)", files, bytes, names);
}

static PyObject *folder_drop(PyObject *object, PyObject *argument)
{
    unsigned long number = PyLong_AsUnsignedLong(argument);
    struct entry *entry = PyErr_Occurred() ? NULL : entry_at(folder_of(object), number);
    if (entry == NULL)
        return NULL;
    entry->state = OUT;
    Py_RETURN_NONE;
}

static PyObject *folder_match(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    PyObject *index, *old;
    struct match match;
    int ignore_ctime, ignore_inode;
    struct report report;
    char *data = NULL;
    Py_ssize_t size = 0;
    if (!PyArg_ParseTuple(arguments, "O!Opp:match", index_type, &index, &old, &ignore_ctime, &ignore_inode))
        return NULL;
    if (old != Py_None && PyBytes_AsStringAndSize(old, &data, &size) < 0)
        return NULL;
    if (old != Py_None && folder->old == NULL) {
        folder->old = old;
        Py_INCREF(old);
    }
    match = (struct match){&((struct index_object *)index)->index, ignore_ctime, ignore_inode};
    start_report(folder, &report);
    Py_BEGIN_ALLOW_THREADS
    struct old_tree tree = {0};
    struct json json = {data, data + size};
    if (data != NULL && !read_old_tree(json, &tree))
        tree.count = 0;
    match_all(folder, &match, &tree, &report);
    free_old_tree(&tree);
    Py_END_ALLOW_THREADS
    return report_tuple(folder, &report);
}

static PyObject *folder_read(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    struct writer_object *writer;
    unsigned int first, last;
    struct report report;
    if (!PyArg_ParseTuple(arguments, "O!II:read", writer_type, &writer, &first, &last))
        return NULL;
    last = last < folder->count ? last : folder->count;
    start_report(folder, &report);
    Py_BEGIN_ALLOW_THREADS
    struct codec *codec = take_codec(writer->writer.key);
    if (codec == NULL) {
        report.why = no_memory;
    } else {
        read_files(folder, first, last, &writer->writer, codec, &report);
        give_codec(writer->writer.key, codec);
    }
    Py_END_ALLOW_THREADS
    return report_tuple(folder, &report);
}

static PyObject *folder_batches(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    unsigned int most_files, files = 0, first = 0;
    unsigned long long most_bytes, bytes = 0;
    if (!PyArg_ParseTuple(arguments, "IK:batches", &most_files, &most_bytes))
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state == SMALL) {
            files++;
            bytes += (unsigned long long)entry->stat.st_size;
        }
        bool last = number + 1 == folder->count;
        if (files == 0 || (!last && files < most_files && bytes < most_bytes))
            continue;
        PyObject *range = Py_BuildValue("(II)", first, number + 1);
        if (range == NULL || PyList_Append(list, range) < 0)
            Py_CLEAR(list);
        Py_XDECREF(range);
        first = number + 1;
        files = 0;
        bytes = 0;
    }
    return list;
}

static PyObject *folder_large(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != LARGE)
            continue;
        PyObject *item = Py_BuildValue("(Iy#O)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       entry->known ? Py_True : Py_False);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *folder_folders(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != FOLDER)
            continue;
        PyObject *item = Py_BuildValue("(Iy#y#)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       entry->has_subtree ? (const char *)entry->subtree : "",
                                       (Py_ssize_t)(entry->has_subtree ? ID_BYTES : 0));
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* Put a finished node in place of what the entry has; takes `data` over. */
static PyObject *set_node(struct folder *folder, struct entry *entry, char *data, size_t size)
{
    if (data == NULL || !keep_text(folder, data)) {
        free(data);
        return PyErr_NoMemory();
    }
    entry->node = data;
    entry->node_size = size;
    entry->state = READY;
    Py_RETURN_NONE;
}

static PyObject *folder_set_node(PyObject *object, PyObject *arguments)
{
    unsigned int number;
    const char *node;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "Iy#:set_node", &number, &node, &size))
        return NULL;
    struct entry *entry = entry_at(folder_of(object), number);
    if (entry == NULL)
        return NULL;
    char *copy = malloc((size_t)size + 1);
    if (copy != NULL)
        memcpy(copy, node, (size_t)size);
    return set_node(folder_of(object), entry, copy, (size_t)size);
}

static PyObject *folder_set_subtree(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    unsigned int number;
    const char *id;
    Py_ssize_t size;
    struct string node = {0};
    struct clock clock = {.utc = folder->utc};
    if (!PyArg_ParseTuple(arguments, "Iy#:set_subtree", &number, &id, &size))
        return NULL;
    struct entry *entry = entry_at(folder, number);
    if (entry == NULL)
        return NULL;
    if (size != ID_BYTES || entry->state != FOLDER)
        return writer_error("a folder gets its tree once, by an id of 32 bytes");
    add_head(&node, entry->name, entry->name_size, &entry->stat, &clock);
    add_bytes(&node, entry->node, entry->node_size);
    add_word(&node, ",\"content\":null,\"subtree\":\"");
    add_hex(&node, (const uint8_t *)id, ID_BYTES);
    add_word(&node, "\"}");
    if (node.failed) {
        free(node.data);
        return PyErr_NoMemory();
    }
    return set_node(folder, entry, node.data, node.size);
}

static void encode_tree(const struct folder *folder, struct string *tree)
{
    bool first = true;
    add_word(tree, "{\"nodes\":[");
    for (uint32_t number = 0; number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != READY)
            continue;
        if (!first)
            add_word(tree, ",");
        first = false;
        add_bytes(tree, entry->node, entry->node_size);
    }
    add_word(tree, "]}\n");
}

static bool is_old(const struct folder *folder, const struct string *tree)
{
    char *data;
    Py_ssize_t size;
    if (folder->old == NULL || PyBytes_AsStringAndSize(folder->old, &data, &size) < 0)
        return false;
    return (size_t)size == tree->size && memcmp(data, tree->data, tree->size) == 0;
}

static PyObject *folder_finish(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    struct writer_object *writer;
    const char *old, *why = NULL;
    Py_ssize_t old_size;
    uint8_t id[ID_BYTES];
    struct string tree = {0};
    if (!PyArg_ParseTuple(arguments, "O!y#:finish", writer_type, &writer, &old, &old_size))
        return NULL;
    encode_tree(folder, &tree);
    if (old_size == ID_BYTES && !tree.failed && is_old(folder, &tree)) {
        memcpy(id, old, ID_BYTES);
    } else {
        Py_BEGIN_ALLOW_THREADS
        struct codec *codec = tree.failed ? NULL : take_codec(writer->writer.key);
        why = no_memory;
        if (codec != NULL) {
            why = save_blob(&writer->writer, codec, true, (const uint8_t *)tree.data, tree.size, id);
            give_codec(writer->writer.key, codec);
        }
        Py_END_ALLOW_THREADS
    }
    free(tree.data);
    empty_folder(folder);
    return why != NULL ? writer_error(why) : PyBytes_FromStringAndSize((const char *)id, ID_BYTES);
}

static PyObject *folder_count(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(folder_of(object)->count);
}

static PyMethodDef folder_methods[] = {
    {"scan", folder_scan, METH_NOARGS, "scan() -> how many entries vanished meanwhile. Raises OSError."},
    {"look", folder_look, METH_O, "look(name): add one entry instead of listing; by bytes order. Raises OSError."},
    {"entries", folder_entries, METH_NOARGS, "entries() -> list of (number, name, mode, size, device)."},
    {"totals", folder_totals, METH_NOARGS, "totals() -> (regular files, their bytes, names of folders)."},
    {"drop", folder_drop, METH_O, "drop(number): leave an entry out."},
    {"match", folder_match, METH_VARARGS,
     "match(index, old, ignore_ctime, ignore_inode) -> (files, bytes, 0, 0, faults): compare with the parent's tree\n"
     "(bytes or None). A fault is (name, errno, attribute): no attribute for the entry itself, '' for the list of them; an errno of 0\n"
     "for what is no regular file any more."},
    {"batches", folder_batches, METH_VARARGS, "batches(files, bytes) -> list of (first, last): ranges of files to read."},
    {"read", folder_read, METH_VARARGS,
     "read(writer, first, last) -> (files, bytes, changed, vanished, faults). Raises ValueError when the writer failed."},
    {"large", folder_large, METH_NOARGS, "large() -> list of (number, name, known) of the files that the caller has to read."},
    {"folders", folder_folders, METH_NOARGS, "folders() -> list of (number, name, the parent's tree or b'')."},
    {"set_node", folder_set_node, METH_VARARGS, "set_node(number, node): the node of a file that the caller has read."},
    {"set_subtree", folder_set_subtree, METH_VARARGS, "set_subtree(number, id): the tree of a folder."},
    {"finish", folder_finish, METH_VARARGS,
     "finish(writer, old) -> id: store the tree; `old` is the id of the parent's, or b''. The folder is empty after that."},
    {"count", folder_count, METH_NOARGS, "count() -> int: how many entries there are."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot folder_slots[] = {
    {Py_tp_doc, "Folder(path, utc): one folder of the source; path in bytes."},
    {Py_tp_new, folder_new},
    {Py_tp_dealloc, folder_dealloc},
    {Py_tp_methods, folder_methods},
    {0, NULL},
};

static PyType_Spec folder_spec = {"holdfast.repo._native.Folder", sizeof(struct folder_object), 0, Py_TPFLAGS_DEFAULT,
                                  folder_slots};

bool add_folder_type(PyObject *module)
{
    folder_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &folder_spec, NULL);
    return folder_type != NULL && PyModule_AddType(module, folder_type) == 0;
}
