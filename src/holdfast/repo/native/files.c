/* Regular files of a restore: made, filled from sealed blobs, finished, and read back, many in one call.
 *
 * A file is named by the descriptor of its folder and one plain name, is made with O_EXCL and opened with O_NOFOLLOW, and what
 * is opened again must be the very file that was made: nothing can lead a write elsewhere, whoever else works in the target.
 * Tables come from Python as arrays of the structs below (`native_files.py` has the same layouts); every number in them is
 * checked before it is used. Faults are gathered and returned, they end nothing but their file.
 */

#include "holdfast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define BLOCK 4096
#define WINDOW (256u << 10)

#define FLAG_PLAIN 1u  /* everything but owner, mode and times is absent: the file can be finished here */
#define FLAG_FAILED 2u /* something of it went wrong: it is left alone from then on */

struct file {
    int64_t size, seconds;
    uint64_t device, inode; /* of the file that was made */
    uint32_t nanoseconds;
    int32_t folder;
    uint32_t name; /* where in the names its name begins; it ends with a NUL */
    uint32_t mode, uid, gid, flags, unused;
};

struct piece {
    uint32_t offset, length, raw_length;
    uint32_t place, places; /* the first of its places, and their number */
    uint32_t unused;
    uint8_t id[ID_BYTES];
};

struct place {
    uint32_t file, whole; /* whether the blob is all of the file, which is then made and finished with it */
    int64_t offset;
};

struct part { /* a blob as it must be found in a restored file */
    uint64_t length;
    uint8_t id[ID_BYTES];
};

struct span { /* the parts of one file */
    uint32_t file, part, parts;
};

struct fault {
    uint32_t number, piece; /* of the file, and of the blob that was at fault or NO_PIECE */
    int error;
    const char *what;
};

#define NO_PIECE UINT32_MAX

struct faults {
    struct fault *held;
    size_t count, room;
    bool lost; /* there was no memory for one more */
};

struct run {
    struct file *files;
    const char *names;
    size_t file_count, names_size;
    bool sparse, owner; /* whether zeros become holes; whether an owner that can't be set is a fault */
    struct faults faults;
    uint64_t files_done, bytes_done, unowned;
};

static void add_fault(struct faults *faults, struct fault fault)
{
    if (faults->count == faults->room) {
        size_t room = faults->room != 0 ? 2 * faults->room : 16;
        struct fault *more = realloc(faults->held, room * sizeof *more);
        if (more == NULL) {
            faults->lost = true;
            return;
        }
        faults->held = more;
        faults->room = room;
    }
    faults->held[faults->count++] = fault;
}

