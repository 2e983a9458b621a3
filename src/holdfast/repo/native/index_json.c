/* Reading index objects, which may be anybody's: every step is bounded, and what is not the JSON of an index is refused. */

#include "index.h"

#include <string.h>

struct blob_entry {
    uint8_t id[ID_BYTES];
    uint64_t offset, length, raw_length;
    bool tree, has_id, has_type;
};

static bool read_blob(struct json *json, struct blob_entry *blob)
{
    bool first = true, more;
    struct text key, text;
    memset(blob, 0, sizeof *blob);
    if (!json_eat(json, '{'))
        return false;
    while (json_next_key(json, &first, &more, &key)) {
        bool good = true;
        if (!more)
            return blob->has_id && blob->has_type && blob->length < TREE_BIT && blob->length >= SEAL_BYTES &&
                   blob->offset <= UINT32_MAX && blob->raw_length <= UINT32_MAX;
        if (text_is(&key, "id"))
            good = blob->has_id = json_string(json, &text) && parse_id(&text, blob->id);
        else if (text_is(&key, "type")) {
            good = json_string(json, &text) && ((blob->tree = text_is(&text, "tree")) || text_is(&text, "data"));
            blob->has_type = good;
        } else if (text_is(&key, "offset"))
            good = json_number(json, &blob->offset);
        else if (text_is(&key, "length"))
            good = json_number(json, &blob->length);
        else if (text_is(&key, "uncompressed_length"))
            good = json_number(json, &blob->raw_length);
        else
            good = json_skip(json);
        if (!good)
            return false;
    }
    return false;
}

static const char *const damaged_index = "the index is not readable: it is not the JSON of an index";

static const char *read_blobs(struct index *index, struct json *json)
{
    bool first = true, more;
    struct blob_entry blob;
    if (!json_eat(json, '['))
        return damaged_index;
    while (json_next_item(json, &first, &more)) {
        uint32_t number;
        if (!more)
            return NULL;
        if (!read_blob(json, &blob))
            return damaged_index;
        uint32_t known = look_up(index, blob.id);
        if (known != 0 && index_row(index, known - 1)->pack == PACK_FLYING) /* twice in one pack: the last counts */
            number = known - 1;
        else if (!add_row(index, blob.id, known, &number))
            return no_memory;
        struct row *row = index_row(index, number);
        row->pack = PACK_FLYING;
        row->offset = (uint32_t)blob.offset;
        row->length = (uint32_t)blob.length | (blob.tree ? TREE_BIT : 0);
        row->raw_length = (uint32_t)blob.raw_length;
    }
    return damaged_index;
}

static const char *read_pack(struct index *index, struct json *json)
{
    bool first = true, more, has_id = false;
    struct text key, text;
    uint8_t id[ID_BYTES];
    uint32_t start = index->rows, number;
    const char *why = NULL;
    if (!json_eat(json, '{'))
        return damaged_index;
    while (why == NULL && json_next_key(json, &first, &more, &key)) {
        if (!more) {
            if (!has_id)
                return damaged_index;
            if (!number_pack(index, id, &number))
                return no_memory;
            for (uint32_t row = start; row < index->rows; row++)
                index_row(index, row)->pack = number;
            index->stored += index->rows - start;
            return NULL;
        }
        if (text_is(&key, "id"))
            has_id = json_string(json, &text) && parse_id(&text, id);
        else if (text_is(&key, "blobs"))
            why = read_blobs(index, json);
        else if (!json_skip(json))
            return damaged_index;
    }
    return why != NULL ? why : damaged_index;
}

static const char *read_packs(struct index *index, struct json *json)
{
    bool first = true, more;
    const char *why = NULL;
    if (!json_eat(json, '['))
        return damaged_index;
    while (why == NULL && json_next_item(json, &first, &more)) {
        if (!more)
            return NULL;
        why = read_pack(index, json);
    }
    return why != NULL ? why : damaged_index;
}

const char *read_index(struct index *index, struct json *json)
{
    bool first = true, more;
    struct text key;
    const char *why = NULL;
    if (!json_eat(json, '{'))
        return damaged_index;
    while (why == NULL && json_next_key(json, &first, &more, &key)) {
        if (!more)
            return NULL;
        if (text_is(&key, "packs") && !(json->end - json->at >= 4 && memcmp(json->at, "null", 4) == 0))
            why = read_packs(index, json);
        else if (!json_skip(json))
            return damaged_index;
    }
    return why != NULL ? why : damaged_index;
}
