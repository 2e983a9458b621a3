/* What a tree says about one entry of a folder: the same fields in the same order as tree.py, which says why. */

#include "holdfast.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define OWNERS 512
#define NAMES_FIRST 1024
#define VALUE_FIRST 512
#define RECORD_MOST (1 << 20)

/* Names of owners, by uid and gid: the system's answers are kept as long as the process lives, as the pure path does it. */

struct owner {
    uid_t uid;
    gid_t gid;
    struct string text;
};

static struct owner owners[OWNERS];
static pthread_mutex_t owners_mutex = PTHREAD_MUTEX_INITIALIZER;

/* What the system calls a user or a group, in `buffer`; NULL for one that it does not know. The result is errno's kind. */
static int look_up(bool group, uint32_t id, char *buffer, size_t size, const char **name)
{
    struct passwd user, *user_found = NULL;
    struct group its_group, *group_found = NULL;
    int error = group ? getgrgid_r(id, &its_group, buffer, size, &group_found) : getpwuid_r(id, &user, buffer, size, &user_found);
    *name = group_found != NULL ? group_found->gr_name : user_found != NULL ? user_found->pw_name : NULL;
    return error;
}

static void add_name_of(struct string *string, bool group, uint32_t id)
{
    const char *name = NULL;
    char *buffer = NULL;
    size_t size = 1024;
    int error;
    do {
        free(buffer);
        size *= 2;
        buffer = malloc(size);
        error = buffer == NULL ? ENOMEM : look_up(group, id, buffer, size, &name);
    } while (error == ERANGE && size < RECORD_MOST);
    if (error == 0 && name != NULL) {
        if (group)
            add_word(string, ",\"group\":\"");
        else
            add_word(string, ",\"user\":\"");
        add_json_text(string, name, strlen(name));
        add_word(string, "\"");
    }
    free(buffer);
}

static void add_owner(struct string *string, uid_t uid, gid_t gid)
{
    struct owner *owner = &owners[(uid * 31u + gid) % OWNERS];
    pthread_mutex_lock(&owners_mutex);
    if (owner->text.size == 0 || owner->text.failed || owner->uid != uid || owner->gid != gid) {
        owner->uid = uid;
        owner->gid = gid;
        owner->text.size = 0;
        owner->text.failed = false;
        add_word(&owner->text, ",\"uid\":");
        add_number(&owner->text, uid);
        add_word(&owner->text, ",\"gid\":");
        add_number(&owner->text, gid);
        add_name_of(&owner->text, false, uid);
        add_name_of(&owner->text, true, gid);
    }
    add_bytes(string, owner->text.data, owner->text.size);
    string->failed |= owner->text.failed;
    pthread_mutex_unlock(&owners_mutex);
}

/* The type's name, and the mode as the format writes it. */
static const char *type_of(mode_t mode, uint32_t *bits)
{
    *bits = mode & 0777;
    *bits |= mode & S_ISUID ? 1u << 23 : 0;
    *bits |= mode & S_ISGID ? 1u << 22 : 0;
    *bits |= mode & S_ISVTX ? 1u << 20 : 0;
    switch (mode & S_IFMT) {
    case S_IFDIR:
        *bits |= 1u << 31;
        return "dir";
    case S_IFLNK:
        *bits |= 1u << 27;
        return "symlink";
    case S_IFIFO:
        *bits |= 1u << 25;
        return "fifo";
    case S_IFSOCK:
        *bits |= 1u << 24;
        return "socket";
    case S_IFBLK:
        *bits |= 1u << 26;
        return "dev";
    case S_IFCHR:
        *bits |= 1u << 26 | 1u << 21;
        return "chardev";
    default:
        return "file";
    }
}

