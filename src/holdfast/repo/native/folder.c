/* One folder of the source, from its listing to its tree: the type `Folder`.
 *
 * `scan` lists and looks at every entry, `match` compares with the parent's tree and writes the nodes of what needs no reading,
 * `read` reads, stores and describes a range of small files, and `finish` makes the tree. Each is one call without the
 * interpreter lock. `read` may run for several ranges at once; the others are for one thread. Large files are left to the
 * caller, who knows how to stream them, and hands in their nodes.
 */

#include "holdfast.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_REGULAR (-1) /* in place of an errno: what was opened is no regular file */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

enum state {
    OUT,    /* not part of the tree: excluded, vanished, or it can't be read */
    READY,  /* its node is written */
    SMALL,  /* to be read by `read` */
    LARGE,  /* to be read by the caller */
    FOLDER, /* its tree is not known yet */
};

struct entry {
    char *name;
    uint16_t name_size;
    uint8_t state;
    bool known; /* the parent has a file, or folder, of this name */
    bool fresh; /* its node lies in the report of the call under way, at `node_at` */
    struct stat stat;
    char *node; /* READY: the node; FOLDER: its attributes */
    size_t node_at, node_size;
    uint8_t subtree[ID_BYTES];
    bool has_subtree; /* FOLDER: the parent's tree of it */
};

struct fault {
    uint32_t entry;
    int error;
    char *attribute; /* NULL: the entry itself; empty: the list of its attributes */
    struct fault *next;
};

struct block { /* texts that live as long as the folder */
    struct block *next;
    char *data;
};

struct folder {
    char *path;
    size_t path_size;
    bool utc;
    struct entry *entries;
    uint32_t count, room;
    struct block *blocks;
    PyObject *old; /* the parent's tree, a bytes object, or NULL */
    pthread_mutex_t mutex;
};

struct folder_object {
    PyObject_HEAD
    struct folder folder;
};

/* What one call found out; turned into Python's terms once the interpreter lock is held again. */
struct report {
    const char *why; /* the reason why the whole call failed */
    uint32_t files, changed, vanished;
    uint64_t bytes;
    struct fault *faults, **last;
    struct string nodes;
    struct clock clock;
};

static PyTypeObject *folder_type;

static struct folder *folder_of(PyObject *object)
{
    return &((struct folder_object *)object)->folder;
}

/* Reports. */

static void start_report(const struct folder *folder, struct report *report)
{
    memset(report, 0, sizeof *report);
    report->clock.utc = folder->utc;
    report->last = &report->faults;
}

static void add_fault(struct report *report, uint32_t entry, int error, const char *attribute)
{
    struct fault *fault = calloc(1, sizeof *fault);
    if (fault != NULL && attribute != NULL)
        fault->attribute = strdup(attribute);
    if (fault == NULL || (attribute != NULL && fault->attribute == NULL)) {
        free(fault);
        report->why = no_memory;
        return;
    }
    fault->entry = entry;
    fault->error = error;
    *report->last = fault;
    report->last = &fault->next;
}

static PyObject *fault_list(const struct folder *folder, struct report *report)
{
    PyObject *list = PyList_New(0);
    for (struct fault *fault = report->faults, *next; fault != NULL; fault = next) {
        next = fault->next;
        const struct entry *entry = &folder->entries[fault->entry];
        PyObject *item = list == NULL ? NULL
                                      : Py_BuildValue("(y#iz)", entry->name, (Py_ssize_t)entry->name_size, fault->error,
                                                      fault->attribute);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        free(fault->attribute);
        free(fault);
    }
    report->faults = NULL;
    return list;
}

/* (files, bytes, changed, vanished, faults), or NULL with an error set. */
static PyObject *report_tuple(const struct folder *folder, struct report *report)
{
    PyObject *faults = fault_list(folder, report);
    if (report->why != NULL) {
        Py_XDECREF(faults);
        return writer_error(report->why);
    }
    if (faults == NULL)
        return NULL;
    return Py_BuildValue("(IKIIN)", report->files, (unsigned long long)report->bytes, report->changed, report->vanished,
                         faults);
}

/* Entries and their nodes. */

static bool keep(struct folder *folder, char *data)
{
    struct block *block = malloc(sizeof *block);
    if (block == NULL)
        return false;
    block->data = data;
    pthread_mutex_lock(&folder->mutex);
    block->next = folder->blocks;
    folder->blocks = block;
    pthread_mutex_unlock(&folder->mutex);
    return true;
}

