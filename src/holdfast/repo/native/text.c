/* Texts, byte for byte as the format writes them: names.py says how, and tests hold both against each other. */

#include "holdfast.h"
#include "printable.h"

#include <stdlib.h>
#include <string.h>

bool make_room(struct string *string, size_t size)
{
    size_t room = (string->size + size) * 2 + 256;
    char *more = realloc(string->data, room);
    if (more == NULL) {
        string->failed = true;
        return false;
    }
    string->data = more;
    string->room = room;
    return true;
}

void add_number(struct string *string, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    add_bytes(string, at, (size_t)(digits + sizeof digits - at));
}

void add_hex(struct string *string, const uint8_t *data, size_t size)
{
    char hex[64];
    while (size > 0) {
        size_t piece = size < 32 ? size : 32;
        write_hex(data, piece, hex);
        add_bytes(string, hex, 2 * piece);
        data += piece;
        size -= piece;
    }
}

void add_base64(struct string *string, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= left > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= left > 2 ? data[i + 2] : 0;
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=',
                        left > 2 ? digits[bits & 63] : '='};
        add_bytes(string, four, 4);
    }
}

/* The code point at `at` and its length in bytes, or -1 where there is no UTF-8. */
static long code_point(const uint8_t *at, size_t left, size_t *length)
{
    uint8_t lead = at[0];
    size_t more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : lead >= 0xE0 && lead < 0xF0 ? 2 : 3;
    if (lead >= 0x80 && (lead < 0xC2 || lead > 0xF4))
        return -1;
    if (left <= more)
        return -1;
    long code = more == 0 ? lead : lead & (0x3F >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return -1;
        code = code << 6 | (at[i] & 0x3F);
    }
    if ((more == 2 && code < 0x800) || (more == 3 && (code < 0x10000 || code > 0x10FFFF)) || (code >= 0xD800 && code < 0xE000))
        return -1;
    *length = more + 1;
    return code;
}

bool is_utf8(const char *text, size_t size)
{
    size_t length;
    for (size_t at = 0; at < size; at += length)
        if (code_point((const uint8_t *)text + at, size - at, &length) < 0)
            return false;
    return true;
}

static void add_escape(struct string *string, const char *before, unsigned long code, int digits)
{
    static const char hex[] = "0123456789abcdef";
    char text[8];
    for (int i = 0; i < digits; i++)
        text[i] = hex[code >> 4 * (digits - 1 - i) & 15];
    add_bytes(string, before, strlen(before));
    add_bytes(string, text, (size_t)digits);
}

static bool plain(uint8_t c)
{
    return c >= ' ' && c < 0x7F && c != '"' && c != '\\' && c != '&' && c != '<' && c != '>';
}

static size_t add_plain(struct string *string, const char *text, size_t size)
{
    size_t run = 0;
    while (run < size && plain((uint8_t)text[run]))
        run++;
    add_bytes(string, text, run);
    return run;
}

static void add_json_char(struct string *string, const uint8_t *at, size_t length, long code)
{
    static const char letters[] = "btn\0fr"; /* of 8 to 13 */
    if (code == '"' || code == '\\')
        add_bytes(string, code == '"' ? "\\\"" : "\\\\", 2);
    else if (code >= 8 && code <= 13 && code != 11) {
        char escape[2] = {'\\', letters[code - 8]};
        add_bytes(string, escape, 2);
    } else if (code < 0x20 || code == '<' || code == '>' || code == '&' || code == 0x2028 || code == 0x2029)
        add_escape(string, "\\u", (unsigned long)code, 4);
    else
        add_bytes(string, at, length);
}

void add_json_text(struct string *string, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        at += add_plain(string, text + at, size - at);
        if (at == size)
            return;
        size_t length = 1;
        long code = code_point((const uint8_t *)text + at, size - at, &length);
        if (code < 0)
            add_word(string, "\\ufffd");
        else
            add_json_char(string, (const uint8_t *)text + at, length, code);
        at += length;
    }
}

static bool printable(long code)
{
    size_t low = 0, high = sizeof printable_ranges / sizeof *printable_ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code < (long)printable_ranges[middle][0])
            high = middle;
        else if (code > (long)printable_ranges[middle][1])
            low = middle + 1;
        else
            return true;
    }
    return false;
}

void add_json_name(struct string *string, const char *name, size_t size)
{
    static const char letters[] = "abtnvfr"; /* of 7 to 13 */
    for (size_t at = 0; at < size;) {
        at += add_plain(string, name + at, size - at);
        if (at == size)
            return;
        const uint8_t *here = (const uint8_t *)name + at;
        size_t length = 1;
        long code = code_point(here, size - at, &length);
        if (code < 0)
            add_escape(string, "\\\\x", here[0], 2);
        else if (code >= 7 && code <= 13) {
            char escape[3] = {'\\', '\\', letters[code - 7]};
            add_bytes(string, escape, 3);
        } else if (code == '"')
            add_word(string, "\\\\\\\"");
        else if (code == '\\')
            add_word(string, "\\\\\\\\");
        else if (printable(code))
            add_json_char(string, here, length, code);
        else if (code < 0x20 || code == 0x7F)
            add_escape(string, "\\\\x", (unsigned long)code, 2);
        else
            add_escape(string, code < 0x10000 ? "\\\\u" : "\\\\U", (unsigned long)code, code < 0x10000 ? 4 : 8);
        at += length;
    }
}

static int digit_of(char c, int base)
{
    int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
    return value < base ? value : -1;
}

static long number_of(const char *at, int digits, int base)
{
    long value = 0;
    for (int i = 0; i < digits; i++) {
        int digit = digit_of(at[i], base);
        if (digit < 0)
            return -1;
        value = value * base + digit;
    }
    return value;
}

ptrdiff_t unquote_name(char *name, size_t size)
{
    static const char from[] = "abfnrtv", into[] = "\a\b\f\n\r\t\v";
    const char *at = name, *end = name + size;
    char *to = name;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        if (++at >= end)
            return -1;
        char c = *at++;
        const char *letter = c == '\0' ? NULL : strchr(from, c);
        int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (digits > 0) {
            long code = end - at >= digits ? number_of(at, digits, 16) : -1;
            if (code < 0 || code > 0x10FFFF || (digits > 2 && code >= 0xD800 && code < 0xE000))
                return -1;
            at += digits;
            if (digits == 2)
                *to++ = (char)code;
            else
                to += write_utf8(code, to);
        } else if (c >= '0' && c <= '7') {
            long code = end - at >= 2 ? number_of(at - 1, 3, 8) : -1;
            if (code < 0 || code > 255)
                return -1;
            at += 2;
            *to++ = (char)code;
        } else {
            *to++ = letter != NULL ? into[letter - from] : c;
        }
    }
    return to - name;
}

/* The same for Python: so that tests can hold each against its pure twin. */

static PyObject *give_text(struct string *string)
{
    PyObject *bytes = string->failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize(string->data, (Py_ssize_t)string->size);
    free(string->data);
    return bytes;
}

PyObject *text_name(PyObject *self, PyObject *name)
{
    struct string string = {0};
    char *data;
    Py_ssize_t size;
    (void)self;
    if (PyBytes_AsStringAndSize(name, &data, &size) < 0)
        return NULL;
    add_json_name(&string, data, (size_t)size);
    return give_text(&string);
}

PyObject *text_value(PyObject *self, PyObject *text)
{
    struct string string = {0};
    char *data;
    Py_ssize_t size;
    (void)self;
    if (PyBytes_AsStringAndSize(text, &data, &size) < 0)
        return NULL;
    add_json_text(&string, data, (size_t)size);
    return give_text(&string);
}
