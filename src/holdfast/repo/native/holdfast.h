/* What the C files of the native module share.
 *
 * Everything here may be called without the interpreter lock, except what takes or gives a PyObject. Functions that can fail
 * return NULL for success and otherwise the reason as a constant text: no allocation can fail on the way to reporting one.
 */

#ifndef HOLDFAST_H
#define HOLDFAST_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_BYTES 32
#define SHA_STATE_BYTES 256 /* libcrypto's own is 112 */
#define SEAL_BYTES 32 /* a nonce in front and a tag behind, 16 bytes each */
#define CHUNK_LEAST (512u * 1024)
#define CHUNK_MOST (8u * 1024 * 1024)
#define BLOB_MOST (256u << 20)

extern const char *const no_memory;

/* libraries.c: zstd and libcrypto, found at run time. */

struct zstd_library {
    void *(*create_compressor)(void);
    void *(*create_decompressor)(void);
    size_t (*free_compressor)(void *);
    size_t (*free_decompressor)(void *);
    size_t (*compress)(void *context, void *to, size_t room, const void *from, size_t size, int level);
    size_t (*decompress)(void *context, void *to, size_t room, const void *from, size_t size);
    size_t (*bound)(size_t size);
    unsigned (*is_error)(size_t result);
    unsigned (*version)(void);
};

struct crypto_library {
    int (*sha_init)(void *state);
    int (*sha_update)(void *state, const void *data, size_t size);
    int (*sha_final)(unsigned char *digest, void *state);
    void *(*cipher_new)(void);
    void (*cipher_free)(void *context);
    const void *(*aes_ctr)(void);
    const void *(*aes_ecb)(void);
    int (*cipher_init)(void *context, const void *cipher, void *engine, const unsigned char *key, const unsigned char *iv);
    int (*cipher_update)(void *context, unsigned char *to, int *size, const unsigned char *from, int length);
    int (*cipher_padding)(void *context, int padding);
    void *(*mac_fetch)(void *library, const char *name, const char *properties);
    void *(*mac_new)(void *mac);
    void (*mac_free)(void *context);
    int (*mac_init)(void *context, const unsigned char *key, size_t size, const void *parameters);
    int (*mac_update)(void *context, const unsigned char *data, size_t size);
    int (*mac_final)(void *context, unsigned char *to, size_t *size, size_t room);
    void (*cleanse)(void *memory, size_t size);
    void *poly1305;
};

extern struct zstd_library zstd;
extern struct crypto_library crypto;

PyObject *bind_libraries(PyObject *self, PyObject *paths);

/* codec.c: hashing, compressing, sealing; one codec serves one thread at a time. */

struct codec {
    void *compressor, *decompressor, *stream, *block, *mac;
    uint8_t *packed, *opened, *plain; /* scratch, grown to what was needed */
    size_t packed_room, opened_room, plain_room;
    uint8_t r[16]; /* the constant half of every tag's key */
    uint8_t random[1024];
    size_t random_left;
    struct codec *next;
};

struct key {
    uint8_t encrypt[32], k[16], r[16];
    pthread_mutex_t mutex;
    struct codec *idle;
};

struct key_object {
    PyObject_HEAD
    struct key key;
};

extern PyTypeObject *key_type;

struct codec *take_codec(struct key *key); /* NULL when there is no memory */
void give_codec(struct key *key, struct codec *codec);
bool grow(uint8_t **buffer, size_t *room, size_t size);
void sha256(const void *data, size_t size, uint8_t *digest);
/* `data` as a zstd frame in codec->packed; its size, or 0 where that gains nothing. */
const char *compress_blob(struct codec *codec, const uint8_t *data, size_t size, size_t *packed);
const char *seal(struct codec *codec, const uint8_t *data, size_t size, uint8_t *sealed);
const char *open_seal(struct codec *codec, const uint8_t *sealed, size_t size, uint8_t *plain);
/* The plain bytes of a blob, which must hash to `id`, in codec->plain or codec->opened. */
const char *open_blob(struct codec *codec, const uint8_t *sealed, size_t size, size_t raw_length, const uint8_t *id,
                      const uint8_t **plain, size_t *plain_size);
bool add_key_type(PyObject *module);
bool random_bytes(void *to, size_t size);

/* rabin.c: boundaries as the stock program cuts them. */

/* The length of the first chunk; `tables` are the 512 numbers that rabin.py makes. */
size_t rabin_next_cut(const uint64_t *tables, const uint8_t *data, size_t size);
PyObject *rabin_cut(PyObject *self, PyObject *arguments);

/* files.c: regular files of a restore, and the blobs of a check. times.c: times of trees. */

PyObject *files_make(PyObject *self, PyObject *arguments);
PyObject *files_fill(PyObject *self, PyObject *arguments);
PyObject *files_finish(PyObject *self, PyObject *arguments);
PyObject *files_verify(PyObject *self, PyObject *arguments);
PyObject *blobs_check(PyObject *self, PyObject *arguments);
PyObject *times_parse(PyObject *self, PyObject *texts);

#endif
