/* The costly part of scrypt (RFC 7914): the mixing of its lanes, several at once.
 *
 * A command that opens a repository does little else at first, and one lane alone leaves most of a core idle: each of its steps
 * waits for the one before. Lanes don't depend on each other, so the steps of up to three are taken in turns. The words of a
 * block are kept in the order of its diagonals, where a round of Salsa20 is the same step on whole vectors.
 */

#include "holdfast.h"

#include <string.h>
#include <sys/mman.h>

#define LANES_MOST 3
#define MEMORY_MOST (64u << 20) /* for lanes that are mixed at once; a single one may need more */
#define EACH_LANE for (int lane = 0; lane < lanes; lane++)
#define SPECIALISED static inline __attribute__((always_inline))

typedef uint32_t words __attribute__((vector_size(16)));

struct block {
    words row[4];
};

struct lanes {
    struct block *at[LANES_MOST];
};

/* Where a word of a block stands among its diagonals. */
static const uint8_t diagonal[16] = {0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11};

SPECIALISED words turn(words value, int bits)
{
    return value << bits | value >> (32 - bits);
}

SPECIALISED words shift1(words value)
{
    return __builtin_shuffle(value, (words){1, 2, 3, 0});
}

SPECIALISED words shift2(words value)
{
    return __builtin_shuffle(value, (words){2, 3, 0, 1});
}

SPECIALISED words shift3(words value)
{
    return __builtin_shuffle(value, (words){3, 0, 1, 2});
}

SPECIALISED void salsa20_8(struct block *blocks, const int lanes)
{
    words a[LANES_MOST], b[LANES_MOST], c[LANES_MOST], d[LANES_MOST];
    EACH_LANE {
        a[lane] = blocks[lane].row[0], b[lane] = blocks[lane].row[1];
        c[lane] = blocks[lane].row[2], d[lane] = blocks[lane].row[3];
    }
    for (int round = 0; round < 4; round++) {
        EACH_LANE b[lane] ^= turn(a[lane] + d[lane], 7);
        EACH_LANE c[lane] ^= turn(b[lane] + a[lane], 9);
        EACH_LANE d[lane] ^= turn(c[lane] + b[lane], 13);
        EACH_LANE a[lane] ^= turn(d[lane] + c[lane], 18);
        EACH_LANE b[lane] = shift3(b[lane]), c[lane] = shift2(c[lane]), d[lane] = shift1(d[lane]);
        EACH_LANE d[lane] ^= turn(a[lane] + b[lane], 7);
        EACH_LANE c[lane] ^= turn(d[lane] + a[lane], 9);
        EACH_LANE b[lane] ^= turn(c[lane] + d[lane], 13);
        EACH_LANE a[lane] ^= turn(b[lane] + c[lane], 18);
        EACH_LANE b[lane] = shift1(b[lane]), c[lane] = shift2(c[lane]), d[lane] = shift3(d[lane]);
    }
    EACH_LANE {
        blocks[lane].row[0] += a[lane], blocks[lane].row[1] += b[lane];
        blocks[lane].row[2] += c[lane], blocks[lane].row[3] += d[lane];
    }
}

SPECIALISED void add_block(struct block *to, const struct block *from)
{
    for (int i = 0; i < 4; i++)
        to->row[i] ^= from->row[i];
}

/* One step over the 2r blocks of `in ^ with`: the even ones come out first, then the odd ones. `out` is apart from both. */
SPECIALISED void step(const struct lanes *in, const struct lanes *with, struct lanes *out, uint32_t r, const int lanes)
{
    struct block x[LANES_MOST];
    EACH_LANE {
        x[lane] = in->at[lane][2 * r - 1];
        if (with != NULL)
            add_block(&x[lane], &with->at[lane][2 * r - 1]);
    }
    for (uint32_t i = 0; i < 2 * r; i++) {
        EACH_LANE {
            add_block(&x[lane], &in->at[lane][i]);
            if (with != NULL)
                add_block(&x[lane], &with->at[lane][i]);
        }
        salsa20_8(x, lanes);
        EACH_LANE out->at[lane][i % 2 * r + i / 2] = x[lane];
    }
}

/* Mixes lanes whose first row each holds, in memory of n + 2 rows for each; which of the last two rows has the outcome. */
SPECIALISED struct lanes mix(struct block *memory, uint32_t n, uint32_t r, const int lanes)
{
    size_t row = 2 * (size_t)r, apart = ((size_t)n + 2) * row;
    struct lanes in, out, with;
    EACH_LANE in.at[lane] = memory + lane * apart;
    for (uint32_t i = 0; i < n; i++) {
        EACH_LANE out.at[lane] = in.at[lane] + row;
        step(&in, NULL, &out, r, lanes);
        in = out;
    }
    EACH_LANE out.at[lane] = in.at[lane] + row;
    for (uint32_t i = 0; i < n; i++) {
        EACH_LANE with.at[lane] = memory + lane * apart + (in.at[lane][row - 1].row[0][0] & (n - 1)) * row;
        step(&in, &with, &out, r, lanes);
        struct lanes swap = in;
        in = out;
        out = swap;
    }
    return in;
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

static void mix_some(const uint8_t *from, uint8_t *to, struct block *memory, uint32_t n, uint32_t r, int lanes)
{
    size_t words_of_row = 32 * (size_t)r, apart = ((size_t)n + 2) * 2 * r;
    EACH_LANE for (size_t i = 0; i < words_of_row; i++)
        memory[lane * apart + i / 16].row[i % 16 / 4][i % 4] =
            read_word(from + 4 * (lane * words_of_row + i / 16 * 16 + diagonal[i % 16]));
    struct lanes mixed = lanes == 1 ? mix(memory, n, r, 1) : lanes == 2 ? mix(memory, n, r, 2) : mix(memory, n, r, 3);
    EACH_LANE for (size_t i = 0; i < words_of_row; i++)
        write_word(to + 4 * (lane * words_of_row + i / 16 * 16 + diagonal[i % 16]), mixed.at[lane][i / 16].row[i % 16 / 4][i % 4]);
}

PyObject *scrypt_mix(PyObject *self, PyObject *arguments)
{
    Py_buffer lanes;
    unsigned int n, r;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*II:scrypt_mix", &lanes, &n, &r))
        return NULL;
    PyObject *result = NULL;
    size_t row = 128 * (size_t)r, rows = (size_t)n + 2, size = (size_t)lanes.len;
    if (n < 2 || (n & (n - 1)) != 0 || r == 0 || size == 0 || size % row != 0 || rows > SIZE_MAX / LANES_MOST / row) {
        PyErr_SetString(PyExc_ValueError, "scrypt: N is a power of two, and a lane has 128 times r bytes");
    } else if ((result = PyBytes_FromStringAndSize(NULL, lanes.len)) != NULL) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(result);
        size_t most = MEMORY_MOST / (rows * row), count = size / row;
        most = most > LANES_MOST ? LANES_MOST : most == 0 ? 1 : most;
        most = most > count ? count : most;
        void *memory = mmap(NULL, most * rows * row, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) {
            Py_BEGIN_ALLOW_THREADS
            madvise(memory, most * rows * row, MADV_HUGEPAGE);
            for (size_t done = 0, some; done < count; done += some) {
                some = count - done < most ? count - done : most;
                mix_some((const uint8_t *)lanes.buf + done * row, to + done * row, memory, n, r, (int)some);
            }
            munmap(memory, most * rows * row);
            Py_END_ALLOW_THREADS
        } else {
            Py_CLEAR(result);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&lanes);
    return result;
}
