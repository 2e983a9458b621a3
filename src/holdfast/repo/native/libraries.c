/* zstd and libcrypto, found at run time, so that building needs no headers but Python's.
 *
 * zstd comes from the wheel that the pure path uses too: both are the same release. libcrypto is the one that Python's own
 * hashlib has loaded. A symbol that is missing makes the module unavailable, with its name in the message.
 */

#include "holdfast.h"

#include <dlfcn.h>

struct zstd_library zstd;
struct crypto_library crypto;
const char *const no_memory = "there is no memory left";

struct symbol {
    void **place;
    const char *name;
};

#define SYMBOL(field, name) {(void **)&field, name}

static const struct symbol zstd_symbols[] = {
    SYMBOL(zstd.create_compressor, "ZSTD_createCCtx"),
    SYMBOL(zstd.create_decompressor, "ZSTD_createDCtx"),
    SYMBOL(zstd.free_compressor, "ZSTD_freeCCtx"),
    SYMBOL(zstd.free_decompressor, "ZSTD_freeDCtx"),
    SYMBOL(zstd.compress, "ZSTD_compressCCtx"),
    SYMBOL(zstd.decompress, "ZSTD_decompressDCtx"),
    SYMBOL(zstd.bound, "ZSTD_compressBound"),
    SYMBOL(zstd.is_error, "ZSTD_isError"),
    SYMBOL(zstd.version, "ZSTD_versionNumber"),
    {NULL, NULL},
};

static const struct symbol crypto_symbols[] = {
    SYMBOL(crypto.sha_init, "SHA256_Init"),
    SYMBOL(crypto.sha_update, "SHA256_Update"),
    SYMBOL(crypto.sha_final, "SHA256_Final"),
    SYMBOL(crypto.cipher_new, "EVP_CIPHER_CTX_new"),
    SYMBOL(crypto.cipher_free, "EVP_CIPHER_CTX_free"),
    SYMBOL(crypto.aes_ctr, "EVP_aes_256_ctr"),
    SYMBOL(crypto.aes_ecb, "EVP_aes_128_ecb"),
    SYMBOL(crypto.cipher_init, "EVP_EncryptInit_ex"),
    SYMBOL(crypto.cipher_update, "EVP_EncryptUpdate"),
    SYMBOL(crypto.cipher_padding, "EVP_CIPHER_CTX_set_padding"),
    SYMBOL(crypto.mac_fetch, "EVP_MAC_fetch"),
    SYMBOL(crypto.mac_new, "EVP_MAC_CTX_new"),
    SYMBOL(crypto.mac_free, "EVP_MAC_CTX_free"),
    SYMBOL(crypto.mac_init, "EVP_MAC_init"),
    SYMBOL(crypto.mac_update, "EVP_MAC_update"),
    SYMBOL(crypto.mac_final, "EVP_MAC_final"),
    SYMBOL(crypto.cleanse, "OPENSSL_cleanse"),
    {NULL, NULL},
};

static bool resolve(const char *path, const struct symbol *symbols)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        PyErr_Format(PyExc_ImportError, "%s can't be loaded: %s", path, dlerror());
        return false;
    }
    for (; symbols->name != NULL; symbols++) {
        *symbols->place = dlsym(library, symbols->name);
        if (*symbols->place == NULL) {
            PyErr_Format(PyExc_ImportError, "%s has no function %s", path, symbols->name);
            return false;
        }
    }
    return true;
}

PyObject *bind_libraries(PyObject *self, PyObject *paths)
{
    const char *zstd_path, *crypto_path;
    (void)self;
    if (!PyArg_ParseTuple(paths, "ss:bind", &zstd_path, &crypto_path))
        return NULL;
    if (!resolve(zstd_path, zstd_symbols) || !resolve(crypto_path, crypto_symbols))
        return NULL;
    if (crypto.poly1305 == NULL)
        crypto.poly1305 = crypto.mac_fetch(NULL, "POLY1305", NULL);
    if (crypto.poly1305 == NULL) {
        PyErr_Format(PyExc_ImportError, "%s has no Poly1305", crypto_path);
        return NULL;
    }
    return PyLong_FromUnsignedLong(zstd.version());
}
