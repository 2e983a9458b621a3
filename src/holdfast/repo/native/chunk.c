/* Where to cut: the same boundaries as chunker.py, which says what they are.
 *
 * The linear hash of all positions of a block is made by doubling its window four times over 16-bit lanes, which compilers turn
 * into vector code; the second test is keyed BLAKE2b (RFC 7693) of 64 bytes and 8 bytes of digest.
 */

#include "holdfast.h"

#include <string.h>

#define WINDOW 64
#define LINEAR 16
#define BLOCK 2048
#define PASS_FIRST 8
#define PASS_SECOND ((uint64_t)1 << 58)

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif

/* The hashes that end at each of `count` cuts; `data` begins LINEAR bytes before the first cut. */
VECTORS static void linear_hashes(const uint8_t *restrict data, size_t count, const uint16_t *factors, uint16_t shift,
                                  uint16_t *restrict lane)
{
    uint16_t a = factors[0], b = factors[1], c = factors[2], d = factors[3];
    for (size_t i = 0; i < count + 14; i++)
        lane[i] = (uint16_t)(data[i] * a + data[i + 1]);
    for (size_t i = 0; i < count + 12; i++)
        lane[i] = (uint16_t)(lane[i] * b + lane[i + 2]);
    for (size_t i = 0; i < count + 8; i++)
        lane[i] = (uint16_t)(lane[i] * c + lane[i + 4]);
    for (size_t i = 0; i < count; i++)
        lane[i] = (uint16_t)(lane[i] * d + lane[i + 8] + shift);
}

VECTORS static bool any_passes(const uint16_t *lane, size_t count)
{
    uint16_t passed = 0;
    for (size_t i = 0; i < count; i++)
        passed |= (uint16_t)(lane[i] < PASS_FIRST);
    return passed != 0;
}

static const uint64_t start_words[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t schedule[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t turn(uint64_t word, int bits)
{
    return word >> bits | word << (64 - bits);
}

static void quarter(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
    *a += *b + x;
    *d = turn(*d ^ *a, 32);
    *c += *d;
    *b = turn(*b ^ *c, 24);
    *a += *b + y;
    *d = turn(*d ^ *a, 16);
    *c += *d;
    *b = turn(*b ^ *c, 63);
}

static void blake2b_block(uint64_t *state, const uint8_t *block, uint64_t bytes, bool last)
{
    uint64_t word[16], v[16];
    memcpy(word, block, sizeof word); /* little-endian machines only, as the build demands */
    memcpy(v, state, 64);
    memcpy(v + 8, start_words, 64);
    v[12] ^= bytes;
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = schedule[round % 10];
        for (int i = 0; i < 4; i++)
            quarter(&v[i], &v[4 + i], &v[8 + i], &v[12 + i], word[s[2 * i]], word[s[2 * i + 1]]);
        for (int i = 0; i < 4; i++)
            quarter(&v[i], &v[4 + (i + 1) % 4], &v[8 + (i + 2) % 4], &v[12 + (i + 3) % 4], word[s[8 + 2 * i]],
                    word[s[9 + 2 * i]]);
    }
    for (int i = 0; i < 8; i++)
        state[i] ^= v[i] ^ v[i + 8];
}

/* The first eight bytes of BLAKE2b with a key of 32 bytes over the WINDOW bytes before a cut. */
static bool accepts(const uint8_t *window, const uint8_t *key)
{
    uint64_t state[8];
    uint8_t block[128] = {0};
    memcpy(state, start_words, sizeof state);
    state[0] ^= 0x01010000 ^ (32 << 8) ^ 8;
    memcpy(block, key, 32);
    blake2b_block(state, block, 128, false);
    memset(block, 0, sizeof block);
    memcpy(block, window, WINDOW);
    blake2b_block(state, block, 128 + WINDOW, true);
    return state[0] < PASS_SECOND;
}

static size_t cut(const uint8_t *data, size_t size, const uint8_t *key, const uint16_t *factors, uint16_t shift)
{
    uint16_t lane[BLOCK + LINEAR];
    if (size > CHUNK_MOST)
        size = CHUNK_MOST;
    if (size <= CHUNK_LEAST)
        return size;
    if (data[0] == 0 && memcmp(data, data + 1, CHUNK_LEAST - 1) == 0)
        return CHUNK_LEAST;
    for (size_t start = CHUNK_LEAST; start < size; start += BLOCK) {
        size_t count = size - start < BLOCK ? size - start + 1 : BLOCK;
        linear_hashes(data + start - LINEAR, count, factors, shift, lane);
        if (!any_passes(lane, count))
            continue;
        for (size_t i = 0; i < count; i++)
            if (lane[i] < PASS_FIRST && accepts(data + start + i - WINDOW, key))
                return start + i;
    }
    return size;
}

PyObject *next_cut(PyObject *self, PyObject *arguments)
{
    Py_buffer data;
    const char *key, *numbers;
    Py_ssize_t key_size, numbers_size;
    uint16_t factors[5];
    size_t length;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "y*y#y#:next_cut", &data, &key, &key_size, &numbers, &numbers_size))
        return NULL;
    if (key_size != 32 || numbers_size != sizeof factors) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "the key has 32 bytes and the factors with their shift 10");
        return NULL;
    }
    memcpy(factors, numbers, sizeof factors);
    Py_BEGIN_ALLOW_THREADS
    length = cut(data.buf, (size_t)data.len, (const uint8_t *)key, factors, factors[4]);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return PyLong_FromSize_t(length);
}
