/* One blob between its plain form and its sealed form, and the type `Key`, which holds the master key and the codecs.
 *
 * A codec is what one thread needs at a time: contexts of zstd and libcrypto and scratch buffers. Codecs wait on the key
 * between calls, so there are never more of them than threads have worked at once. Keys are wiped when they go.
 */

#include "holdfast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONCE_BYTES 16
#define TAG_BYTES 16
#define LEVEL 1 /* as in blob.py */
#define PIECE (1 << 30)
#define KEPT_MOST (16u << 20) /* bytes of each buffer that a codec keeps while it waits */

static const char *const crypto_failed = "libcrypto refused to work";
PyTypeObject *key_type;

bool grow(uint8_t **buffer, size_t *room, size_t size)
{
    if (size <= *room)
        return true;
    uint8_t *more = malloc(size);
    if (more == NULL)
        return false;
    free(*buffer);
    *buffer = more;
    *room = size;
    return true;
}

bool random_bytes(void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR)
            return false;
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
    return true;
}

void sha256(const void *data, size_t size, uint8_t *digest)
{
    _Alignas(16) uint8_t state[SHA_STATE_BYTES];
    crypto.sha_init(state);
    crypto.sha_update(state, data, size);
    crypto.sha_final(digest, state);
}

static void free_codec(struct codec *codec)
{
    if (codec->compressor != NULL)
        zstd.free_compressor(codec->compressor);
    if (codec->decompressor != NULL)
        zstd.free_decompressor(codec->decompressor);
    if (codec->stream != NULL)
        crypto.cipher_free(codec->stream);
    if (codec->block != NULL)
        crypto.cipher_free(codec->block);
    if (codec->mac != NULL)
        crypto.mac_free(codec->mac);
    free(codec->packed);
    free(codec->opened);
    free(codec->plain);
    free(codec->file);
    crypto.cleanse(codec, sizeof *codec);
    free(codec);
}

static struct codec *new_codec(const struct key *key)
{
    struct codec *codec = calloc(1, sizeof *codec);
    if (codec == NULL)
        return NULL;
    codec->compressor = zstd.create_compressor();
    codec->decompressor = zstd.create_decompressor();
    codec->stream = crypto.cipher_new();
    codec->block = crypto.cipher_new();
    codec->mac = crypto.mac_new(crypto.poly1305);
    if (codec->compressor == NULL || codec->decompressor == NULL || codec->stream == NULL || codec->block == NULL ||
        codec->mac == NULL || !crypto.cipher_init(codec->stream, crypto.aes_ctr(), NULL, key->encrypt, NULL) ||
        !crypto.cipher_init(codec->block, crypto.aes_ecb(), NULL, key->k, NULL) ||
        !crypto.cipher_padding(codec->block, 0)) {
        free_codec(codec);
        return NULL;
    }
    memcpy(codec->r, key->r, sizeof codec->r);
    return codec;
}

struct codec *take_codec(struct key *key)
{
    pthread_mutex_lock(&key->mutex);
    struct codec *codec = key->idle;
    if (codec != NULL)
        key->idle = codec->next;
    pthread_mutex_unlock(&key->mutex);
    return codec != NULL ? codec : new_codec(key);
}

static void trim(uint8_t **buffer, size_t *room)
{
    if (*room <= KEPT_MOST)
        return;
    free(*buffer);
    *buffer = NULL;
    *room = 0;
}

void give_codec(struct key *key, struct codec *codec)
{
    trim(&codec->packed, &codec->packed_room);
    trim(&codec->opened, &codec->opened_room);
    trim(&codec->plain, &codec->plain_room);
    pthread_mutex_lock(&key->mutex);
    codec->next = key->idle;
    key->idle = codec;
    pthread_mutex_unlock(&key->mutex);
}

static const char *crypt_ctr(struct codec *codec, const uint8_t *nonce, const uint8_t *from, size_t size, uint8_t *to)
{
    int done;
    if (!crypto.cipher_init(codec->stream, NULL, NULL, NULL, nonce))
        return crypto_failed;
    while (size > 0) {
        int piece = size < PIECE ? (int)size : PIECE;
        if (!crypto.cipher_update(codec->stream, to, &done, from, piece) || done != piece)
            return crypto_failed;
        from += piece;
        to += piece;
        size -= (size_t)piece;
    }
    return NULL;
}

