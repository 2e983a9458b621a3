/* What the C files about restored files share.
 *
 * Tables come from Python as arrays of the structs below (`gathered.py` and `plan.py` have the same layouts); every number in
 * them is checked before it is used. Faults are gathered and returned, they end nothing but their file.
 */

#ifndef HOLDFAST_FILES_H
#define HOLDFAST_FILES_H

#include "holdfast.h"

#define WINDOW (256u << 10) /* what is read back at once */

#define FLAG_PLAIN 1u  /* everything but owner, mode and times is absent: the file can be finished natively */
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
    uint8_t *window;    /* to read files back that one blob fills, or NULL */
    struct faults faults;
    uint64_t files_done, bytes_done, unowned, files_verified, bytes_verified;
};

/* batch.c: tables and faults. */

void add_fault(struct faults *faults, struct fault fault);
PyObject *give_faults(struct faults *faults); /* as a list of (number, piece, errno, what); frees them */
void lose(struct run *run, struct fault fault); /* the file has failed */
void fail_file(struct run *run, uint32_t number, int error, const char *what);
bool has_failed(const struct file *file);
/* Whether the tables are good to be used: rows of the right size, names that stay in their folders. */
bool set_run(struct run *run, const Py_buffer *files, const Py_buffer *names);
bool good_pieces(const struct piece *pieces, size_t count, size_t data, size_t places);
PyObject *bad_table(void); /* sets ValueError; NULL */
/* (faults, files done, their bytes, files without their owner, files verified, their bytes); ValueError for bad tables. */
PyObject *report(struct run *run, bool good);

static inline const char *name_of(const struct run *run, const struct file *file)
{
    return run->names + file->name;
}

/* One component that stays in its folder. */
static inline bool is_component(const char *name, size_t size)
{
    if (size == 0 || (size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.'))
        return false;
    return memchr(name, '/', size) == NULL && memchr(name, '\0', size) == NULL;
}

extern const char differs[];

#endif