/* Nodes are written one behind the other into one text; entries point into it once it moves no more. */
static void begin_node(struct entry *entry, const struct report *report)
{
    entry->node_at = report->nodes.size;
    entry->fresh = true;
}

static void end_node(struct entry *entry, const struct report *report, enum state state)
{
    entry->node_size = report->nodes.size - entry->node_at;
    entry->state = (uint8_t)state;
}

static void fix_nodes(struct folder *folder, struct report *report, uint32_t first, uint32_t last)
{
    char *text = report->nodes.data;
    if (report->nodes.failed)
        report->why = no_memory;
    if (text == NULL)
        return;
    char *less = realloc(text, report->nodes.size + 1);
    text = less != NULL ? less : text;
    if (!keep(folder, text)) {
        free(text);
        report->why = no_memory;
        return;
    }
    for (uint32_t i = first; i < last; i++) {
        struct entry *entry = &folder->entries[i];
        if (entry->fresh)
            entry->node = text + entry->node_at;
        entry->fresh = false;
    }
}

static bool full_path(const struct folder *folder, const struct entry *entry, char *path)
{
    if (folder->path_size + 1 + entry->name_size >= PATH_MAX)
        return false;
    memcpy(path, folder->path, folder->path_size);
    path[folder->path_size] = '/';
    memcpy(path + folder->path_size + 1, entry->name, (size_t)entry->name_size + 1);
    return true;
}

static void note_attribute(struct report *report, uint32_t number, const struct attribute_fault *fault)
{
    if (fault->error != 0)
        add_fault(report, number, fault->error, fault->name);
}

static void add_file_node(struct report *report, struct entry *entry, const struct stat *stat,
                          uint64_t size, const struct string *attributes, const char *content, size_t content_size)
{
    struct string *nodes = &report->nodes;
    begin_node(entry, report);
    add_head(nodes, entry->name, entry->name_size, stat, &report->clock);
    if (size != 0) {
        add_word(nodes, ",\"size\":");
        add_number(nodes, size);
    }
    add_word(nodes, ",\"links\":");
    add_number(nodes, stat->st_nlink);
    add_bytes(nodes, attributes->data, attributes->size);
    add_word(nodes, ",\"content\":");
    add_bytes(nodes, content, content_size);
    add_word(nodes, "}");
    end_node(entry, report, READY);
}

/* Open without following a link, leaving the access time alone where we may. */
static int open_source(const char *path, int flags)
{
    int handle = open(path, OPEN_FLAGS | O_NOATIME | flags);
    return handle < 0 && (errno == EPERM || errno == EACCES) ? open(path, OPEN_FLAGS | flags) : handle;
}

/* Listing. */

static bool new_entry(struct folder *folder, const char *name, const struct stat *stat)
{
    size_t size = strlen(name);
    if (folder->count == folder->room) {
        uint32_t room = folder->room * 2 + 16;
        struct entry *entries = realloc(folder->entries, room * sizeof *entries);
        if (entries == NULL)
            return false;
        folder->entries = entries;
        folder->room = room;
    }
    char *copy = malloc(size + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, name, size + 1);
    struct entry *entry = &folder->entries[folder->count++];
    memset(entry, 0, sizeof *entry);
    entry->name = copy;
    entry->name_size = (uint16_t)size;
    entry->stat = *stat;
    entry->state = S_ISDIR(stat->st_mode) ? FOLDER : S_ISREG(stat->st_mode) && stat->st_size >= CHUNK_LEAST ? LARGE : SMALL;
    return true;
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : a_size < b_size ? -1 : a_size > b_size;
}

static int by_name(const void *a, const void *b)
{
    const struct entry *one = a, *two = b;
    return compare_names(one->name, one->name_size, two->name, two->name_size);
}

