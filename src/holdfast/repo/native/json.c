/* Just enough of JSON to read what repositories hold, in place: no values are built, texts are ranges of the input.
 *
 * Input may be hostile: every step is bounded by `end`, nesting by MOST_DEPTH. A false answer means: not the JSON we want.
 */

#include "holdfast.h"

#include <string.h>

#define MOST_DEPTH 64

static void space(struct json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

bool json_eat(struct json *json, char c)
{
    space(json);
    if (json->at >= json->end || *json->at != c)
        return false;
    json->at++;
    return true;
}

bool json_string(struct json *json, struct text *text)
{
    if (!json_eat(json, '"'))
        return false;
    text->start = json->at;
    text->escaped = false;
    while (json->at < json->end) {
        char c = *json->at++;
        if (c == '"') {
            text->size = (size_t)(json->at - 1 - text->start);
            return true;
        }
        if (c == '\\') {
            text->escaped = true;
            if (json->at >= json->end)
                return false;
            json->at++;
        } else if ((unsigned char)c < 0x20) {
            return false;
        }
    }
    return false;
}

bool json_number(struct json *json, uint64_t *number)
{
    uint64_t value = 0;
    space(json);
    const char *start = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        uint64_t digit = (uint64_t)(*json->at++ - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return json->at > start;
}

bool json_next_key(struct json *json, bool *first, bool *more, struct text *key)
{
    if (json_eat(json, '}')) {
        *more = false;
        return true;
    }
    *more = true;
    if (!*first && !json_eat(json, ','))
        return false;
    *first = false;
    return json_string(json, key) && json_eat(json, ':');
}

bool json_next_item(struct json *json, bool *first, bool *more)
{
    if (json_eat(json, ']')) {
        *more = false;
        return true;
    }
    *more = true;
    if (!*first && !json_eat(json, ','))
        return false;
    *first = false;
    return true;
}

static bool skip_scalar(struct json *json)
{
    const char *start = json->at;
    while (json->at < json->end && strchr(",]} \n\r\t", *json->at) == NULL)
        json->at++;
    return json->at > start;
}

bool json_skip(struct json *json)
{
    char closing[MOST_DEPTH];
    int depth = 0;
    struct text text;
    do {
        space(json);
        if (json->at >= json->end)
            return false;
        char c = *json->at;
        if (c == '{' || c == '[') {
            if (depth == MOST_DEPTH)
                return false;
            closing[depth++] = c == '{' ? '}' : ']';
            json->at++;
        } else if (depth > 0 && c == closing[depth - 1]) {
            depth--;
            json->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            json->at++;
        } else if (c == '"' ? !json_string(json, &text) : !skip_scalar(json)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

/* The value of a hexadecimal digit plus one; 0 for what is none. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool parse_id(const struct text *text, uint8_t *id)
{
    bool good = true;
    if (text->size != 2 * ID_BYTES)
        return false;
    for (size_t i = 0; i < ID_BYTES; i++) {
        uint8_t high = hex_values[(uint8_t)text->start[2 * i]], low = hex_values[(uint8_t)text->start[2 * i + 1]];
        good &= high != 0 && low != 0;
        id[i] = (uint8_t)((high - 1u) << 4 | (low - 1u));
    }
    return good;
}

void write_hex(const uint8_t *from, size_t size, char *to)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[from[i] >> 4];
        to[2 * i + 1] = digits[from[i] & 15];
    }
}

static long hex4(const char *at)
{
    long value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t digit = hex_values[(uint8_t)at[i]];
        if (digit == 0)
            return -1;
        value = value << 4 | (digit - 1);
    }
    return value;
}

size_t write_utf8(long code, char *to)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xC0 | code >> 6);
        to[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xE0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 63));
        to[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    to[0] = (char)(0xF0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 63));
    to[2] = (char)(0x80 | (code >> 6 & 63));
    to[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* The code point of `\uXXXX` or of a pair of them; moves `*at` behind it. */
static long unicode_escape(const char **at, const char *end)
{
    if (end - *at < 4)
        return -1;
    long code = hex4(*at);
    *at += 4;
    if (code >= 0xD800 && code < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        long low = hex4(*at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            *at += 6;
            return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return code >= 0xD800 && code < 0xE000 ? -1 : code;
}

ptrdiff_t json_unescape(const struct text *text, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char *at = text->start, *end = text->start + text->size;
    char *start = to;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        if (++at >= end)
            return -1;
        char c = *at++;
        if (c == 'u') {
            long code = unicode_escape(&at, end);
            if (code < 0)
                return -1;
            to += write_utf8(code, to);
            continue;
        }
        const char *known = c == '\0' ? NULL : strchr(from, c);
        if (known == NULL)
            return -1;
        *to++ = into[known - from];
    }
    return to - start;
}
