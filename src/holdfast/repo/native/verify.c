/* Reading back: restored files against the ids of their blobs, and the blobs of packs against theirs. */

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char differs[] = "verification failed: it does not hold what the snapshot does";

/* 1 when `length` bytes from the file's position hash to `id`, 0 when not, -1 and errno when they can't be read. */
static int same(int handle, uint8_t *window, const struct part *part)
{
    uint8_t digest[ID_BYTES];
    _Alignas(16) uint8_t state[SHA_STATE_BYTES];
    uint64_t left = part->length;
    crypto.sha_init(state);
    while (left > 0) {
        ssize_t got = read(handle, window, left < WINDOW ? (size_t)left : WINDOW);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : 0;
        crypto.sha_update(state, window, (size_t)got);
        left -= (uint64_t)got;
    }
    crypto.sha_final(digest, state);
    return memcmp(digest, part->id, ID_BYTES) == 0;
}

static void verify(struct run *run, uint8_t *window, const struct span *span, const struct part *parts)
{
    const struct file *file = &run->files[span->file];
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int handle = openat(file->folder, name_of(run, file), flags | O_NOATIME);
    if (handle < 0 && errno == EPERM)
        handle = openat(file->folder, name_of(run, file), flags);
    if (handle < 0) {
        fail_file(run, span->file, errno, "it can't be read back");
        return;
    }
    int result = 1;
    for (uint32_t i = 0; result == 1 && i < span->parts; i++)
        result = same(handle, window, &parts[span->part + i]);
    if (result == 1) {
        ssize_t more = read(handle, window, 1);
        result = more < 0 ? -1 : more == 0;
    }
    if (result < 1)
        fail_file(run, span->file, result < 0 ? errno : 0, result < 0 ? "it can't be read back" : differs);
    else {
        run->files_verified++;
        run->bytes_verified += (uint64_t)file->size;
    }
    close(handle);
}

PyObject *files_verify(PyObject *self, PyObject *arguments)
{
    Py_buffer files, names, spans, parts;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "w*y*y*y*:files_verify", &files, &names, &spans, &parts))
        return NULL;
    struct run run = {0};
    const struct span *span = spans.buf;
    size_t count = (size_t)spans.len / sizeof *span, part_count = (size_t)parts.len / sizeof(struct part);
    bool good = set_run(&run, &files, &names) && spans.len % sizeof *span == 0 && parts.len % sizeof(struct part) == 0;
    for (size_t i = 0; good && i < count; i++)
        good = span[i].file < run.file_count && span[i].part <= part_count && span[i].parts <= part_count - span[i].part;
    uint8_t *window = good ? malloc(WINDOW) : NULL;
    if (window != NULL) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < count; i++)
            if (!has_failed(&run.files[span[i].file]))
                verify(&run, window, &span[i], parts.buf);
        Py_END_ALLOW_THREADS
        free(window);
    }
    run.faults.lost |= good && window == NULL;
    PyObject *result = report(&run, good);
    PyBuffer_Release(&files);
    PyBuffer_Release(&names);
    PyBuffer_Release(&spans);
    PyBuffer_Release(&parts);
    return result;
}

PyObject *blobs_check(PyObject *self, PyObject *arguments)
{
    PyObject *key_object;
    Py_buffer data, pieces;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!y*y*:blobs_check", key_type, &key_object, &data, &pieces))
        return NULL;
    struct faults faults = {0};
    const struct piece *piece = pieces.buf;
    size_t count = (size_t)pieces.len / sizeof *piece;
    bool good = pieces.len % sizeof *piece == 0 && good_pieces(piece, count, (size_t)data.len, UINT32_MAX);
    struct key *key = &((struct key_object *)key_object)->key;
    struct codec *codec = good ? take_codec(key) : NULL;
    if (codec != NULL) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < count; i++) {
            const uint8_t *plain, *sealed = (const uint8_t *)data.buf + piece[i].offset;
            size_t size;
            const char *why = open_blob(codec, sealed, piece[i].length, piece[i].raw_length, piece[i].id, &plain, &size);
            if (why == NULL && size != (piece[i].raw_length != 0 ? piece[i].raw_length : piece[i].length - SEAL_BYTES))
                why = "it is not as long as its index entry says";
            if (why != NULL)
                add_fault(&faults, (struct fault){(uint32_t)i, (uint32_t)i, 0, why});
        }
        Py_END_ALLOW_THREADS
        give_codec(key, codec);
    }
    faults.lost |= good && codec == NULL;
    PyObject *result = good ? give_faults(&faults) : bad_table();
    PyBuffer_Release(&data);
    PyBuffer_Release(&pieces);
    return result;
}
