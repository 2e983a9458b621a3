/* The costly part of scrypt (RFC 7914): the mixing of its lanes, several at once.
 *
 * A command that opens a repository does little else at first, and one lane alone leaves most of a core idle: each of its steps
 * waits for the one before. Lanes don't depend on each other, so two are mixed together, in one vector where the processor has
 * such vectors. More at once would be faster still, were it not for their memory: 16 MiB for each lane that the kernel clears. The words of a block are kept in the order of its diagonals, where a round of Salsa20 is the same
 * step on whole vectors.
 */

#include "holdfast.h"

#include <string.h>
#include <sys/mman.h>

#define LANES_MOST 2
#define MEMORY_MOST (64u << 20) /* for lanes that are mixed at once; a single one may need more */
#define EACH_LANE for (int lane = 0; lane < lanes; lane++)
#define EACH_VECTOR for (int v = 0; v < vectors; v++)
#define SPECIALISED static inline __attribute__((always_inline))

typedef uint32_t words __attribute__((vector_size(16)));

struct block {
    words row[4];
};

struct lanes {
    struct block *at[LANES_MOST];
};

typedef struct lanes mixer(struct lanes in, uint32_t n, uint32_t r, int lanes);

/* Where a word of a block stands among its diagonals. */
static const uint8_t diagonal[16] = {0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11};

#define WIDE 1
#define NAMED(name) name##_plain
#include "scrypt_mix.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2")
#define WIDE 2
#define NAMED(name) name##_avx2
#include "scrypt_mix.h"
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,avx512f,avx512vl")
#define WIDE 2
#define NAMED(name) name##_avx512
#include "scrypt_mix.h"
#pragma GCC pop_options

/* The forms that this processor has, the fastest first: NULL where there are not so many. */
static mixer *form(int number)
{
    number += __builtin_cpu_supports("avx512vl") ? 0 : __builtin_cpu_supports("avx2") ? 1 : 2;
    return number == 0 ? mix_avx512 : number == 1 ? mix_avx2 : number == 2 ? mix_plain : NULL;
}
#else
static mixer *form(int number)
{
    return number == 0 ? mix_plain : NULL;
}
#endif

static uint32_t read_word(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_word(uint8_t *at, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> 8 * i);
}

static void mix_some(
    mixer *mix, const uint8_t *from, uint8_t *to, struct block *memory, uint32_t n, uint32_t r, int lanes)
{
    size_t words_of_row = 32 * (size_t)r, apart = ((size_t)n + 2) * 2 * r;
    struct lanes at = {{NULL}};
    EACH_LANE {
        at.at[lane] = memory + lane * apart;
        for (size_t i = 0; i < words_of_row; i++)
            at.at[lane][i / 16].row[i % 16 / 4][i % 4] =
                read_word(from + 4 * (lane * words_of_row + i / 16 * 16 + diagonal[i % 16]));
    }
    at = mix(at, n, r, lanes);
    EACH_LANE for (size_t i = 0; i < words_of_row; i++)
        write_word(to + 4 * (lane * words_of_row + i / 16 * 16 + diagonal[i % 16]), at.at[lane][i / 16].row[i % 16 / 4][i % 4]);
}

PyObject *scrypt_mix(PyObject *self, PyObject *arguments)
{
    Py_buffer lanes;
    unsigned int n, r;
    int number = 0;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*II|i:scrypt_mix", &lanes, &n, &r, &number))
        return NULL;
    mixer *mix = form(number < 0 ? 0 : number);
    PyObject *result = NULL;
    size_t row = 128 * (size_t)r, rows = (size_t)n + 2, size = (size_t)lanes.len;
    if (mix == NULL) {
        PyErr_SetString(PyExc_ValueError, "scrypt: this processor has fewer forms of it");
    } else if (n < 2 || (n & (n - 1)) != 0 || r == 0 || size == 0 || size % row != 0 || rows > SIZE_MAX / LANES_MOST / row) {
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
                mix_some(mix, (const uint8_t *)lanes.buf + done * row, to + done * row, memory, n, r, (int)some);
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
