/* Regular files of a restore: made, filled from sealed blobs, and finished, many in one call.
 *
 * A file is named by the descriptor of its folder and one plain name, is made with O_EXCL and opened with O_NOFOLLOW, and what
 * is opened again must be the very file that was made: nothing can lead a write elsewhere, whoever else works in the target.
 * A file that one blob fills is read back while the blob is at hand, through the descriptor that wrote it.
 */

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK 4096

/* A new, empty, private file; what is in the way is removed, never written through, a folder only when it is empty. -1 and
 * errno when it can't be made. */
static int create(const struct run *run, const struct file *file)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const char *name = name_of(run, file);
    int handle = openat(file->folder, name, flags, 0600);
    if (handle >= 0 || errno != EEXIST)
        return handle;
    if (unlinkat(file->folder, name, 0) < 0 && errno != ENOENT)
        if (errno != EISDIR || unlinkat(file->folder, name, AT_REMOVEDIR) < 0)
            return -1;
    return openat(file->folder, name, flags, 0600);
}

/* The file that was made, and no other that has its name by now. */
static int reopen(const struct run *run, const struct file *file)
{
    struct stat stat;
    int handle = openat(file->folder, name_of(run, file), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (handle < 0)
        return -1;
    if (fstat(handle, &stat) == 0 && stat.st_dev == file->device && stat.st_ino == file->inode)
        return handle;
    close(handle);
    errno = ESTALE;
    return -1;
}

static bool write_all(int handle, const uint8_t *data, size_t size, int64_t offset)
{
    while (size > 0) {
        ssize_t done = pwrite(handle, data, size, offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? EIO : errno;
            return false;
        }
        data += done;
        size -= (size_t)done;
        offset += done;
    }
    return true;
}

static bool is_zero(const uint8_t *block)
{
    uint64_t any = 0;
    for (size_t i = 0; i < BLOCK; i += 64) {
        uint64_t words[8];
        memcpy(words, block + i, sizeof words);
        any |= words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
        if (any)
            return false;
    }
    return true;
}

/* Writes all but whole blocks of zeros; what ends with such a block is shorter than it should be until it is truncated. */
static bool write_runs(int handle, const uint8_t *data, size_t size, int64_t offset)
{
    size_t begin = 0, at = 0;
    for (; size - at >= BLOCK; at += BLOCK) {
        if (!is_zero(data + at))
            continue;
        if (begin < at && !write_all(handle, data + begin, at - begin, offset + (int64_t)begin))
            return false;
        begin = at + BLOCK;
    }
    return begin >= size || write_all(handle, data + begin, size - begin, offset + (int64_t)begin);
}

static bool ends_hollow(const uint8_t *data, size_t size)
{
    return size >= BLOCK && size % BLOCK == 0 && is_zero(data + size - BLOCK);
}

static bool put(const struct run *run, int handle, const uint8_t *data, size_t size, int64_t offset)
{
    if (!run->sparse)
        return write_all(handle, data, size, offset);
    return write_runs(handle, data, size, offset);
}

/* Owner first, since changing it clears mode bits; times last. */
static const char *finish(struct run *run, int handle, const struct file *file)
{
    if (fchown(handle, file->uid, file->gid) < 0) {
        if (errno != EPERM || run->owner)
            return "its owner can't be set";
        run->unowned++;
    }
    if (fchmod(handle, file->mode) < 0)
        return "its mode can't be set";
    struct timespec times[2];
    times[0].tv_sec = times[1].tv_sec = file->seconds;
    times[0].tv_nsec = times[1].tv_nsec = file->nanoseconds;
    return futimens(handle, times) < 0 ? "its times can't be set" : NULL;
}

/* Which file it is, for those that are opened again. */
static bool remember(int handle, struct file *file)
{
    struct stat stat;
    if (fstat(handle, &stat) < 0)
        return false;
    file->device = stat.st_dev;
    file->inode = stat.st_ino;
    return true;
}

/* Whether a file that was just written holds these bytes and no more: 1, 0 when not, -1 and errno when it can't be read. */
static int holds(int handle, uint8_t *window, const uint8_t *plain, size_t size)
{
    size_t at = 0;
    while (true) {
        size_t wanted = size - at < WINDOW ? size - at + 1 : WINDOW; /* one more would be too much */
        ssize_t got = pread(handle, window, wanted, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if ((size_t)got > size - at || memcmp(window, plain + at, (size_t)got) != 0)
            return 0;
        at += (size_t)got;
        if (got == 0 || (at == size && (size_t)got < wanted))
            return at == size;
    }
}

static const char *read_back(struct run *run, int handle, const uint8_t *plain, size_t size)
{
    int result = run->window != NULL ? holds(handle, run->window, plain, size) : -2;
    if (result < 1 && result > -2) {
        errno = result < 0 ? errno : 0;
        return result < 0 ? "it can't be read back" : differs;
    }
    run->files_verified += result == 1;
    run->bytes_verified += result == 1 ? size : 0;
    return NULL;
}

static void make_whole(struct run *run, uint32_t number, const uint8_t *plain, size_t size)
{
    struct file *file = &run->files[number];
    const char *what = NULL;
    int handle = create(run, file);
    if (handle < 0) {
        fail_file(run, number, errno, "it can't be made");
        return;
    }
    if (!put(run, handle, plain, size, 0) || (run->sparse && ends_hollow(plain, size) && ftruncate(handle, (off_t)size) < 0))
        what = "it can't be written";
    else
        what = read_back(run, handle, plain, size);
    if (what == NULL && file->flags & FLAG_PLAIN)
        what = finish(run, handle, file);
    else if (what == NULL && !remember(handle, file))
        what = "it can't be made";
    if (what != NULL)
        fail_file(run, number, errno, what);
    if (close(handle) < 0 && what == NULL)
        fail_file(run, number, errno, "it can't be written");
    else if (what == NULL) {
        run->files_done += (file->flags & FLAG_PLAIN) != 0;
        run->bytes_done += size;
    }
}

static void put_piece(struct run *run, const struct place *place, const uint8_t *plain, size_t size)
{
    int handle = reopen(run, &run->files[place->file]);
    if (handle < 0) {
        fail_file(run, place->file, errno, "it can't be opened again");
        return;
    }
    bool written = put(run, handle, plain, size, place->offset);
    int error = errno;
    if (close(handle) < 0 && written) {
        written = false;
        error = errno;
    }
    if (written)
        run->bytes_done += size;
    else
        fail_file(run, place->file, error, "it can't be written");
}

static void fill_piece(struct run *run, struct codec *codec, const uint8_t *data, const struct piece *piece, uint32_t number,
                       const struct place *places)
{
    const uint8_t *plain;
    size_t size;
    const char *why = open_blob(codec, data + piece->offset, piece->length, piece->raw_length, piece->id, &plain, &size);
    if (why == NULL && size != (piece->raw_length != 0 ? piece->raw_length : piece->length - SEAL_BYTES))
        why = "it is not as long as its index entry says";
    for (uint32_t i = 0; i < piece->places; i++) {
        const struct place *place = &places[piece->place + i];
        if (has_failed(&run->files[place->file]))
            continue;
        if (why != NULL)
            lose(run, (struct fault){place->file, number, 0, why});
        else if (place->whole)
            make_whole(run, place->file, plain, size);
        else
            put_piece(run, place, plain, size);
    }
}

PyObject *files_fill(PyObject *self, PyObject *arguments)
{
    PyObject *key_object;
    Py_buffer data, pieces, places, files, names;
    int sparse, owner, verify;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!y*y*y*w*y*ppp:files_fill", key_type, &key_object, &data, &pieces, &places, &files,
                          &names, &sparse, &owner, &verify))
        return NULL;
    struct run run = {.sparse = sparse, .owner = owner};
    const struct place *place = places.buf;
    size_t piece_count = (size_t)pieces.len / sizeof(struct piece), place_count = (size_t)places.len / sizeof(struct place);
    bool good = set_run(&run, &files, &names) && pieces.len % sizeof(struct piece) == 0 &&
                places.len % sizeof(struct place) == 0 &&
                good_pieces(pieces.buf, piece_count, (size_t)data.len, place_count);
    for (size_t i = 0; good && i < place_count; i++)
        good = place[i].file < run.file_count && place[i].offset >= 0;
    struct key *key = &((struct key_object *)key_object)->key;
    struct codec *codec = good ? take_codec(key) : NULL;
    bool ready = codec != NULL && (!verify || grow(&codec->file, &codec->file_room, WINDOW));
    if (ready) {
        run.window = verify ? codec->file : NULL;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < piece_count; i++)
            fill_piece(&run, codec, data.buf, (const struct piece *)pieces.buf + i, (uint32_t)i, place);
        Py_END_ALLOW_THREADS
    }
    if (codec != NULL)
        give_codec(key, codec);
    run.faults.lost |= good && !ready;
    PyObject *result = report(&run, good);
    PyBuffer_Release(&data);
    PyBuffer_Release(&pieces);
    PyBuffer_Release(&places);
    PyBuffer_Release(&files);
    PyBuffer_Release(&names);
    return result;
}