static PyObject *give_faults(struct faults *faults)
{
    PyObject *list = faults->lost ? PyErr_NoMemory() : PyList_New(0);
    for (size_t i = 0; list != NULL && i < faults->count; i++) {
        struct fault *fault = &faults->held[i];
        PyObject *item = Py_BuildValue("(Iiis)", fault->number, (int)fault->piece, fault->error, fault->what);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    free(faults->held);
    return list;
}

static void lose(struct run *run, struct fault fault)
{
    __atomic_fetch_or(&run->files[fault.number].flags, FLAG_FAILED, __ATOMIC_RELAXED);
    add_fault(&run->faults, fault);
}

static void fail(struct run *run, uint32_t number, int error, const char *what)
{
    lose(run, (struct fault){number, NO_PIECE, error, what});
}

static bool failed(const struct file *file)
{
    return (__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & FLAG_FAILED) != 0;
}

static const char *name_of(const struct run *run, const struct file *file)
{
    return run->names + file->name;
}

/* A new, empty, private file; what is in the way is removed, never written through, a folder only when it is empty. -1 and errno when it can't be made. */
static int create(const struct run *run, const struct file *file)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
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

static void make_whole(struct run *run, uint32_t number, const uint8_t *plain, size_t size)
{
    struct file *file = &run->files[number];
    const char *what = NULL;
    int handle = create(run, file);
    if (handle < 0) {
        fail(run, number, errno, "it can't be made");
        return;
    }
    if (!put(run, handle, plain, size, 0) || (run->sparse && ends_hollow(plain, size) && ftruncate(handle, (off_t)size) < 0))
        what = "it can't be written";
    else if (file->flags & FLAG_PLAIN)
        what = finish(run, handle, file);
    else if (!remember(handle, file))
        what = "it can't be made";
    if (what != NULL)
        fail(run, number, errno, what);
    if (close(handle) < 0 && what == NULL)
        fail(run, number, errno, "it can't be written");
    else if (what == NULL) {
        run->files_done += (file->flags & FLAG_PLAIN) != 0;
        run->bytes_done += size;
    }
}

static void put_piece(struct run *run, const struct place *place, const uint8_t *plain, size_t size)
{
    int handle = reopen(run, &run->files[place->file]);
    if (handle < 0) {
        fail(run, place->file, errno, "it can't be opened again");
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
        fail(run, place->file, error, "it can't be written");
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
        if (failed(&run->files[place->file]))
            continue;
        if (why != NULL)
            lose(run, (struct fault){place->file, number, 0, why});
        else if (place->whole)
            make_whole(run, place->file, plain, size);
        else
            put_piece(run, place, plain, size);
    }
}

static bool good_pieces(const struct piece *pieces, size_t count, size_t data, size_t places)
{
    for (size_t i = 0; i < count; i++)
        if (pieces[i].offset > data || pieces[i].length > data - pieces[i].offset || pieces[i].place > places ||
            pieces[i].places > places - pieces[i].place)
            return false;
    return true;
}

/* One component that stays in its folder: Python refuses others with a better message, nothing here relies on that. */
static bool is_plain(const char *name)
{
    return name[0] != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strchr(name, '/') == NULL;
}

static bool good_files(const struct run *run)
{
    if (run->names_size == 0 || run->names[run->names_size - 1] != 0)
        return run->file_count == 0;
    for (size_t i = 0; i < run->file_count; i++)
        if (run->files[i].name >= run->names_size || !is_plain(run->names + run->files[i].name))
            return false;
    return true;
}

static bool set_run(struct run *run, const Py_buffer *files, const Py_buffer *names)
{
    run->files = files->buf;
    run->file_count = (size_t)files->len / sizeof(struct file);
    run->names = names->buf;
    run->names_size = (size_t)names->len;
    return files->len % sizeof(struct file) == 0 && (uintptr_t)files->buf % _Alignof(struct file) == 0 && good_files(run);
}

static PyObject *bad_table(void)
{
    PyErr_SetString(PyExc_ValueError, "a table has rows of another size, or points out of its range");
    return NULL;
}

static PyObject *report(struct run *run, bool good)
{
    if (!good) {
        free(run->faults.held);
        return bad_table();
    }
    PyObject *faults = give_faults(&run->faults);
    if (faults == NULL)
        return NULL;
    return Py_BuildValue("(NKKK)", faults, run->files_done, run->bytes_done, run->unowned);
}

PyObject *files_fill(PyObject *self, PyObject *arguments)
{
    PyObject *key_object;
    Py_buffer data, pieces, places, files, names;
    int sparse, owner;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "O!y*y*y*w*y*pp:files_fill", key_type, &key_object, &data, &pieces, &places, &files,
                          &names, &sparse, &owner))
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
    if (codec != NULL) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < piece_count; i++)
            fill_piece(&run, codec, data.buf, (const struct piece *)pieces.buf + i, (uint32_t)i, place);
        Py_END_ALLOW_THREADS
        give_codec(key, codec);
    }
    run.faults.lost |= good && codec == NULL;
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
        fail(run, number, errno, "it can't be made");
        return;
    }
    if (!remember(handle, file) || (file->size > 0 && ftruncate(handle, file->size) < 0))
        what = "it can't be made";
    else if (file->size == 0 && (file->flags & FLAG_PLAIN))
        what = finish(run, handle, file);
    if (what != NULL)
        fail(run, number, errno, what);
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
        fail(run, number, errno, what);
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
            if (!failed(&run.files[row[i]]))
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
    static const char differs[] = "verification failed: it does not hold what the snapshot does";
    const struct file *file = &run->files[span->file];
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    int handle = openat(file->folder, name_of(run, file), flags | O_NOATIME);
    if (handle < 0 && errno == EPERM)
        handle = openat(file->folder, name_of(run, file), flags);
    if (handle < 0) {
        fail(run, span->file, errno, "it can't be read back");
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
        fail(run, span->file, result < 0 ? errno : 0, result < 0 ? "it can't be read back" : differs);
    else {
        run->files_done++;
        run->bytes_done += (uint64_t)file->size;
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
            if (!failed(&run.files[span[i].file]))
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