/* 0, or the errno of what kept the folder from being listed. */
static int scan(struct folder *folder, uint32_t *vanished)
{
    int error = 0, handle = open_source(folder->path_size == 0 ? "/" : folder->path, O_DIRECTORY);
    if (handle < 0)
        return errno;
    DIR *listing = fdopendir(handle);
    if (listing == NULL) {
        error = errno;
        close(handle);
        return error;
    }
    for (;;) {
        struct stat stat;
        errno = 0;
        struct dirent *found = readdir(listing);
        if (found == NULL) {
            error = errno;
            break;
        }
        const char *name = found->d_name;
        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
            continue;
        if (found->d_type == DT_SOCK)
            continue;
        if (fstatat(handle, name, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
            if (errno == ENOENT) {
                ++*vanished;
                continue;
            }
            error = errno;
            break;
        }
        if (!S_ISSOCK(stat.st_mode) && !new_entry(folder, name, &stat)) {
            error = ENOMEM;
            break;
        }
    }
    closedir(listing);
    if (folder->count > 1)
        qsort(folder->entries, folder->count, sizeof *folder->entries, by_name);
    return error;
}

/* The parent's tree. */

struct old_node {
    char *name;
    size_t name_size;
    struct text type, mtime, ctime, content, subtree;
    uint64_t inode, size;
};

struct old_tree {
    struct old_node *nodes;
    size_t count, room;
    struct block *names;
};

static bool take_name(struct old_tree *tree, struct old_node *node, const struct text *text)
{
    node->name = (char *)text->start;
    node->name_size = text->size;
    if (!text->escaped)
        return true;
    struct block *block = malloc(sizeof *block);
    char *name = malloc(text->size + 1);
    if (block == NULL || name == NULL) {
        free(block);
        free(name);
        return false;
    }
    *block = (struct block){tree->names, name};
    tree->names = block;
    ptrdiff_t size = json_unescape(text, name);
    size = size < 0 ? size : unquote_name(name, (size_t)size);
    node->name = name;
    node->name_size = size < 0 ? 0 : (size_t)size;
    return size >= 0;
}

static bool raw_value(struct json *json, struct text *text)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n'))
        json->at++;
    text->start = json->at;
    if (!json_skip(json))
        return false;
    text->size = (size_t)(json->at - text->start);
    return true;
}

static bool is_null(const struct json *json)
{
    return json->end - json->at >= 4 && memcmp(json->at, "null", 4) == 0;
}

static bool read_old_node(struct json *json, struct old_tree *tree, struct old_node *node)
{
    bool first = true, more, named = false;
    struct text key, text;
    memset(node, 0, sizeof *node);
    if (!json_eat(json, '{'))
        return false;
    while (json_next_key(json, &first, &more, &key)) {
        bool good;
        if (!more)
            return named;
        if (text_is(&key, "name"))
            good = named = json_string(json, &text) && take_name(tree, node, &text);
        else if (text_is(&key, "type"))
            good = json_string(json, &node->type);
        else if (text_is(&key, "mtime"))
            good = json_string(json, &node->mtime);
        else if (text_is(&key, "ctime"))
            good = json_string(json, &node->ctime);
        else if (text_is(&key, "inode"))
            good = json_number(json, &node->inode);
        else if (text_is(&key, "size"))
            good = json_number(json, &node->size);
        else if (text_is(&key, "content"))
            good = raw_value(json, &node->content);
        else if (text_is(&key, "subtree") && !is_null(json))
            good = json_string(json, &node->subtree);
        else
            good = json_skip(json);
        if (!good)
            return false;
    }
    return false;
}

static int old_by_name(const void *a, const void *b)
{
    const struct old_node *one = a, *two = b;
    return compare_names(one->name, one->name_size, two->name, two->name_size);
}

static bool read_old_nodes(struct json *json, struct old_tree *tree)
{
    bool first = true, more, sorted = true;
    if (is_null(json))
        return json_skip(json);
    if (!json_eat(json, '['))
        return false;
    while (json_next_item(json, &first, &more)) {
        if (!more) {
            if (!sorted)
                qsort(tree->nodes, tree->count, sizeof *tree->nodes, old_by_name);
            return true;
        }
        if (tree->count == tree->room) {
            size_t room = tree->room * 2 + 64;
            struct old_node *nodes = realloc(tree->nodes, room * sizeof *nodes);
            if (nodes == NULL)
                return false;
            tree->nodes = nodes;
            tree->room = room;
        }
        struct old_node *node = &tree->nodes[tree->count];
        if (!read_old_node(json, tree, node))
            return false;
        sorted = sorted && (tree->count == 0 || old_by_name(node - 1, node) < 0);
        tree->count++;
    }
    return false;
}

static bool read_old_tree(struct json json, struct old_tree *tree)
{
    bool first = true, more;
    struct text key;
    if (!json_eat(&json, '{'))
        return false;
    while (json_next_key(&json, &first, &more, &key)) {
        if (!more)
            return true;
        if (text_is(&key, "nodes") ? !read_old_nodes(&json, tree) : !json_skip(&json))
            return false;
    }
    return false;
}

static void free_old_tree(struct old_tree *tree)
{
    free(tree->nodes);
    for (struct block *block = tree->names, *next; block != NULL; block = next) {
        next = block->next;
        free(block->data);
        free(block);
    }
}

