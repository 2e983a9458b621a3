/* Boundaries as the stock program cuts them: a Rabin fingerprint of the last 64 bytes, modulo a polynomial over GF(2).
 *
 * A step needs the one before it, so one stream would wait for its own loads most of the time. The fingerprint at a place
 * depends on 64 bytes only, so a block is walked in LANES stretches at once, and the first boundary of the lowest stretch counts.
 * The tables come from the Python side (rabin.py), which says what is in them.
 */

#include "holdfast.h"

#define WINDOW 64
#define LANES 4
#define STRETCH 4096
#define TABLE_BYTES (512 * sizeof(uint64_t))
#define SPLIT_MASK ((UINT64_C(1) << 20) - 1)
#define TOP_SHIFT (53 - 8)

static inline uint64_t append(uint64_t digest, uint8_t byte, const uint64_t *reduce)
{
    return (digest << 8 | byte) ^ reduce[digest >> TOP_SHIFT];
}

static uint64_t fingerprint(const uint8_t *window, const uint64_t *reduce)
{
    uint64_t digest = 0;
    for (int i = 0; i < WINDOW; i++)
        digest = append(digest, window[i], reduce);
    return digest;
}

/* The first boundary in (from, from + LANES * STRETCH], 0 when there is none; all these bytes are there. */
static size_t search_block(const uint64_t *reduce, const uint64_t *leave, const uint8_t *data, size_t from)
{
    uint64_t digests[LANES];
    size_t found[LANES] = {0};
    const uint8_t *starts[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        starts[lane] = data + from + (size_t)lane * STRETCH;
        digests[lane] = fingerprint(starts[lane] - WINDOW, reduce);
    }
    for (size_t step = 0; step < STRETCH; step++) {
        bool any = false;
        for (int lane = 0; lane < LANES; lane++) {
            const uint8_t *at = starts[lane] + step;
            digests[lane] = append(digests[lane], *at, reduce) ^ leave[*(at - WINDOW)];
            any |= (digests[lane] & SPLIT_MASK) == 0;
        }
        if (!any)
            continue;
        for (int lane = 0; lane < LANES; lane++)
            if (found[lane] == 0 && (digests[lane] & SPLIT_MASK) == 0)
                found[lane] = (size_t)(starts[lane] - data) + step + 1;
        if (found[0] != 0)
            return found[0];
    }
    for (int lane = 0; lane < LANES; lane++)
        if (found[lane] != 0)
            return found[lane];
    return 0;
}

size_t rabin_next_cut(const uint64_t *tables, const uint8_t *data, size_t size)
{
    const uint64_t *reduce = tables, *leave = tables + 256;
    if (size > CHUNK_MOST)
        size = CHUNK_MOST;
    if (size <= CHUNK_LEAST)
        return size;
    size_t at = CHUNK_LEAST;
    uint64_t digest = fingerprint(data + at - WINDOW, reduce);
    if ((digest & SPLIT_MASK) == 0)
        return at;
    for (; size - at >= LANES * STRETCH; at += LANES * STRETCH) {
        size_t cut = search_block(reduce, leave, data, at);
        if (cut != 0)
            return cut;
    }
    digest = fingerprint(data + at - WINDOW, reduce);
    for (; at < size; at++) {
        digest = append(digest, data[at], reduce) ^ leave[data[at - WINDOW]];
        if ((digest & SPLIT_MASK) == 0)
            return at + 1;
    }
    return size;
}

PyObject *rabin_cut(PyObject *self, PyObject *arguments)
{
    Py_buffer tables, data;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y*:rabin_cut", &tables, &data))
        return NULL;
    PyObject *result = NULL;
    if (tables.len != TABLE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the two tables have 256 numbers of 64 bits each");
    } else {
        size_t cut;
        Py_BEGIN_ALLOW_THREADS
        cut = rabin_next_cut(tables.buf, data.buf, (size_t)data.len);
        Py_END_ALLOW_THREADS
        result = PyLong_FromSize_t(cut);
    }
    PyBuffer_Release(&tables);
    PyBuffer_Release(&data);
    return result;
}
