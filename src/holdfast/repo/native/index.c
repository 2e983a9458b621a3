/* Which blob lies where: the index in memory, and the type `Index`.
 *
 * Rows of 48 bytes lie in blocks that never move; an open-addressed table of row numbers, at most three quarters full and grown
 * by half, finds them: 54 to 56 bytes per blob, and 32 plus the table's share per pack. A row is made when a blob is claimed,
 * so that the index is also the set of blobs on their way; it counts as stored once its pack is. Ids of a hostile repository
 * can't crowd one place of the table: the hash has a random seed. All is guarded by one mutex, held for one step at a time.
 */

#include "holdfast.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_ROWS 8192u
#define MOST_ROWS (PACK_LOST - 1)

PyTypeObject *index_type;

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_id(const struct index *index, const uint8_t *id)
{
    uint64_t word[4];
    memcpy(word, id, sizeof word);
    return mix(word[0] ^ index->seed[0], word[1] ^ index->seed[1]) ^
           mix(word[2] ^ index->seed[2], word[3] ^ index->seed[3]);
}

static size_t place_of(uint64_t hash, size_t count)
{
    return (size_t)((unsigned __int128)hash * count >> 64);
}

struct row *index_row(struct index *index, uint32_t number)
{
    return &index->blocks[number / BLOCK_ROWS][number % BLOCK_ROWS];
}

/* Slots hold row numbers plus one, so that fresh memory is an empty table. */
static uint32_t look_up(struct index *index, const uint8_t *id)
{
    if (index->slot_count == 0)
        return 0;
    size_t at = place_of(hash_id(index, id), index->slot_count);
    while (index->slots[at] != 0) {
        if (memcmp(index_row(index, index->slots[at] - 1)->id, id, ID_BYTES) == 0)
            return index->slots[at];
        at = at + 1 == index->slot_count ? 0 : at + 1;
    }
    return 0;
}

static void enter(struct index *index, uint32_t *slots, size_t count, uint32_t number)
{
    size_t at = place_of(hash_id(index, index_row(index, number)->id), count);
    while (slots[at] != 0)
        at = at + 1 == count ? 0 : at + 1;
    slots[at] = number + 1;
}

static bool grow_slots(struct index *index)
{
    size_t count = index->slot_count + index->slot_count / 2 + 1024;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t at = 0; at < index->slot_count; at++)
        if (index->slots[at] != 0)
            enter(index, slots, count, index->slots[at] - 1);
    free(index->slots);
    index->slots = slots;
    index->slot_count = count;
    return true;
}

static bool new_row(struct index *index, const uint8_t *id, uint32_t *number)
{
    if (index->rows == MOST_ROWS)
        return false;
    if (index->rows == index->block_count * BLOCK_ROWS) {
        struct row **blocks = realloc(index->blocks, (index->block_count + 1) * sizeof *blocks);
        if (blocks == NULL)
            return false;
        index->blocks = blocks;
        blocks[index->block_count] = malloc(BLOCK_ROWS * sizeof(struct row));
        if (blocks[index->block_count] == NULL)
            return false;
        index->block_count++;
    }
    *number = index->rows++;
    struct row *row = index_row(index, *number);
    memset(row, 0, sizeof *row);
    memcpy(row->id, id, ID_BYTES);
    row->pack = PACK_FLYING;
    return true;
}

/* A row for a blob; `known` is one that is found already under its id, plus one. */
static bool add_row(struct index *index, const uint8_t *id, uint32_t known, uint32_t *number)
{
    if (known == 0 && (size_t)index->rows + 1 > index->slot_count / 4 * 3 && !grow_slots(index))
        return false;
    if (!new_row(index, id, number))
        return false;
    if (known == 0)
        enter(index, index->slots, index->slot_count, *number);
    return true;
}

bool index_find(struct index *index, const uint8_t *id, struct row *found)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t number = look_up(index, id);
    bool stored = number != 0 && index_row(index, number - 1)->pack < PACK_LOST;
    if (stored && found != NULL)
        *found = *index_row(index, number - 1);
    pthread_mutex_unlock(&index->mutex);
    return stored;
}

