/* The regular files of a tree as rows for a restore, without an object for each.
 *
 * Only what is certain is taken: an entry of the fields that every backup writes, in their plain form. Any other entry is
 * handed back as text for `tree.decode_tree`, and of a tree that is not made of plain objects in the order of their names
 * nothing is taken. So what is odd, damaged or hostile is judged in one place, with one message.
 */

#include "files.h"

#include <stdlib.h>
#include <string.h>

enum field { NAME, TYPE, MODE, MTIME, UID, GID, INODE, SIZE, LINKS, CONTENT, PASSED, FIELDS };

static const char *const fields[] = {"name",  "type",  "mode",    "mtime", "uid",   "gid",   "inode",
                                     "size",  "links", "content", "atime", "ctime", "user",  "group",
                                     "device_id"};

struct entry {
    struct text name, type, mtime;
    uint64_t numbers[FIELDS];
    uint32_t seen, blobs;
    bool plain;
};

struct entries {
    struct string rows, names, ids, counts, rest;
    struct text last; /* the name before */
};

/* A whole number as JSON has it: without leading zeros. */
static bool whole_number(struct json *json, uint64_t *number)
{
    if (!json_number(json, number))
        return false;
    const char *digit = json->at - 1;
    while (digit[-1] >= '0' && digit[-1] <= '9')
        digit--;
    return *digit != '0' || json->at - digit == 1;
}

/* What can be passed over: a text or a number, of which nothing is needed. */
static bool pass(struct json *json)
{
    struct json probe = *json;
    struct text text;
    uint64_t number;
    if (json_string(&probe, &text) && !text.escaped) {
        *json = probe;
        return true;
    }
    return whole_number(json, &number);
}

static bool read_ids(struct json *json, struct entry *entry, struct string *ids)
{
    bool first = true, more = true;
    if (json->end - json->at >= 4 && memcmp(json->at, "null", 4) == 0) {
        json->at += 4;
        return true;
    }
    if (!json_eat(json, '['))
        return false;
    while (json_next_item(json, &first, &more)) {
        struct text text;
        uint8_t id[ID_BYTES];
        if (!more)
            return true;
        if (!json_string(json, &text) || !parse_id(&text, id))
            return false;
        add_bytes(ids, id, sizeof id);
        entry->blobs++;
    }
    return false;
}

static bool read_field(struct json *json, struct entry *entry, enum field field, struct string *ids)
{
    struct text *text = field == NAME ? &entry->name : field == TYPE ? &entry->type : &entry->mtime;
    switch (field) {
    case NAME:
    case TYPE:
    case MTIME:
        return json_string(json, text) && !text->escaped;
    case CONTENT:
        return read_ids(json, entry, ids);
    case PASSED:
        return pass(json);
    default:
        return whole_number(json, &entry->numbers[field]);
    }
}

static unsigned number_of_field(const struct text *key)
{
    unsigned number = 0;
    while (number < sizeof fields / sizeof *fields &&
           (strlen(fields[number]) != key->size || memcmp(fields[number], key->start, key->size) != 0))
        number++;
    return number;
}

/* Read one entry. What is no plain file is only stepped over; false for what can't be stepped over for certain. */
static bool read_entry(struct json *json, struct entry *entry, struct string *ids)
{
    bool first = true, more;
    struct text key;
    memset(entry, 0, sizeof *entry);
    entry->plain = true;
    if (!json_eat(json, '{'))
        return false;
    while (json_next_key(json, &first, &more, &key)) {
        if (!more)
            return (entry->seen & 1u << NAME) != 0;
        unsigned number = number_of_field(&key);
        bool known = number < sizeof fields / sizeof *fields;
        if (key.escaped || (known && entry->seen & 1u << number))
            return false;
        entry->seen |= known ? 1u << number : 0;
        struct json before = *json;
        if (known && read_field(json, entry, number < PASSED ? (enum field)number : PASSED, ids))
            continue;
        if (number == NAME)
            return false;
        entry->plain = false;
        *json = before;
        if (!json_skip(json))
            return false;
    }
    return false;
}

/* Mode bits for chmod of a mode as Go has it; see tree.permissions_of. */
static uint32_t permissions(uint64_t mode)
{
    uint32_t bits = mode & 0777;
    bits |= mode & 1u << 23 ? S_ISUID : 0;
    bits |= mode & 1u << 22 ? S_ISGID : 0;
    return bits | (mode & 1u << 20 ? S_ISVTX : 0);
}