/* Makes an empty file of full size, all of it a hole, and remembers which one it is. */
static void make_hollow(struct run *run, uint32_t number)
{
    struct file *file = &run->files[number];
    const char *what = NULL;
    int handle = create(run, file);
    if (handle < 0) {
        fail_file(run, number, errno, "it can't be made");
        return;
    }
    if (!remember(handle, file) || (file->size > 0 && ftruncate(handle, file->size) < 0))
        what = "it can't be made";
    else if (file->size == 0 && (file->flags & FLAG_PLAIN))
        what = finish(run, handle, file);
    if (what != NULL)
        fail_file(run, number, errno, what);
    else
        run->files_done += file->size == 0 && (file->flags & FLAG_PLAIN) != 0;
    close(handle);
}

static void finish_again(struct run *run, uint32_t number)
{
    struct file *file = &run->files[number];
    int handle = reopen(run, file);
    const char *what = handle < 0 ? "it can't be opened again" : finish(run, handle, file);
    if (what != NULL)
        fail_file(run, number, errno, what);
    else
        run->files_done++;
    if (handle >= 0)
        close(handle);
}

static PyObject *for_rows(PyObject *arguments, const char *format, void (*action)(struct run *, uint32_t))
{
    Py_buffer files, names, rows;
    int owner;
    if (!PyArg_ParseTuple(arguments, format, &files, &names, &rows, &owner))
        return NULL;
    struct run run = {.owner = owner};
    const uint32_t *row = rows.buf;
    size_t count = (size_t)rows.len / sizeof *row;
    bool good = set_run(&run, &files, &names) && rows.len % sizeof *row == 0;
    for (size_t i = 0; good && i < count; i++)
        good = row[i] < run.file_count;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < count; i++)
            if (!has_failed(&run.files[row[i]]))
                action(&run, row[i]);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = report(&run, good);
    PyBuffer_Release(&files);
    PyBuffer_Release(&names);
    PyBuffer_Release(&rows);
    return result;
}

PyObject *files_make(PyObject *self, PyObject *arguments)
{
    (void)self;
    return for_rows(arguments, "w*y*y*p:files_make", make_hollow);
}

PyObject *files_finish(PyObject *self, PyObject *arguments)
{
    (void)self;
    return for_rows(arguments, "w*y*y*p:files_finish", finish_again);
}