/* Matching. */

struct match {
    struct index *index;
    bool ignore_ctime, ignore_inode;
};

static bool same_time(const struct text *written, const struct timespec *now, struct clock *clock)
{
    char data[64];
    struct string text = {data, 0, sizeof data, false};
    int64_t second;
    uint32_t nanosecond;
    add_time(&text, clock, now->tv_sec, (uint32_t)now->tv_nsec);
    if (text.size == written->size && memcmp(data, written->start, text.size) == 0)
        return true;
    return written->start != NULL && parse_time(written, &second, &nanosecond) && second == now->tv_sec &&
           nanosecond == (uint32_t)now->tv_nsec;
}

/* Whether the index has every blob of a file, and a file that is not empty has any. */
static bool has_content(struct index *index, const struct text *content, uint64_t size)
{
    struct json json = {content->start, content->start + content->size};
    struct text text;
    uint8_t id[ID_BYTES];
    bool first = true, more;
    if (content->size == 0 || is_null(&json))
        return size == 0;
    if (!json_eat(&json, '['))
        return false;
    while (json_next_item(&json, &first, &more)) {
        if (!more)
            return size == 0 || !first;
        if (!json_string(&json, &text) || !parse_id(&text, id) || !index_find(index, id, NULL))
            return false;
    }
    return false;
}

static bool unchanged(const struct match *match, const struct entry *entry, const struct old_node *old,
                      struct clock *clock)
{
    const struct stat *stat = &entry->stat;
    if (!text_is(&old->type, "file") || old->size != (uint64_t)stat->st_size)
        return false;
    if (!match->ignore_inode && old->inode != stat->st_ino)
        return false;
    if (!same_time(&old->mtime, &stat->st_mtim, clock))
        return false;
    if (!match->ignore_ctime && !same_time(&old->ctime, &stat->st_ctim, clock))
        return false;
    return has_content(match->index, &old->content, old->size);
}

static void match_file(struct folder *folder, uint32_t number, const struct match *match, const struct old_node *old,
                       const char *path, struct report *report)
{
    struct entry *entry = &folder->entries[number];
    struct string attributes = {0};
    struct attribute_fault fault;
    const struct text *content = &old->content;
    if (!unchanged(match, entry, old, &report->clock))
        return;
    add_attributes(&attributes, -1, path, &fault);
    note_attribute(report, number, &fault);
    add_file_node(report, entry, &entry->stat, (uint64_t)entry->stat.st_size, &attributes,
                  content->size != 0 ? content->start : "null", content->size != 0 ? content->size : 4);
    report->nodes.failed |= attributes.failed;
    free(attributes.data);
    report->files++;
    report->bytes += (uint64_t)entry->stat.st_size;
}

static void describe_other(struct folder *folder, uint32_t number, const char *path, struct report *report)
{
    struct entry *entry = &folder->entries[number];
    const struct stat *stat = &entry->stat;
    struct string *nodes = &report->nodes;
    struct attribute_fault fault;
    char target[PATH_MAX];
    ssize_t target_size = 0;
    mode_t kind = stat->st_mode & S_IFMT;
    if (kind == S_IFLNK && (target_size = readlink(path, target, sizeof target)) < 0) {
        add_fault(report, number, errno, NULL);
        entry->state = OUT;
        return;
    }
    begin_node(entry, report);
    add_head(nodes, entry->name, entry->name_size, stat, &report->clock);
    if (kind != S_IFIFO) {
        add_word(nodes, ",\"links\":");
        add_number(nodes, stat->st_nlink);
    }
    if (kind == S_IFLNK)
        add_link_target(nodes, target, (size_t)target_size);
    add_attributes(nodes, -1, path, &fault);
    note_attribute(report, number, &fault);
    if ((kind == S_IFBLK || kind == S_IFCHR) && stat->st_rdev != 0) {
        add_word(nodes, ",\"device\":");
        add_number(nodes, stat->st_rdev);
    }
    add_word(nodes, ",\"content\":null}");
    end_node(entry, report, READY);
}

static void match_folder(struct entry *entry, uint32_t number, const struct old_node *old, const char *path,
                         struct report *report)
{
    struct attribute_fault fault;
    begin_node(entry, report);
    add_attributes(&report->nodes, -1, path, &fault);
    note_attribute(report, number, &fault);
    end_node(entry, report, FOLDER);
    entry->known = old != NULL;
    entry->has_subtree = old != NULL && parse_id(&old->subtree, entry->subtree);
}

