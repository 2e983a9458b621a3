/* The costly part of scrypt (RFC 7914): one lane of its mixing, in vectors of four words.
 *
 * The library's own takes twice as long, and a command that opens a repository does little else at first. Words of a block are
 * kept in the order of its diagonals, where a round of Salsa20 is the same step on whole vectors.
 */

#include "holdfast.h"

#include <stdlib.h>
#include <string.h>

typedef uint32_t words __attribute__((vector_size(16)));

struct block {
    words row[4];
};

/* Where a word of a block stands among its diagonals. */
static const uint8_t diagonal[16] = {0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11};

static inline words turn(words value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static inline words shift1(words value)
{
    return __builtin_shuffle(value, (words){1, 2, 3, 0});
}

static inline words shift2(words value)
{
    return __builtin_shuffle(value, (words){2, 3, 0, 1});
}

static inline words shift3(words value)
{
    return __builtin_shuffle(value, (words){3, 0, 1, 2});
}

/* x = salsa20/8(x ^ in), which is also the output. */
static inline void mix_block(struct block *x, const struct block *in, struct block *out)
{
    words a, b, c, d;
    for (int i = 0; i < 4; i++)
        x->row[i] ^= in->row[i];
    a = x->row[0], b = x->row[1], c = x->row[2], d = x->row[3];
    for (int round = 0; round < 4; round++) {
        b ^= turn(a + d, 7);
        c ^= turn(b + a, 9);
        d ^= turn(c + b, 13);
        a ^= turn(d + c, 18);
        b = shift3(b), c = shift2(c), d = shift1(d);
        d ^= turn(a + b, 7);
        c ^= turn(d + a, 9);
        b ^= turn(c + d, 13);
        a ^= turn(b + c, 18);
        b = shift1(b), c = shift2(c), d = shift3(d);
    }
    x->row[0] += a, x->row[1] += b, x->row[2] += c, x->row[3] += d;
    *out = *x;
}

/* One step over 2r blocks: the even ones come out first, then the odd ones. `in` and `out` are apart. */
static void mix_blocks(const struct block *in, struct block *out, uint32_t r)
{
    struct block x = in[2 * r - 1];
    for (uint32_t i = 0; i < r; i++) {
        mix_block(&x, &in[2 * i], &out[i]);
        mix_block(&x, &in[2 * i + 1], &out[r + i]);
    }
}

static void xor_blocks(struct block *to, const struct block *from, uint32_t r)
{
    for (uint32_t i = 0; i < 2 * r; i++)
        for (int row = 0; row < 4; row++)
            to[i].row[row] ^= from[i].row[row];
}

static uint32_t read_word(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_word(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> 8 * i);
}

static void mix_lane(const uint8_t *lane, uint8_t *mixed, struct block *held, struct block *x, struct block *y, uint32_t n,
                     uint32_t r)
{
    for (size_t i = 0; i < 32 * (size_t)r; i++)
        held[i / 16].row[i % 16 / 4][i % 4] = read_word(lane + 64 * (i / 16) + 4 * diagonal[i % 16]);
    for (uint32_t i = 0; i + 1 < n; i++)
        mix_blocks(held + (size_t)i * 2 * r, held + ((size_t)i + 1) * 2 * r, r);
    mix_blocks(held + ((size_t)n - 1) * 2 * r, x, r);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t pick = x[2 * r - 1].row[0][0] & (n - 1);
        xor_blocks(x, held + (size_t)pick * 2 * r, r);
        mix_blocks(x, y, r);
        struct block *swap = x;
        x = y;
        y = swap;
    }
    for (size_t i = 0; i < 32 * (size_t)r; i++)
        write_word(mixed + 64 * (i / 16) + 4 * diagonal[i % 16], x[i / 16].row[i % 16 / 4][i % 4]);
}

PyObject *scrypt_mix(PyObject *self, PyObject *arguments)
{
    Py_buffer lane;
    unsigned int n, r;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*II:scrypt_mix", &lane, &n, &r))
        return NULL;
    PyObject *result = NULL;
    size_t step = 128 * (size_t)r, rows = (size_t)n + 2;
    if (n < 2 || (n & (n - 1)) != 0 || r == 0 || (size_t)lane.len != step || rows > SIZE_MAX / step) {
        PyErr_SetString(PyExc_ValueError, "scrypt: N is a power of two, and a lane has 128 times r bytes");
    } else if ((result = PyBytes_FromStringAndSize(NULL, lane.len)) != NULL) {
        uint8_t *mixed = (uint8_t *)PyBytes_AsString(result);
        struct block *held = aligned_alloc(64, step * rows);
        if (held != NULL) {
            Py_BEGIN_ALLOW_THREADS
            mix_lane(lane.buf, mixed, held, held + (size_t)n * 2 * r, held + ((size_t)n + 1) * 2 * r, n, r);
            crypto.cleanse(held, step * rows);
            Py_END_ALLOW_THREADS
            free(held);
        } else {
            Py_CLEAR(result);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&lane);
    return result;
}
