/* The tables of a restore and its faults: checked before they are used, gathered and handed back. */

#include "files.h"

#include <stdlib.h>
#include <string.h>

void add_fault(struct faults *faults, struct fault fault)
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

PyObject *give_faults(struct faults *faults)
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

void lose(struct run *run, struct fault fault)
{
    __atomic_fetch_or(&run->files[fault.number].flags, FLAG_FAILED, __ATOMIC_RELAXED);
    add_fault(&run->faults, fault);
}

void fail_file(struct run *run, uint32_t number, int error, const char *what)
{
    lose(run, (struct fault){number, NO_PIECE, error, what});
}

bool has_failed(const struct file *file)
{
    return (__atomic_load_n(&file->flags, __ATOMIC_RELAXED) & FLAG_FAILED) != 0;
}

bool good_pieces(const struct piece *pieces, size_t count, size_t data, size_t places)
{
    for (size_t i = 0; i < count; i++)
        if (pieces[i].offset > data || pieces[i].length > data - pieces[i].offset || pieces[i].place > places ||
            pieces[i].places > places - pieces[i].place)
            return false;
    return true;
}

static bool good_files(const struct run *run)
{
    if (run->names_size == 0 || run->names[run->names_size - 1] != 0)
        return run->file_count == 0;
    for (size_t i = 0; i < run->file_count; i++)
        if (run->files[i].name >= run->names_size ||
            !is_component(run->names + run->files[i].name, strlen(run->names + run->files[i].name)))
            return false;
    return true;
}

bool set_run(struct run *run, const Py_buffer *files, const Py_buffer *names)
{
    run->files = files->buf;
    run->file_count = (size_t)files->len / sizeof(struct file);
    run->names = names->buf;
    run->names_size = (size_t)names->len;
    return files->len % sizeof(struct file) == 0 && (uintptr_t)files->buf % _Alignof(struct file) == 0 && good_files(run);
}

PyObject *bad_table(void)
{
    PyErr_SetString(PyExc_ValueError, "a table has rows of another size, or points out of its range");
    return NULL;
}

PyObject *report(struct run *run, bool good)
{
    if (!good) {
        free(run->faults.held);
        return bad_table();
    }
    PyObject *faults = give_faults(&run->faults);
    if (faults == NULL)
        return NULL;
    return Py_BuildValue("(NKKKKK)", faults, run->files_done, run->bytes_done, run->unowned, run->files_verified,
                         run->bytes_verified);
}