static void match_all(struct folder *folder, const struct match *match, const struct old_tree *tree, struct report *report)
{
    char path[PATH_MAX];
    size_t at = 0;
    for (uint32_t number = 0; number < folder->count && report->why == NULL; number++) {
        struct entry *entry = &folder->entries[number];
        const struct old_node *old = NULL;
        int order = 1;
        if (entry->state == OUT)
            continue;
        while (at < tree->count &&
               (order = compare_names(tree->nodes[at].name, tree->nodes[at].name_size, entry->name, entry->name_size)) < 0)
            at++;
        if (at < tree->count && order == 0)
            old = &tree->nodes[at];
        if (!full_path(folder, entry, path)) {
            add_fault(report, number, ENAMETOOLONG, NULL);
            entry->state = OUT;
        } else if (entry->state == FOLDER) {
            match_folder(entry, number, old, path, report);
        } else if (!S_ISREG(entry->stat.st_mode)) {
            describe_other(folder, number, path, report);
        } else if (old != NULL) {
            entry->known = true;
            match_file(folder, number, match, old, path, report);
        }
    }
    fix_nodes(folder, report, 0, folder->count);
}

/* Reading small files. */

/* All of a file of less than CHUNK_LEAST bytes; one that is longer shows by `*size` being that much. Returns an errno. */
static int read_small(int handle, struct codec *codec, size_t expected, size_t *size)
{
    size_t got = 0, wanted = expected + 1;
    for (;;) {
        if (wanted > CHUNK_LEAST)
            wanted = CHUNK_LEAST;
        if (wanted > codec->file_room) {
            uint8_t *more = realloc(codec->file, wanted);
            if (more == NULL)
                return ENOMEM;
            codec->file = more;
            codec->file_room = wanted;
        }
        ssize_t piece = read(handle, codec->file + got, wanted - got);
        if (piece < 0 && errno == EINTR)
            continue;
        if (piece < 0)
            return errno;
        got += (size_t)piece;
        if (piece == 0 || got == CHUNK_LEAST)
            break;
        if (got == wanted)
            wanted = CHUNK_LEAST;
    }
    *size = got;
    return 0;
}

/* Read one open file into the writer. Returns an errno; a file that has grown too large becomes LARGE. */
static int store_small(struct folder *folder, uint32_t number, int handle, struct writer *writer, struct codec *codec,
                       struct report *report)
{
    struct entry *entry = &folder->entries[number];
    struct string attributes = {0};
    struct attribute_fault fault;
    struct stat stat;
    char content[2 * ID_BYTES + 4] = "[\"";
    uint8_t id[ID_BYTES];
    size_t size = CHUNK_LEAST;
    if (fstat(handle, &stat) != 0)
        return errno;
    if (!S_ISREG(stat.st_mode))
        return NOT_REGULAR;
    int error = stat.st_size < CHUNK_LEAST ? read_small(handle, codec, (size_t)stat.st_size, &size) : 0;
    if (error != 0)
        return error;
    if (size >= CHUNK_LEAST) {
        entry->state = LARGE;
        return 0;
    }
    if (size > 0) {
        report->why = save_blob(writer, codec, false, codec->file, size, id);
        if (report->why != NULL)
            return 0;
        write_hex(id, ID_BYTES, content + 2);
        memcpy(content + 2 + 2 * ID_BYTES, "\"]", 2);
    } else {
        content[1] = ']';
    }
    add_attributes(&attributes, handle, NULL, &fault);
    note_attribute(report, number, &fault);
    add_file_node(report, entry, &stat, size, &attributes, content, size > 0 ? sizeof content : 2);
    report->nodes.failed |= attributes.failed;
    free(attributes.data);
    report->files++;
    report->changed += entry->known;
    report->bytes += size;
    return 0;
}

static void read_files(struct folder *folder, uint32_t first, uint32_t last, struct writer *writer, struct codec *codec,
                       struct report *report)
{
    char path[PATH_MAX];
    for (uint32_t number = first; number < last && report->why == NULL; number++) {
        struct entry *entry = &folder->entries[number];
        if (entry->state != SMALL || !full_path(folder, entry, path))
            continue;
        int handle = open_source(path, 0);
        int error = handle < 0 ? errno : store_small(folder, number, handle, writer, codec, report);
        if (handle >= 0)
            close(handle);
        if (error == 0)
            continue;
        entry->state = OUT;
        if (error == ENOENT)
            report->vanished++;
        else
            add_fault(report, number, error == NOT_REGULAR ? 0 : error, NULL);
    }
    fix_nodes(folder, report, first, last);
}