enum claim index_claim(struct index *index, const uint8_t *id, uint32_t *number)
{
    enum claim answer = CLAIM_KNOWN;
    pthread_mutex_lock(&index->mutex);
    uint32_t known = look_up(index, id);
    if (known == 0) {
        answer = add_row(index, id, 0, number) ? CLAIM_YOURS : CLAIM_NO_MEMORY;
        index->flying += answer == CLAIM_YOURS;
    } else if (index_row(index, known - 1)->pack == PACK_LOST) {
        *number = known - 1;
        index_row(index, *number)->pack = PACK_FLYING;
        index->flying++;
        answer = CLAIM_YOURS;
    }
    pthread_mutex_unlock(&index->mutex);
    return answer;
}

bool index_holds(struct index *index, const uint8_t *id)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t number = look_up(index, id);
    bool held = number != 0 && index_row(index, number - 1)->pack != PACK_LOST;
    pthread_mutex_unlock(&index->mutex);
    return held;
}

bool index_claimed(struct index *index, const uint8_t *id, uint32_t *number)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t known = look_up(index, id);
    bool claimed = known != 0 && index_row(index, known - 1)->pack == PACK_FLYING;
    *number = known - 1;
    pthread_mutex_unlock(&index->mutex);
    return claimed;
}

void index_give_back(struct index *index, uint32_t number)
{
    pthread_mutex_lock(&index->mutex);
    index_row(index, number)->pack = PACK_LOST;
    index->flying--;
    pthread_mutex_unlock(&index->mutex);
}

static uint32_t find_pack(const struct index *index, const uint8_t *id, size_t *at)
{
    size_t count = (size_t)index->pack_room * 2;
    *at = place_of(hash_id(index, id), count);
    while (index->pack_slots[*at] != 0) {
        if (memcmp(index->packs[index->pack_slots[*at] - 1], id, ID_BYTES) == 0)
            return index->pack_slots[*at];
        *at = *at + 1 == count ? 0 : *at + 1;
    }
    return 0;
}

