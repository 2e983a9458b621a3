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
#include <string.h>
#include <sys/stat.h>

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
    uint8_t *packed, *opened, *plain, *file; /* scratch, grown to what was needed */
    size_t packed_room, opened_room, plain_room, file_room;
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

/* json.c: just enough of JSON to read what repositories hold, in place. */

struct json {
    const char *at, *end;
};

struct text {
    const char *start;
    size_t size;
    bool escaped; /* it holds backslashes */
};

bool json_eat(struct json *json, char c); /* skip space, then take `c` if it is next */
bool json_string(struct json *json, struct text *text);
bool json_number(struct json *json, uint64_t *number); /* whole and not negative */
bool json_skip(struct json *json);                     /* any value */
/* Step through `{...}` and `[...]`: `*more` is false at the end. The first call comes right after the opening bracket. */
bool json_next_key(struct json *json, bool *first, bool *more, struct text *key);
bool json_next_item(struct json *json, bool *first, bool *more);
/* Whether a text is this word, given as a literal. */
#define text_is(text, word) ((text)->size == sizeof(word) - 1 && memcmp((text)->start, word, sizeof(word) - 1) == 0)
/* Undo JSON's escapes into `to`, which has room for text->size bytes; its length, or -1. */
ptrdiff_t json_unescape(const struct text *text, char *to);
bool parse_id(const struct text *text, uint8_t *id);
void write_hex(const uint8_t *from, size_t size, char *to);
size_t write_utf8(long code, char *to);

/* text.c: building texts, byte for byte as the format writes them. */

struct string {
    char *data;
    size_t size, room;
    bool failed; /* there was no memory; what is in it is of no use */
};

bool make_room(struct string *string, size_t size);

static inline void add_bytes(struct string *string, const void *data, size_t size)
{
    if (size == 0 || string->failed || (string->room - string->size < size && !make_room(string, size)))
        return;
    memcpy(string->data + string->size, data, size);
    string->size += size;
}

#define add_word(string, word) add_bytes(string, "" word, sizeof(word) - 1) /* a literal */
void add_number(struct string *string, uint64_t number);
void add_hex(struct string *string, const uint8_t *data, size_t size);
void add_base64(struct string *string, const uint8_t *data, size_t size);
void add_json_text(struct string *string, const char *text, size_t size); /* as names.json_text */
void add_json_name(struct string *string, const char *name, size_t size); /* as names.json_name */

bool is_utf8(const char *text, size_t size);
/* Undo a node's quoting in place; the new length, or -1. */
ptrdiff_t unquote_name(char *name, size_t size);

PyObject *text_name(PyObject *self, PyObject *name);
PyObject *text_value(PyObject *self, PyObject *text);

/* times.c: times as trees have them. */

/* Writes times as times.format_ns does, and remembers the last seconds: files of one folder share them. For one thread. */
struct clock {
    bool utc; /* write all times in UTC; otherwise in the zone of the process */
    unsigned turn;
    struct {
        bool set;
        int64_t second;
        char date[20], zone[7];
        uint8_t zone_size;
    } known[4];
};

void add_time(struct string *string, struct clock *clock, int64_t second, uint32_t nanosecond);
bool read_time(const char *text, size_t size, int64_t *second, uint32_t *nanosecond); /* as times.parse_ns; false for no time */

PyObject *text_time(PyObject *self, PyObject *arguments);
PyObject *times_parse(PyObject *self, PyObject *texts);

/* index.c: which blob lies where. */

#define PACK_FLYING 0xFFFFFFFFu /* claimed, not stored yet */
#define PACK_LOST 0xFFFFFFFEu   /* claimed by a writer that gave up */
#define TREE_BIT 0x80000000u

struct row {
    uint8_t id[ID_BYTES];
    uint32_t pack, offset, length, raw_length; /* the length's highest bit says: a tree */
};

struct index {
    pthread_mutex_t mutex;
    struct row **blocks;
    uint32_t block_count, rows, stored, flying;
    uint32_t *slots;
    size_t slot_count;
    uint8_t (*packs)[ID_BYTES];
    uint32_t *pack_slots;
    uint32_t pack_count, pack_room;
    uint64_t seed[4];
};

