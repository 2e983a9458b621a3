/* Blobs go in, packs come out.
 *
 * A blob's place in a pack is reserved under the mutex and filled without it, so that threads seal side by side; a pack that has
 * reached its target is closed, and handed out once nobody fills it any more. Data blobs are spread at random over two open
 * packs whose targets are random too, as in the pure path. Buffers are mapped wide and used as far as needed; one is kept to
 * be used again. What fails here, fails for good: memory, libcrypto, or a blob that did not open to what went in.
 */

#include "writer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

size_t tail_bytes(uint32_t count)
{
    return (size_t)count * HEADER_ENTRY + SEAL_BYTES + LENGTH_BYTES;
}

void free_pack(struct pack *pack)
{
    if (pack->data != NULL)
        munmap(pack->data, pack->room);
    free(pack->rows);
    free(pack);
}

static struct pack *new_pack(struct writer *writer, struct codec *codec, bool tree, size_t blob)
{
    size_t common = writer->pack_bytes + CHUNK_MOST + SEAL_BYTES, most = writer->pack_bytes + blob;
    size_t room = (most > common ? most : common) + tail_bytes(writer->most_blobs);
    uint32_t chance;
    struct pack *pack = NULL;
    if (!draw(codec, (uint8_t *)&chance, sizeof chance))
        return NULL;
    if (writer->idle != NULL && writer->idle->room >= room) {
        pack = writer->idle;
        writer->idle = pack->next;
        writer->idle_count--;
    } else {
        pack = calloc(1, sizeof *pack);
        if (pack == NULL)
            return NULL;
        void *data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (data == MAP_FAILED) {
            free(pack);
            return NULL;
        }
        pack->data = data;
        pack->room = room;
    }
    pack->target = writer->pack_bytes / 4 * 3 + (size_t)((uint64_t)chance * (writer->pack_bytes / 4) >> 32);
    pack->tree = tree;
    return pack;
}

static bool fits(const struct writer *writer, const struct pack *pack, size_t size)
{
    return pack->used + size + tail_bytes(writer->most_blobs) <= pack->room;
}

/* Under the mutex: take a pack out of the open ones. It goes to the full ones when its last filler is done. */
void close_pack(struct writer *writer, struct pack *pack)
{
    for (int i = 0; i <= DATA_PACKS; i++)
        if (writer->open[i] == pack)
            writer->open[i] = NULL;
    pack->closed = true;
    if (pack->filling == 0) {
        pack->next = writer->full;
        writer->full = pack;
    }
}

/* Under the mutex: the open pack for a blob of `size` sealed bytes, NULL when there is no memory. */
static struct pack *choose_pack(struct writer *writer, struct codec *codec, bool tree, size_t size)
{
    uint8_t chance = 0;
    if (!tree && !draw(codec, &chance, 1))
        return NULL;
    struct pack **place = &writer->open[tree ? DATA_PACKS : chance % DATA_PACKS];
    if (*place != NULL && !fits(writer, *place, size))
        close_pack(writer, *place);
    if (*place == NULL)
        *place = new_pack(writer, codec, tree, size);
    return *place;
}

static bool note_row(struct pack *pack, uint32_t row)
{
    if (pack->count == pack->row_room) {
        uint32_t room = pack->row_room * 2 + 64;
        uint32_t *rows = realloc(pack->rows, room * sizeof *rows);
        if (rows == NULL)
            return false;
        pack->rows = rows;
        pack->row_room = room;
    }
    pack->rows[pack->count++] = row;
    return true;
}

const char *fail(struct writer *writer, const char *why)
{
    pthread_mutex_lock(&writer->mutex);
    if (writer->failed == NULL)
        writer->failed = why;
    pthread_mutex_unlock(&writer->mutex);
    return why;
}