static const char *tag(struct codec *codec, const uint8_t *nonce, const uint8_t *cipher, size_t size, uint8_t *to)
{
    uint8_t once[32];
    int done;
    size_t written;
    memcpy(once, codec->r, 16);
    if (!crypto.cipher_update(codec->block, once + 16, &done, nonce, NONCE_BYTES) || done != NONCE_BYTES ||
        !crypto.mac_init(codec->mac, once, sizeof once, NULL) || !crypto.mac_update(codec->mac, cipher, size) ||
        !crypto.mac_final(codec->mac, to, &written, TAG_BYTES) || written != TAG_BYTES)
        return crypto_failed;
    return NULL;
}

bool draw(struct codec *codec, uint8_t *to, size_t size)
{
    if (codec->random_left < size) {
        if (!random_bytes(codec->random, sizeof codec->random))
            return false;
        codec->random_left = sizeof codec->random;
    }
    codec->random_left -= size;
    memcpy(to, codec->random + codec->random_left, size);
    return true;
}

const char *seal(struct codec *codec, const uint8_t *data, size_t size, uint8_t *sealed)
{
    if (!draw(codec, sealed, NONCE_BYTES))
        return "the system gives no random bytes";
    const char *why = crypt_ctr(codec, sealed, data, size, sealed + NONCE_BYTES);
    return why != NULL ? why : tag(codec, sealed, sealed + NONCE_BYTES, size, sealed + NONCE_BYTES + size);
}

const char *open_seal(struct codec *codec, const uint8_t *sealed, size_t size, uint8_t *plain)
{
    uint8_t wanted[TAG_BYTES], differs = 0;
    if (size < SEAL_BYTES)
        return "it is shorter than its own envelope: it was cut short";
    size -= SEAL_BYTES;
    const char *why = tag(codec, sealed, sealed + NONCE_BYTES, size, wanted);
    if (why != NULL)
        return why;
    for (int i = 0; i < TAG_BYTES; i++)
        differs |= wanted[i] ^ sealed[NONCE_BYTES + size + (size_t)i];
    if (differs)
        return "the seal does not fit the data: it was changed, or belongs to another repository";
    return crypt_ctr(codec, sealed, sealed + NONCE_BYTES, size, plain);
}

const char *compress_blob(struct codec *codec, const uint8_t *data, size_t size, size_t *packed)
{
    size_t room = zstd.bound(size);
    *packed = 0;
    if (!grow(&codec->packed, &codec->packed_room, room))
        return no_memory;
    size_t result = zstd.compress(codec->compressor, codec->packed, room, data, size, LEVEL);
    if (zstd.is_error(result))
        return "zstd refused to compress";
    if (result < size)
        *packed = result;
    return NULL;
}

const char *open_blob(struct codec *codec, const uint8_t *sealed, size_t size, size_t raw_length, const uint8_t *id,
                      const uint8_t **plain, size_t *plain_size)
{
    uint8_t digest[ID_BYTES];
    if (size < SEAL_BYTES)
        return "it is shorter than its own envelope: it was cut short";
    if (raw_length > BLOB_MOST || size - SEAL_BYTES > BLOB_MOST)
        return "it claims to hold more than 256 MiB: its index entry is damaged";
    if (!grow(&codec->opened, &codec->opened_room, size))
        return no_memory;
    const char *why = open_seal(codec, sealed, size, codec->opened);
    if (why != NULL)
        return why;
    *plain = codec->opened;
    *plain_size = size - SEAL_BYTES;
    if (raw_length != 0) {
        if (!grow(&codec->plain, &codec->plain_room, raw_length))
            return no_memory;
        size_t result = zstd.decompress(codec->decompressor, codec->plain, raw_length, codec->opened, *plain_size);
        if (zstd.is_error(result))
            return "its compressed data can't be read";
        *plain = codec->plain;
        *plain_size = result;
    }
    sha256(*plain, *plain_size, digest);
    return memcmp(digest, id, ID_BYTES) == 0 ? NULL : "it holds other bytes than its id says";
}

static PyObject *key_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    const char *encrypt, *k, *r;
    Py_ssize_t sizes[3];
    (void)names;
    if (!PyArg_ParseTuple(arguments, "y#y#y#:Key", &encrypt, &sizes[0], &k, &sizes[1], &r, &sizes[2]))
        return NULL;
    if (sizes[0] != 32 || sizes[1] != 16 || sizes[2] != 16) {
        PyErr_SetString(PyExc_ValueError, "a key has parts of 32, 16 and 16 bytes");
        return NULL;
    }
    struct key_object *self = (struct key_object *)PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    memcpy(self->key.encrypt, encrypt, 32);
    memcpy(self->key.k, k, 16);
    memcpy(self->key.r, r, 16);
    pthread_mutex_init(&self->key.mutex, NULL);
    return (PyObject *)self;
}