struct index_object {
    PyObject_HEAD
    struct index index;
};

enum claim { CLAIM_KNOWN, CLAIM_YOURS, CLAIM_NO_MEMORY };

extern PyTypeObject *index_type;

struct row *index_row(struct index *index, uint32_t number); /* under the mutex, or for a row of one's own */
bool index_find(struct index *index, const uint8_t *id, struct row *found);
enum claim index_claim(struct index *index, const uint8_t *id, uint32_t *number);
bool index_holds(struct index *index, const uint8_t *id); /* stored or on its way */
bool index_claimed(struct index *index, const uint8_t *id, uint32_t *number);
void index_give_back(struct index *index, uint32_t number); /* a claimed row that will not be stored */
bool index_settle(struct index *index, const uint32_t *rows, size_t count, const uint8_t *pack);
bool add_index_type(PyObject *module);

/* writer.c: blobs go in, packs come out. */

struct pack {
    uint8_t *data;
    size_t room, used, target;
    uint32_t *rows;
    uint32_t count, row_room;
    unsigned filling; /* threads that write into it */
    bool closed, tree;
    struct pack *next;
};

#define DATA_PACKS 2

struct writer {
    pthread_mutex_t mutex;
    struct index *index;
    struct key *key;
    struct pack *open[DATA_PACKS + 1]; /* the last is for trees */
    struct pack *full, *idle;
    unsigned idle_count;
    size_t pack_bytes;
    uint32_t most_blobs;
    bool check, dry;
    const char *failed;
    uint64_t blobs[2], raw, stored;
};

struct writer_object {
    PyObject_HEAD
    struct writer writer;
    PyObject *index_object, *key_object;
};

extern PyTypeObject *writer_type, *pack_type;

/* Store a blob unless it is known. `id` is written. Returns NULL, or why the writer has failed for good. */
const char *save_blob(struct writer *writer, struct codec *codec, bool tree, const uint8_t *data, size_t size, uint8_t *id);
PyObject *writer_error(const char *why); /* sets MemoryError or ValueError; NULL */
bool add_writer_types(PyObject *module);
PyObject *encode_index(PyObject *self, PyObject *packs);

/* node.c: what a tree says about one entry. */

struct attribute_fault {
    int error;        /* 0: none */
    char name[256];   /* empty: they can't be listed */
};

/* The `extended_attributes` field with its leading comma, or nothing. `handle` is an open file or -1 to go by `path`. */
void add_attributes(struct string *string, int handle, const char *path, struct attribute_fault *fault);
/* The fields of a node up to `device_id`. */
void add_head(struct string *string, const char *name, size_t name_size, const struct stat *stat, struct clock *clock);
void add_link_target(struct string *string, const char *target, size_t size);

/* folder.c: one folder of the source, from its listing to its tree. */

bool add_folder_type(PyObject *module);

/* chunk.c: where to cut. */

PyObject *next_cut(PyObject *self, PyObject *arguments);
bool random_bytes(void *to, size_t size);
bool draw(struct codec *codec, uint8_t *to, size_t size); /* few random bytes at a time */

/* rabin.c: boundaries as the stock program cuts them. */

/* The length of the first chunk; `tables` are the 512 numbers that rabin.py makes. */
size_t rabin_next_cut(const uint64_t *tables, const uint8_t *data, size_t size);
PyObject *rabin_cut(PyObject *self, PyObject *arguments);

/* scrypt.c: the costly part of opening a key. */

PyObject *scrypt_mix(PyObject *self, PyObject *arguments);

/* reseal.c: blobs from one key to another. */

PyObject *reseal(PyObject *self, PyObject *arguments);

/* entries.c: the files of a tree. files.c: regular files of a restore. verify.c: what was written, and the blobs of a check. */

PyObject *tree_files(PyObject *self, PyObject *tree);
PyObject *files_make(PyObject *self, PyObject *arguments);
PyObject *files_fill(PyObject *self, PyObject *arguments);
PyObject *files_finish(PyObject *self, PyObject *arguments);
PyObject *files_verify(PyObject *self, PyObject *arguments);
PyObject *blobs_check(PyObject *self, PyObject *arguments);

#endif