/* The type. */

static PyObject *folder_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    const char *path;
    Py_ssize_t size;
    int utc;
    (void)names;
    if (!PyArg_ParseTuple(arguments, "y#p:Folder", &path, &size, &utc))
        return NULL;
    while (size > 0 && path[size - 1] == '/')
        size--;
    PyObject *self = PyType_GenericAlloc(type, 0);
    if (self == NULL)
        return NULL;
    struct folder *folder = folder_of(self);
    pthread_mutex_init(&folder->mutex, NULL);
    folder->utc = utc;
    folder->path = calloc(1, (size_t)size + 1);
    if (folder->path == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    memcpy(folder->path, path, (size_t)size);
    folder->path_size = (size_t)size;
    return self;
}

static void empty_folder(struct folder *folder)
{
    for (uint32_t number = 0; number < folder->count; number++)
        free(folder->entries[number].name);
    free(folder->entries);
    folder->entries = NULL;
    folder->count = folder->room = 0;
    for (struct block *block = folder->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block->data);
        free(block);
    }
    folder->blocks = NULL;
    Py_CLEAR(folder->old);
}

static void folder_dealloc(PyObject *object)
{
    struct folder *folder = folder_of(object);
    PyTypeObject *type = Py_TYPE(object);
    empty_folder(folder);
    free(folder->path);
    pthread_mutex_destroy(&folder->mutex);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyObject *folder_scan(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    uint32_t vanished = 0;
    int error;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    error = scan(folder, &vanished);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromUnsignedLong(vanished);
}

static PyObject *folder_look(PyObject *object, PyObject *argument)
{
    struct folder *folder = folder_of(object);
    struct entry entry = {0};
    char *name, path[PATH_MAX];
    Py_ssize_t size;
    struct stat stat;
    if (PyBytes_AsStringAndSize(argument, &name, &size) < 0)
        return NULL;
    entry.name = name;
    entry.name_size = (uint16_t)size;
    errno = ENAMETOOLONG;
    if (size > NAME_MAX || !full_path(folder, &entry, path) || lstat(path, &stat) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!S_ISSOCK(stat.st_mode) && !new_entry(folder, name, &stat))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *folder_entries(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state == OUT)
            continue;
        PyObject *item = Py_BuildValue("(Iy#IKK)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       (unsigned int)entry->stat.st_mode, (unsigned long long)entry->stat.st_size,
                                       (unsigned long long)entry->stat.st_dev);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static struct entry *entry_at(struct folder *folder, unsigned long number)
{
    if (number < folder->count)
        return &folder->entries[number];
    PyErr_SetString(PyExc_IndexError, "the folder has no such entry");
    return NULL;
}

static PyObject *folder_totals(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    unsigned long files = 0;
    unsigned long long bytes = 0;
    (void)unused;
    PyObject *names = PyList_New(0);
    for (uint32_t number = 0; names != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != OUT && S_ISREG(entry->stat.st_mode)) {
            files++;
            bytes += (unsigned long long)entry->stat.st_size;
        }
        if (entry->state != FOLDER)
            continue;
        PyObject *name = PyBytes_FromStringAndSize(entry->name, entry->name_size);
        if (name == NULL || PyList_Append(names, name) < 0)
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names == NULL ? NULL : Py_BuildValue("(kKN)", files, bytes, names);
}

static PyObject *folder_drop(PyObject *object, PyObject *argument)
{
    unsigned long number = PyLong_AsUnsignedLong(argument);
    struct entry *entry = PyErr_Occurred() ? NULL : entry_at(folder_of(object), number);
    if (entry == NULL)
        return NULL;
    entry->state = OUT;
    Py_RETURN_NONE;
}

static PyObject *folder_match(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    PyObject *index, *old;
    struct match match;
    int ignore_ctime, ignore_inode;
    struct report report;
    char *data = NULL;
    Py_ssize_t size = 0;
    if (!PyArg_ParseTuple(arguments, "O!Opp:match", index_type, &index, &old, &ignore_ctime, &ignore_inode))
        return NULL;
    if (old != Py_None && PyBytes_AsStringAndSize(old, &data, &size) < 0)
        return NULL;
    if (old != Py_None && folder->old == NULL) {
        folder->old = old;
        Py_INCREF(old);
    }
    match = (struct match){&((struct index_object *)index)->index, ignore_ctime, ignore_inode};
    start_report(folder, &report);
    Py_BEGIN_ALLOW_THREADS
    struct old_tree tree = {0};
    struct json json = {data, data + size};
    if (data != NULL && !read_old_tree(json, &tree))
        tree.count = 0;
    match_all(folder, &match, &tree, &report);
    free_old_tree(&tree);
    Py_END_ALLOW_THREADS
    return report_tuple(folder, &report);
}

static PyObject *folder_read(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    struct writer_object *writer;
    unsigned int first, last;
    struct report report;
    if (!PyArg_ParseTuple(arguments, "O!II:read", writer_type, &writer, &first, &last))
        return NULL;
    last = last < folder->count ? last : folder->count;
    start_report(folder, &report);
    Py_BEGIN_ALLOW_THREADS
    struct codec *codec = take_codec(writer->writer.key);
    if (codec == NULL) {
        report.why = no_memory;
    } else {
        read_files(folder, first, last, &writer->writer, codec, &report);
        give_codec(writer->writer.key, codec);
    }
    Py_END_ALLOW_THREADS
    return report_tuple(folder, &report);
}

static PyObject *folder_batches(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    unsigned int most_files, files = 0, first = 0;
    unsigned long long most_bytes, bytes = 0;
    if (!PyArg_ParseTuple(arguments, "IK:batches", &most_files, &most_bytes))
        return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state == SMALL) {
            files++;
            bytes += (unsigned long long)entry->stat.st_size;
        }
        bool last = number + 1 == folder->count;
        if (files == 0 || (!last && files < most_files && bytes < most_bytes))
            continue;
        PyObject *range = Py_BuildValue("(II)", first, number + 1);
        if (range == NULL || PyList_Append(list, range) < 0)
            Py_CLEAR(list);
        Py_XDECREF(range);
        first = number + 1;
        files = 0;
        bytes = 0;
    }
    return list;
}