static bool grow_packs(struct index *index)
{
    uint32_t room = index->pack_room + index->pack_room / 2 + 64;
    uint8_t(*packs)[ID_BYTES] = realloc(index->packs, (size_t)room * ID_BYTES);
    if (packs == NULL)
        return false;
    index->packs = packs;
    uint32_t *slots = calloc((size_t)room * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    free(index->pack_slots);
    index->pack_slots = slots;
    index->pack_room = room;
    for (uint32_t number = 0; number < index->pack_count; number++) {
        size_t at;
        find_pack(index, packs[number], &at);
        slots[at] = number + 1;
    }
    return true;
}

static bool number_pack(struct index *index, const uint8_t *id, uint32_t *number)
{
    size_t at = 0;
    if (index->pack_room != 0) {
        uint32_t known = find_pack(index, id, &at);
        if (known != 0) {
            *number = known - 1;
            return true;
        }
    }
    if (index->pack_count == index->pack_room) {
        if (!grow_packs(index))
            return false;
        find_pack(index, id, &at);
    }
    *number = index->pack_count++;
    memcpy(index->packs[*number], id, ID_BYTES);
    index->pack_slots[at] = *number + 1;
    return true;
}

bool index_settle(struct index *index, const uint32_t *rows, size_t count, const uint8_t *pack)
{
    uint32_t number;
    pthread_mutex_lock(&index->mutex);
    bool numbered = number_pack(index, pack, &number);
    for (size_t i = 0; numbered && i < count; i++)
        index_row(index, rows[i])->pack = number;
    if (numbered) {
        index->stored += (uint32_t)count;
        index->flying -= (uint32_t)count;
    }
    pthread_mutex_unlock(&index->mutex);
    return numbered;
}

/* Reading index objects. */

struct blob_entry {
    uint8_t id[ID_BYTES];
    uint64_t offset, length, raw_length;
    bool tree, has_id, has_type;
};

static bool read_blob(struct json *json, struct blob_entry *blob)
{
    bool first = true, more;
    struct text key, text;
    memset(blob, 0, sizeof *blob);
    if (!json_eat(json, '{'))
        return false;
    while (json_next_key(json, &first, &more, &key)) {
        bool good = true;
        if (!more)
            return blob->has_id && blob->has_type && blob->length < TREE_BIT && blob->length >= SEAL_BYTES &&
                   blob->offset <= UINT32_MAX && blob->raw_length <= UINT32_MAX;
        if (text_is(&key, "id"))
            good = blob->has_id = json_string(json, &text) && parse_id(&text, blob->id);
        else if (text_is(&key, "type")) {
            good = json_string(json, &text) && ((blob->tree = text_is(&text, "tree")) || text_is(&text, "data"));
            blob->has_type = good;
        } else if (text_is(&key, "offset"))
            good = json_number(json, &blob->offset);
        else if (text_is(&key, "length"))
            good = json_number(json, &blob->length);
        else if (text_is(&key, "uncompressed_length"))
            good = json_number(json, &blob->raw_length);
        else
            good = json_skip(json);
        if (!good)
            return false;
    }
    return false;
}

static const char *const damaged_index = "the index is not readable: it is not the JSON of an index";

static const char *read_blobs(struct index *index, struct json *json)
{
    bool first = true, more;
    struct blob_entry blob;
    if (!json_eat(json, '['))
        return damaged_index;
    while (json_next_item(json, &first, &more)) {
        uint32_t number;
        if (!more)
            return NULL;
        if (!read_blob(json, &blob))
            return damaged_index;
        uint32_t known = look_up(index, blob.id);
        if (known != 0 && index_row(index, known - 1)->pack == PACK_FLYING) /* twice in one pack: the last counts */
            number = known - 1;
        else if (!add_row(index, blob.id, known, &number))
            return no_memory;
        struct row *row = index_row(index, number);
        row->pack = PACK_FLYING;
        row->offset = (uint32_t)blob.offset;
        row->length = (uint32_t)blob.length | (blob.tree ? TREE_BIT : 0);
        row->raw_length = (uint32_t)blob.raw_length;
    }
    return damaged_index;
}

static const char *read_pack(struct index *index, struct json *json)
{
    bool first = true, more, has_id = false;
    struct text key, text;
    uint8_t id[ID_BYTES];
    uint32_t start = index->rows, number;
    const char *why = NULL;
    if (!json_eat(json, '{'))
        return damaged_index;
    while (why == NULL && json_next_key(json, &first, &more, &key)) {
        if (!more) {
            if (!has_id)
                return damaged_index;
            if (!number_pack(index, id, &number))
                return no_memory;
            for (uint32_t row = start; row < index->rows; row++)
                index_row(index, row)->pack = number;
            index->stored += index->rows - start;
            return NULL;
        }
        if (text_is(&key, "id"))
            has_id = json_string(json, &text) && parse_id(&text, id);
        else if (text_is(&key, "blobs"))
            why = read_blobs(index, json);
        else if (!json_skip(json))
            return damaged_index;
    }
    return why != NULL ? why : damaged_index;
}

static const char *read_packs(struct index *index, struct json *json)
{
    bool first = true, more;
    const char *why = NULL;
    if (!json_eat(json, '['))
        return damaged_index;
    while (why == NULL && json_next_item(json, &first, &more)) {
        if (!more)
            return NULL;
        why = read_pack(index, json);
    }
    return why != NULL ? why : damaged_index;
}

static const char *read_index(struct index *index, struct json *json)
{
    bool first = true, more;
    struct text key;
    const char *why = NULL;
    if (!json_eat(json, '{'))
        return damaged_index;
    while (why == NULL && json_next_key(json, &first, &more, &key)) {
        if (!more)
            return NULL;
        if (text_is(&key, "packs") && !(json->end - json->at >= 4 && memcmp(json->at, "null", 4) == 0))
            why = read_packs(index, json);
        else if (!json_skip(json))
            return damaged_index;
    }
    return why != NULL ? why : damaged_index;
}

/* The type. */

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