/* The row of an entry that is a plain file with one name; false for any other. */
static bool make_row(const struct entry *entry, struct file *file)
{
    const uint64_t *numbers = entry->numbers;
    const uint32_t needed = 1u << TYPE | 1u << MTIME;
    *file = (struct file){.folder = -1, .flags = FLAG_PLAIN};
    if (!entry->plain || (entry->seen & needed) != needed || !text_is(&entry->type, "file") ||
        !is_component(entry->name.start, entry->name.size) || (numbers[LINKS] > 1 && numbers[INODE] != 0) ||
        numbers[UID] > UINT32_MAX || numbers[GID] > UINT32_MAX || numbers[SIZE] > INT64_MAX ||
        !read_time(entry->mtime.start, entry->mtime.size, &file->seconds, &file->nanoseconds))
        return false;
    file->size = (int64_t)numbers[SIZE];
    file->uid = (uint32_t)numbers[UID];
    file->gid = (uint32_t)numbers[GID];
    file->mode = permissions(numbers[MODE]);
    return true;
}

static bool follows(const struct text *last, const struct text *name)
{
    size_t size = last->size < name->size ? last->size : name->size;
    int order = last->start == NULL ? -1 : memcmp(last->start, name->start, size);
    return order < 0 || (order == 0 && last->size < name->size);
}

static bool take_entry(struct entries *entries, struct json *json)
{
    struct entry entry;
    struct file file;
    size_t ids_before = entries->ids.size;
    while (json->at < json->end && *json->at == ' ')
        json->at++;
    const char *start = json->at;
    if (!read_entry(json, &entry, &entries->ids) || !follows(&entries->last, &entry.name))
        return false;
    entries->last = entry.name;
    if (make_row(&entry, &file)) {
        if (entries->names.size > UINT32_MAX)
            return false;
        file.name = (uint32_t)entries->names.size;
        add_bytes(&entries->rows, &file, sizeof file);
        add_bytes(&entries->names, entry.name.start, entry.name.size);
        add_bytes(&entries->names, "", 1);
        add_bytes(&entries->counts, &entry.blobs, sizeof entry.blobs);
        return true;
    }
    entries->ids.size = ids_before;
    if (entries->rest.size == 0)
        add_word(&entries->rest, "{\"nodes\":[");
    else
        add_word(&entries->rest, ",");
    add_bytes(&entries->rest, start, (size_t)(json->at - start));
    return true;
}

/* Whether all of the tree could be read. */
static bool take_tree(struct entries *entries, const char *data, size_t size)
{
    struct json json = {data, data + size};
    struct text key;
    bool first = true, more;
    if (!is_utf8(data, size) || !json_eat(&json, '{') || !json_next_key(&json, &first, &more, &key) || !more ||
        !text_is(&key, "nodes") || !json_eat(&json, '['))
        return false;
    for (first = true; json_next_item(&json, &first, &more);) {
        if (more) {
            if (!take_entry(entries, &json))
                return false;
            continue;
        }
        if (entries->rest.size != 0)
            add_word(&entries->rest, "]}");
        return json_eat(&json, '}') && (json_eat(&json, '\n'), json.at == json.end);
    }
    return false;
}

PyObject *tree_files(PyObject *self, PyObject *tree)
{
    struct entries entries = {0};
    struct string *const parts[] = {&entries.rows, &entries.names, &entries.ids, &entries.counts, &entries.rest};
    Py_buffer data;
    bool certain, lost = false;
    (void)self;
    if (PyObject_GetBuffer(tree, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    certain = take_tree(&entries, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    for (int i = 0; i < 5; i++)
        lost |= parts[i]->failed;
    PyObject *result = lost ? PyErr_NoMemory() : certain ? PyTuple_New(5) : Py_NewRef(Py_None);
    for (int i = 0; result != NULL && certain && i < 5; i++) {
        PyObject *part = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)parts[i]->size);
        if (part != NULL && parts[i]->size != 0)
            memcpy(PyBytes_AsString(part), parts[i]->data, parts[i]->size);
        if (part == NULL || PyTuple_SetItem(result, i, part) < 0)
            Py_CLEAR(result);
    }
    for (int i = 0; i < 5; i++)
        free(parts[i]->data);
    return result;
}