static PyObject *folder_large(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != LARGE)
            continue;
        PyObject *item = Py_BuildValue("(Iy#O)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       entry->known ? Py_True : Py_False);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *folder_folders(PyObject *object, PyObject *unused)
{
    struct folder *folder = folder_of(object);
    (void)unused;
    PyObject *list = PyList_New(0);
    for (uint32_t number = 0; list != NULL && number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != FOLDER)
            continue;
        PyObject *item = Py_BuildValue("(Iy#y#)", number, entry->name, (Py_ssize_t)entry->name_size,
                                       entry->has_subtree ? (const char *)entry->subtree : "",
                                       (Py_ssize_t)(entry->has_subtree ? ID_BYTES : 0));
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* Put a finished node in place of what the entry has; takes `data` over. */
static PyObject *set_node(struct folder *folder, struct entry *entry, char *data, size_t size)
{
    if (data == NULL || !keep(folder, data)) {
        free(data);
        return PyErr_NoMemory();
    }
    entry->node = data;
    entry->node_size = size;
    entry->state = READY;
    Py_RETURN_NONE;
}

static PyObject *folder_set_node(PyObject *object, PyObject *arguments)
{
    unsigned int number;
    const char *node;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "Iy#:set_node", &number, &node, &size))
        return NULL;
    struct entry *entry = entry_at(folder_of(object), number);
    if (entry == NULL)
        return NULL;
    char *copy = malloc((size_t)size + 1);
    if (copy != NULL)
        memcpy(copy, node, (size_t)size);
    return set_node(folder_of(object), entry, copy, (size_t)size);
}

static PyObject *folder_set_subtree(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    unsigned int number;
    const char *id;
    Py_ssize_t size;
    struct string node = {0};
    struct clock clock = {.utc = folder->utc};
    if (!PyArg_ParseTuple(arguments, "Iy#:set_subtree", &number, &id, &size))
        return NULL;
    struct entry *entry = entry_at(folder, number);
    if (entry == NULL)
        return NULL;
    if (size != ID_BYTES || entry->state != FOLDER)
        return writer_error("a folder gets its tree once, by an id of 32 bytes");
    add_head(&node, entry->name, entry->name_size, &entry->stat, &clock);
    add_bytes(&node, entry->node, entry->node_size);
    add_word(&node, ",\"content\":null,\"subtree\":\"");
    add_hex(&node, (const uint8_t *)id, ID_BYTES);
    add_word(&node, "\"}");
    if (node.failed) {
        free(node.data);
        return PyErr_NoMemory();
    }
    return set_node(folder, entry, node.data, node.size);
}

