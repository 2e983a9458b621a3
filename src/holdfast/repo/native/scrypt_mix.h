/* The mixing itself, for vectors of one kind: scrypt.c includes this once for each that the processor may have.
 *
 * WIDE is how many lanes (1 or 2) stand side by side in one vector, NAMED(x) gives what is defined here a name of its own. Two
 * narrow vectors are taken in turns, since each step of one waits for the step before it. In memory each lane is by itself: which
 * row it needs next depends on its own words. A single lane in a wide vector is mixed twice.
 */

typedef uint32_t NAMED(words) __attribute__((vector_size(16 * WIDE)));

struct NAMED(wide) {
    NAMED(words) row[4];
};

SPECIALISED NAMED(words) NAMED(turn)(NAMED(words) value, int bits)
{
    return value << bits | value >> (32 - bits);
}

#if WIDE == 1
#define ROTATED(value, a, b, c, d) __builtin_shuffle(value, (NAMED(words)){a, b, c, d})

SPECIALISED NAMED(words) NAMED(load)(const words *one, const words *other)
{
    (void)other;
    return *one;
}

SPECIALISED void NAMED(store)(words *one, words *other, NAMED(words) value)
{
    (void)other;
    *one = value;
}
#else
#define ROTATED(value, a, b, c, d) __builtin_shuffle(value, (NAMED(words)){a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d})

SPECIALISED NAMED(words) NAMED(load)(const words *one, const words *other)
{
    return (NAMED(words))_mm256_inserti128_si256(_mm256_castsi128_si256((__m128i)*one), (__m128i)*other, 1);
}

SPECIALISED void NAMED(store)(words *one, words *other, NAMED(words) value)
{
    *other = (words)_mm256_extracti128_si256((__m256i)value, 1);
    *one = (words)_mm256_castsi256_si128((__m256i)value);
}
#endif

SPECIALISED void NAMED(salsa20_8)(struct NAMED(wide) *blocks, const int vectors)
{
    NAMED(words) a[LANES_MOST], b[LANES_MOST], c[LANES_MOST], d[LANES_MOST];
    EACH_VECTOR {
        a[v] = blocks[v].row[0], b[v] = blocks[v].row[1];
        c[v] = blocks[v].row[2], d[v] = blocks[v].row[3];
    }
    for (int round = 0; round < 4; round++) {
        EACH_VECTOR b[v] ^= NAMED(turn)(a[v] + d[v], 7);
        EACH_VECTOR c[v] ^= NAMED(turn)(b[v] + a[v], 9);
        EACH_VECTOR d[v] ^= NAMED(turn)(c[v] + b[v], 13);
        EACH_VECTOR a[v] ^= NAMED(turn)(d[v] + c[v], 18);
        EACH_VECTOR b[v] = ROTATED(b[v], 3, 0, 1, 2), c[v] = ROTATED(c[v], 2, 3, 0, 1), d[v] = ROTATED(d[v], 1, 2, 3, 0);
        EACH_VECTOR d[v] ^= NAMED(turn)(a[v] + b[v], 7);
        EACH_VECTOR c[v] ^= NAMED(turn)(d[v] + a[v], 9);
        EACH_VECTOR b[v] ^= NAMED(turn)(c[v] + d[v], 13);
        EACH_VECTOR a[v] ^= NAMED(turn)(b[v] + c[v], 18);
        EACH_VECTOR b[v] = ROTATED(b[v], 1, 2, 3, 0), c[v] = ROTATED(c[v], 2, 3, 0, 1), d[v] = ROTATED(d[v], 3, 0, 1, 2);
    }
    EACH_VECTOR {
        blocks[v].row[0] += a[v], blocks[v].row[1] += b[v];
        blocks[v].row[2] += c[v], blocks[v].row[3] += d[v];
    }
}

SPECIALISED void NAMED(add)(struct NAMED(wide) *to, const struct lanes *from, size_t block, const int vectors)
{
    EACH_VECTOR for (int i = 0; i < 4; i++)
        to[v].row[i] ^= NAMED(load)(&from->at[v * WIDE][block].row[i], &from->at[v * WIDE + WIDE - 1][block].row[i]);
}

/* One step over the 2r blocks of `in ^ with`: the even ones come out first, then the odd ones. `out` is apart from both. */
SPECIALISED void NAMED(step)(const struct lanes *in, const struct lanes *with, const struct lanes *out, uint32_t r, const int vectors)
{
    struct NAMED(wide) x[LANES_MOST];
    memset(x, 0, sizeof x);
    NAMED(add)(x, in, 2 * r - 1, vectors);
    if (with != NULL)
        NAMED(add)(x, with, 2 * r - 1, vectors);
    for (uint32_t i = 0; i < 2 * r; i++) {
        NAMED(add)(x, in, i, vectors);
        if (with != NULL)
            NAMED(add)(x, with, i, vectors);
        NAMED(salsa20_8)(x, vectors);
        size_t block = i % 2 * r + i / 2;
        EACH_VECTOR for (int k = 0; k < 4; k++)
            NAMED(store)(&out->at[v * WIDE][block].row[k], &out->at[v * WIDE + WIDE - 1][block].row[k], x[v].row[k]);
    }
}

SPECIALISED struct lanes NAMED(mix_vectors)(struct lanes in, uint32_t n, uint32_t r, const int vectors)
{
    const struct lanes start = in;
    struct lanes out = in, with = in;
    size_t row = 2 * (size_t)r;
    for (uint32_t i = 0; i < n; i++) {
        for (int lane = 0; lane < vectors * WIDE; lane++)
            out.at[lane] = in.at[lane] + row;
        NAMED(step)(&in, NULL, &out, r, vectors);
        in = out;
    }
    for (int lane = 0; lane < vectors * WIDE; lane++)
        out.at[lane] = in.at[lane] + row;
    for (uint32_t i = 0; i < n; i++) {
        for (int lane = 0; lane < vectors * WIDE; lane++)
            with.at[lane] = start.at[lane] + (in.at[lane][row - 1].row[0][0] & (n - 1)) * row;
        for (size_t i = 0; i < row; i++) /* the last block is the first that is needed */
            for (int lane = 0; lane < vectors * WIDE; lane++)
                __builtin_prefetch(&with.at[lane][(i + row - 1) % row]);
        NAMED(step)(&in, &with, &out, r, vectors);
        struct lanes swap = in;
        in = out;
        out = swap;
    }
    return in;
}

/* Mixes up to LANES_MOST lanes; `in` says where each begins, in memory of n + 2 rows. Returns where each outcome is. */
static struct lanes NAMED(mix)(struct lanes in, uint32_t n, uint32_t r, int lanes)
{
    if (lanes == 1 && WIDE == 2)
        in.at[1] = in.at[0];
    return lanes <= WIDE ? NAMED(mix_vectors)(in, n, r, 1) : NAMED(mix_vectors)(in, n, r, LANES_MOST / WIDE);
}

#undef ROTATED
#undef WIDE
#undef NAMED
