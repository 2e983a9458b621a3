/* Looking at a folder of the source, comparing it with the parent's, and reading its small files. None of it needs Python. */

#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_REGULAR (-1) /* in place of an errno: what was opened is no regular file */
#define OPEN_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

/* Reports. */

void start_report(const struct folder *folder, struct report *report)
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

/* Entries and their nodes. */

bool keep_text(struct folder *folder, char *data)
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
    if (!keep_text(folder, text)) {
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

bool full_path(const struct folder *folder, const struct entry *entry, char *path)
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

bool new_entry(struct folder *folder, const char *name, const struct stat *stat)
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

static int by_name(const void *a, const void *b)
{
    const struct entry *one = a, *two = b;
    return compare_names(one->name, one->name_size, two->name, two->name_size);
}

int scan_folder(struct folder *folder, uint32_t *vanished)
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

/* Matching. */

static bool same_time(const struct text *written, const struct timespec *now, struct clock *clock)
{
    char data[64];
    struct string text = {data, 0, sizeof data, false};
    int64_t second;
    uint32_t nanosecond;
    add_time(&text, clock, now->tv_sec, (uint32_t)now->tv_nsec);
    if (text.size == written->size && memcmp(data, written->start, text.size) == 0)
        return true;
    return written->start != NULL && read_time(written->start, written->size, &second, &nanosecond) && second == now->tv_sec &&
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

void match_all(struct folder *folder, const struct match *match, const struct old_tree *tree, struct report *report)
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

void read_files(struct folder *folder, uint32_t first, uint32_t last, struct writer *writer, struct codec *codec,
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