static void encode_tree(const struct folder *folder, struct string *tree)
{
    bool first = true;
    add_word(tree, "{\"nodes\":[");
    for (uint32_t number = 0; number < folder->count; number++) {
        const struct entry *entry = &folder->entries[number];
        if (entry->state != READY)
            continue;
        if (!first)
            add_word(tree, ",");
        first = false;
        add_bytes(tree, entry->node, entry->node_size);
    }
    add_word(tree, "]}\n");
}

static bool is_old(const struct folder *folder, const struct string *tree)
{
    char *data;
    Py_ssize_t size;
    if (folder->old == NULL || PyBytes_AsStringAndSize(folder->old, &data, &size) < 0)
        return false;
    return (size_t)size == tree->size && memcmp(data, tree->data, tree->size) == 0;
}

static PyObject *folder_finish(PyObject *object, PyObject *arguments)
{
    struct folder *folder = folder_of(object);
    struct writer_object *writer;
    const char *old, *why = NULL;
    Py_ssize_t old_size;
    uint8_t id[ID_BYTES];
    struct string tree = {0};
    if (!PyArg_ParseTuple(arguments, "O!y#:finish", writer_type, &writer, &old, &old_size))
        return NULL;
    encode_tree(folder, &tree);
    if (old_size == ID_BYTES && !tree.failed && is_old(folder, &tree)) {
        memcpy(id, old, ID_BYTES);
    } else {
        Py_BEGIN_ALLOW_THREADS
        struct codec *codec = tree.failed ? NULL : take_codec(writer->writer.key);
        why = no_memory;
        if (codec != NULL) {
            why = save_blob(&writer->writer, codec, true, (const uint8_t *)tree.data, tree.size, id);
            give_codec(writer->writer.key, codec);
        }
        Py_END_ALLOW_THREADS
    }
    free(tree.data);
    empty_folder(folder);
    return why != NULL ? writer_error(why) : PyBytes_FromStringAndSize((const char *)id, ID_BYTES);
}

static PyObject *folder_count(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(folder_of(object)->count);
}

static PyMethodDef folder_methods[] = {
    {"scan", folder_scan, METH_NOARGS, "scan() -> how many entries vanished meanwhile. Raises OSError."},
    {"look", folder_look, METH_O, "look(name): add one entry instead of listing; by bytes order. Raises OSError."},
    {"entries", folder_entries, METH_NOARGS, "entries() -> list of (number, name, mode, size, device)."},
    {"totals", folder_totals, METH_NOARGS, "totals() -> (regular files, their bytes, names of folders)."},
    {"drop", folder_drop, METH_O, "drop(number): leave an entry out."},
    {"match", folder_match, METH_VARARGS,
     "match(index, old, ignore_ctime, ignore_inode) -> (files, bytes, 0, 0, faults): compare with the parent's tree\n"
     "(bytes or None). A fault is (name, errno, attribute): no attribute for the entry itself, '' for the list of them; an errno of 0\n"
     "for what is no regular file any more."},
    {"batches", folder_batches, METH_VARARGS, "batches(files, bytes) -> list of (first, last): ranges of files to read."},
    {"read", folder_read, METH_VARARGS,
     "read(writer, first, last) -> (files, bytes, changed, vanished, faults). Raises ValueError when the writer failed."},
    {"large", folder_large, METH_NOARGS, "large() -> list of (number, name, known) of the files that the caller has to read."},
    {"folders", folder_folders, METH_NOARGS, "folders() -> list of (number, name, the parent's tree or b'')."},
    {"set_node", folder_set_node, METH_VARARGS, "set_node(number, node): the node of a file that the caller has read."},
    {"set_subtree", folder_set_subtree, METH_VARARGS, "set_subtree(number, id): the tree of a folder."},
    {"finish", folder_finish, METH_VARARGS,
     "finish(writer, old) -> id: store the tree; `old` is the id of the parent's, or b''. The folder is empty after that."},
    {"count", folder_count, METH_NOARGS, "count() -> int: how many entries there are."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot folder_slots[] = {
    {Py_tp_doc, "Folder(path, utc): one folder of the source; path in bytes."},
    {Py_tp_new, folder_new},
    {Py_tp_dealloc, folder_dealloc},
    {Py_tp_methods, folder_methods},
    {0, NULL},
};

static PyType_Spec folder_spec = {"holdfast.repo._native.Folder", sizeof(struct folder_object), 0, Py_TPFLAGS_DEFAULT,
                                  folder_slots};

bool add_folder_type(PyObject *module)
{
    folder_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &folder_spec, NULL);
    return folder_type != NULL && PyModule_AddType(module, folder_type) == 0;
}