void add_head(struct string *string, const char *name, size_t name_size, const struct stat *stat, struct clock *clock)
{
    uint32_t bits;
    const char *type = type_of(stat->st_mode, &bits);
    add_word(string, "{\"name\":\"");
    add_json_name(string, name, name_size);
    add_word(string, "\",\"type\":\"");
    add_bytes(string, type, strlen(type));
    add_word(string, "\"");
    if (bits != 0) {
        add_word(string, ",\"mode\":");
        add_number(string, bits);
    }
    add_word(string, ",\"mtime\":\"");
    size_t start = string->size;
    add_time(string, clock, stat->st_mtim.tv_sec, (uint32_t)stat->st_mtim.tv_nsec);
    size_t size = string->size - start;
    add_word(string, "\",\"atime\":\"");
    char again[40];
    if (!string->failed && size <= sizeof again) {
        memcpy(again, string->data + start, size);
        add_bytes(string, again, size);
    }
    add_word(string, "\",\"ctime\":\"");
    add_time(string, clock, stat->st_ctim.tv_sec, (uint32_t)stat->st_ctim.tv_nsec);
    add_word(string, "\"");
    add_owner(string, stat->st_uid, stat->st_gid);
    add_word(string, ",\"inode\":");
    add_number(string, stat->st_ino);
    add_word(string, ",\"device_id\":");
    add_number(string, stat->st_dev);
}

void add_link_target(struct string *string, const char *target, size_t size)
{
    add_word(string, ",\"linktarget\":\"");
    add_json_text(string, target, size);
    add_word(string, "\"");
    if (!is_utf8(target, size)) {
        add_word(string, ",\"linktarget_raw\":\"");
        add_base64(string, (const uint8_t *)target, size);
        add_word(string, "\"");
    }
}

/* The file system has none, or what was there has gone meanwhile: no fault. */
static bool is_fault(int error)
{
    return error != ENOTSUP && error != ENOSYS && error != ENODATA && error != ENOENT;
}

static ssize_t list_names(int handle, const char *path, char *to, size_t room)
{
    return handle >= 0 ? flistxattr(handle, to, room) : llistxattr(path, to, room);
}

static ssize_t get_value(int handle, const char *path, const char *name, char *to, size_t room)
{
    return handle >= 0 ? fgetxattr(handle, name, to, room) : lgetxattr(path, name, to, room);
}

/* Names may change while they are read, so a buffer that is too small is made larger and filled again. */
static ssize_t read_grown(int handle, const char *path, const char *name, char **buffer, size_t *room)
{
    for (;;) {
        ssize_t size = name != NULL ? get_value(handle, path, name, *buffer, *room) : list_names(handle, path, *buffer, *room);
        if (size >= 0 || errno != ERANGE)
            return size;
        size = name != NULL ? get_value(handle, path, name, NULL, 0) : list_names(handle, path, NULL, 0);
        if (size < 0)
            return size;
        char *more = realloc(*buffer, (size_t)size + 64);
        if (more == NULL) {
            errno = ENOMEM;
            return -1;
        }
        *buffer = more;
        *room = (size_t)size + 64;
    }
}

static void note(struct attribute_fault *fault, int error, const char *name)
{
    if (!is_fault(error) || fault->error != 0)
        return;
    fault->error = error;
    strncpy(fault->name, name, sizeof fault->name - 1);
}

void add_attributes(struct string *string, int handle, const char *path, struct attribute_fault *fault)
{
    char first[NAMES_FIRST];
    memset(fault, 0, sizeof *fault);
    ssize_t size = list_names(handle, path, first, sizeof first);
    if (size == 0)
        return;
    if (size < 0 && errno != ERANGE) {
        note(fault, errno, "");
        return;
    }
    size_t names_room = NAMES_FIRST, value_room = VALUE_FIRST;
    char *names = malloc(names_room), *value = malloc(value_room);
    bool any = false;
    size = names == NULL || value == NULL ? -1 : read_grown(handle, path, NULL, &names, &names_room);
    if (size < 0)
        note(fault, names == NULL || value == NULL ? ENOMEM : errno, "");
    for (const char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        ssize_t length = read_grown(handle, path, name, &value, &value_room);
        if (length < 0) {
            note(fault, errno, name);
            continue;
        }
        if (any)
            add_word(string, ",{\"name\":\"");
        else
            add_word(string, ",\"extended_attributes\":[{\"name\":\"");
        add_json_text(string, name, strlen(name));
        add_word(string, "\",\"value\":\"");
        add_base64(string, (const uint8_t *)value, (size_t)length);
        add_word(string, "\"}");
        any = true;
    }
    if (any)
        add_word(string, "]");
    free(names);
    free(value);
}