static void key_dealloc(PyObject *object)
{
    struct key *key = &((struct key_object *)object)->key;
    PyTypeObject *type = Py_TYPE(object);
    while (key->idle != NULL) {
        struct codec *codec = key->idle;
        key->idle = codec->next;
        free_codec(codec);
    }
    pthread_mutex_destroy(&key->mutex);
    crypto.cleanse(key, sizeof *key);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *key_open_blob(PyObject *object, PyObject *arguments)
{
    struct key *key = &((struct key_object *)object)->key;
    Py_buffer sealed;
    Py_ssize_t raw_length, id_size;
    const char *id, *why = no_memory;
    const uint8_t *plain;
    size_t size;
    if (!PyArg_ParseTuple(arguments, "y*ny#:open_blob", &sealed, &raw_length, &id, &id_size))
        return NULL;
    if (id_size != ID_BYTES || raw_length < 0) {
        PyBuffer_Release(&sealed);
        PyErr_SetString(PyExc_ValueError, "an id has 32 bytes, and a length is not negative");
        return NULL;
    }
    PyObject *result = NULL;
    struct codec *codec = take_codec(key);
    if (codec != NULL) {
        Py_BEGIN_ALLOW_THREADS
        why = open_blob(codec, sealed.buf, (size_t)sealed.len, (size_t)raw_length, (const uint8_t *)id, &plain, &size);
        Py_END_ALLOW_THREADS
        if (why == NULL)
            result = PyBytes_FromStringAndSize((const char *)plain, (Py_ssize_t)size);
        give_codec(key, codec);
    }
    PyBuffer_Release(&sealed);
    if (why != NULL)
        PyErr_SetString(why == no_memory ? PyExc_MemoryError : PyExc_ValueError, why);
    return result;
}

/* Seal or open a text of any kind. */
static PyObject *key_crypt(PyObject *object, PyObject *text, bool sealing)
{
    struct key *key = &((struct key_object *)object)->key;
    const char *why = no_memory;
    Py_buffer from;
    if (PyObject_GetBuffer(text, &from, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = sealing ? from.len + SEAL_BYTES : from.len - SEAL_BYTES;
    if (size < 0)
        PyErr_SetString(PyExc_ValueError, "it is shorter than its own envelope: it was cut short");
    else
        result = PyBytes_FromStringAndSize(NULL, size);
    struct codec *codec = result != NULL ? take_codec(key) : NULL;
    if (codec != NULL) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        why = sealing ? seal(codec, from.buf, (size_t)from.len, to) : open_seal(codec, from.buf, (size_t)from.len, to);
        Py_END_ALLOW_THREADS
        give_codec(key, codec);
    }
    PyBuffer_Release(&from);
    if (result != NULL && why != NULL) {
        Py_CLEAR(result);
        PyErr_SetString(why == no_memory ? PyExc_MemoryError : PyExc_ValueError, why);
    }
    return result;
}

static PyObject *key_seal(PyObject *object, PyObject *plain)
{
    return key_crypt(object, plain, true);
}

static PyObject *key_open(PyObject *object, PyObject *sealed)
{
    return key_crypt(object, sealed, false);
}

static PyMethodDef key_methods[] = {
    {"seal", key_seal, METH_O, "seal(plain) -> bytes: encrypt and tag."},
    {"open", key_open, METH_O, "open(sealed) -> bytes: check the tag, then decrypt. Raises ValueError with the reason."},
    {"open_blob", key_open_blob, METH_VARARGS,
     "open_blob(sealed, raw_length, id) -> bytes: open, decompress unless raw_length is 0, and compare with the id.\n"
     "Raises ValueError with the reason."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot key_slots[] = {
    {Py_tp_doc, "Key(encrypt, k, r): a master key with the codecs that work with it."},
    {Py_tp_new, key_new},
    {Py_tp_dealloc, key_dealloc},
    {Py_tp_methods, key_methods},
    {0, NULL},
};

static PyType_Spec key_spec = {"holdfast.repo._native.Key", sizeof(struct key_object), 0, Py_TPFLAGS_DEFAULT, key_slots};

bool add_key_type(PyObject *module)
{
    key_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &key_spec, NULL);
    return key_type != NULL && PyModule_AddType(module, key_type) == 0;
}