/* Reserve room for a sealed blob; NULL when there is no memory. */
static struct pack *reserve(struct writer *writer, struct codec *codec, bool tree, uint32_t number, size_t size,
                            size_t raw_length, size_t *offset)
{
    pthread_mutex_lock(&writer->mutex);
    struct pack *pack = choose_pack(writer, codec, tree, size);
    if (pack != NULL && note_row(pack, number)) {
        *offset = pack->used;
        pack->used += size;
        pack->filling++;
        if (pack->used >= pack->target || pack->count >= writer->most_blobs)
            close_pack(writer, pack);
    } else {
        pack = NULL;
    }
    pthread_mutex_unlock(&writer->mutex);
    if (pack != NULL) {
        pthread_mutex_lock(&writer->index->mutex);
        struct row *row = index_row(writer->index, number);
        row->offset = (uint32_t)*offset;
        row->length = (uint32_t)size | (tree ? TREE_BIT : 0);
        row->raw_length = (uint32_t)raw_length;
        pthread_mutex_unlock(&writer->index->mutex);
    }
    return pack;
}

static void filled(struct writer *writer, struct pack *pack)
{
    pthread_mutex_lock(&writer->mutex);
    if (--pack->filling == 0 && pack->closed) {
        pack->next = writer->full;
        writer->full = pack;
    }
    pthread_mutex_unlock(&writer->mutex);
}

static void count_blob(struct writer *writer, bool tree, size_t raw, size_t stored)
{
    pthread_mutex_lock(&writer->mutex);
    writer->blobs[tree]++;
    writer->raw += raw;
    writer->stored += stored;
    pthread_mutex_unlock(&writer->mutex);
}

/* Seal a claimed blob into a pack. */
const char *store_blob(struct writer *writer, struct codec *codec, bool tree, const uint8_t *data, size_t size,
                              const uint8_t *id, uint32_t number)
{
    size_t packed, offset = 0, plain_size;
    const uint8_t *plain;
    if (size > BLOB_MOST)
        return "a blob of more than 256 MiB can't be stored";
    const char *why = compress_blob(codec, data, size, &packed);
    if (why != NULL)
        return why;
    size_t payload = packed != 0 ? packed : size, sealed = payload + SEAL_BYTES, raw_length = packed != 0 ? size : 0;
    if (!writer->dry) {
        struct pack *pack = reserve(writer, codec, tree, number, sealed, raw_length, &offset);
        if (pack == NULL)
            return no_memory;
        uint8_t *at = pack->data + offset;
        why = seal(codec, packed != 0 ? codec->packed : data, payload, at);
        if (why == NULL && writer->check)
            why = open_blob(codec, at, sealed, raw_length, id, &plain, &plain_size);
        if (why != NULL)
            fail(writer, why); /* before the pack can be taken */
        filled(writer, pack);
    }
    count_blob(writer, tree, size, sealed);
    return why;
}

const char *save_blob(struct writer *writer, struct codec *codec, bool tree, const uint8_t *data, size_t size, uint8_t *id)
{
    uint32_t number;
    sha256(data, size, id);
    if (writer->failed != NULL)
        return writer->failed;
    enum claim claim = index_claim(writer->index, id, &number);
    if (claim == CLAIM_KNOWN)
        return NULL;
    const char *why = claim == CLAIM_YOURS ? store_blob(writer, codec, tree, data, size, id, number) : no_memory;
    if (why != NULL) {
        if (claim == CLAIM_YOURS)
            index_give_back(writer->index, number);
        fail(writer, why);
    }
    return why;
}

PyObject *writer_error(const char *why)
{
    PyErr_SetString(why == no_memory ? PyExc_MemoryError : PyExc_ValueError, why);
    return NULL;
}

/* Put a blob that is sealed already, and claimed, into a pack. */
const char *put_sealed(struct writer *writer, struct codec *codec, bool tree, const uint8_t *id, const uint8_t *sealed,
                              size_t size, size_t raw_length)
{
    uint32_t number;
    size_t offset;
    if (!index_claimed(writer->index, id, &number))
        return "a blob was put into a pack that nobody had claimed";
    struct pack *pack = reserve(writer, codec, tree, number, size, raw_length, &offset);
    if (pack == NULL)
        return no_memory;
    memcpy(pack->data + offset, sealed, size);
    filled(writer, pack);
    count_blob(writer, tree, raw_length != 0 ? raw_length : size - SEAL_BYTES, size);
    return NULL;
}
