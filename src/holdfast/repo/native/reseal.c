/* Blobs from one key to another, for copies: opened, compared with their ids, sealed anew, and the new seal proved.
 *
 * What is compressed stays compressed as it is; what is not, is tried once, since old repositories hold text that never was.
 */

#include "holdfast.h"

#include <string.h>

struct piece {
    uint8_t id[ID_BYTES];
    uint32_t offset, length, raw_length;
};

_Static_assert(sizeof(struct piece) == 44, "a row of the table that copies make has 44 bytes");

/* Prove the new seal: it opens to the payload, and a payload that was compressed here gives the plain bytes again. */
static const char *prove(struct codec *codec, const uint8_t *sealed, const uint8_t *payload, size_t size, bool fresh,
                         const uint8_t *plain, size_t plain_size)
{
    if (!grow(&codec->opened, &codec->opened_room, size))
        return no_memory;
    const char *why = open_seal(codec, sealed, size + SEAL_BYTES, codec->opened);
    if (why != NULL)
        return why;
    if (memcmp(codec->opened, payload, size) != 0)
        return "its new seal opened to other bytes";
    if (!fresh)
        return NULL;
    if (!grow(&codec->plain, &codec->plain_room, plain_size))
        return no_memory;
    size_t result = zstd.decompress(codec->decompressor, codec->plain, plain_size, codec->opened, size);
    if (zstd.is_error(result) || result != plain_size || memcmp(codec->plain, plain, plain_size) != 0)
        return "it was compressed to other bytes";
    return NULL;
}

/* Carry one blob into `to`, which has room for as much as the source held. `*ours` says whether a failure is of our making. */
static const char *carry(struct codec *source, struct codec *target, const uint8_t *data, const struct piece *piece,
                         bool check, uint8_t *to, uint32_t *length, uint32_t *raw_length, bool *ours)
{
    const uint8_t *plain, *payload;
    size_t plain_size, size = piece->length - SEAL_BYTES;
    bool fresh = false;
    *ours = false;
    const char *why = open_blob(source, data + piece->offset, piece->length, piece->raw_length, piece->id, &plain, &plain_size);
    if (why != NULL)
        return why;
    *ours = true;
    payload = source->opened;
    *raw_length = piece->raw_length;
    if (piece->raw_length == 0) {
        size_t packed;
        why = compress_blob(target, plain, plain_size, &packed);
        if (why != NULL)
            return why;
        if (packed != 0) {
            fresh = true;
            payload = target->packed;
            size = packed;
            *raw_length = (uint32_t)plain_size;
        }
    }
    why = seal(target, payload, size, to);
    if (why == NULL && check)
        why = prove(target, to, payload, size, fresh, plain, plain_size);
    *length = (uint32_t)(size + SEAL_BYTES);
    return why;
}

static PyObject *result_of(PyObject *sealed, PyObject *lengths, const char *why, size_t row, bool ours)
{
    if (why == NULL)
        return Py_BuildValue("NNnsO", sealed, lengths, (Py_ssize_t)-1, "", Py_False);
    Py_DECREF(sealed);
    Py_DECREF(lengths);
    if (why == no_memory)
        return PyErr_NoMemory();
    return Py_BuildValue("yynsO", "", "", (Py_ssize_t)row, why, ours ? Py_True : Py_False);
}

PyObject *reseal(PyObject *self, PyObject *arguments)
{
    PyObject *from, *to;
    Py_buffer data, table;
    int check;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!O!y*y*p:reseal", key_type, &from, key_type, &to, &data, &table, &check))
        return NULL;
    const struct piece *pieces = table.buf;
    size_t count = (size_t)table.len / sizeof *pieces, room = 0, used = 0, row = 0;
    PyObject *result = NULL, *sealed = NULL, *lengths = NULL;
    struct key *keys[2] = {&((struct key_object *)from)->key, &((struct key_object *)to)->key};
    struct codec *source = take_codec(keys[0]), *target = take_codec(keys[1]);
    for (; row < count; row++) {
        room += pieces[row].length;
        if (pieces[row].length < SEAL_BYTES || (uint64_t)pieces[row].offset + pieces[row].length > (uint64_t)data.len)
            break;
    }
    if (row != count || (size_t)table.len % sizeof *pieces != 0) {
        PyErr_SetString(PyExc_ValueError, "the table of blobs points out of its range");
        goto done;
    }
    sealed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    lengths = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * 2 * sizeof(uint32_t)));
    if (source == NULL || target == NULL || sealed == NULL || lengths == NULL) {
        PyErr_NoMemory();
        Py_XDECREF(sealed);
        Py_XDECREF(lengths);
        goto done;
    }
    uint8_t *out = (uint8_t *)PyBytes_AsString(sealed);
    uint32_t *told = (uint32_t *)PyBytes_AsString(lengths);
    const char *why = NULL;
    bool ours = false;
    Py_BEGIN_ALLOW_THREADS
    for (row = 0; row < count; row++) {
        why = carry(source, target, data.buf, &pieces[row], check, out + used, &told[2 * row], &told[2 * row + 1], &ours);
        if (why != NULL)
            break;
        used += told[2 * row];
    }
    Py_END_ALLOW_THREADS
    result = result_of(sealed, lengths, why, row, ours);
done:
    if (source != NULL)
        give_codec(keys[0], source);
    if (target != NULL)
        give_codec(keys[1], target);
    PyBuffer_Release(&data);
    PyBuffer_Release(&table);
    return result;
}
