/* Times of trees: RFC 3339 to seconds and nanoseconds, with the rules of `times.parse_ns`, for all entries of a batch at once. */

#include "holdfast.h"

#include <string.h>

#define DAY 86400

struct moment {
    int64_t seconds, nanoseconds; /* nanoseconds are -1 for what is no time */
};

/* Reads `count` digits; -1 when there is anything else. */
static int digits(const char **at, const char *end, int count)
{
    int value = 0;
    if (end - *at < count)
        return -1;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = 10 * value + (**at - '0');
    }
    return value;
}

static bool skip(const char **at, const char *end, char wanted)
{
    if (*at == end || **at != wanted)
        return false;
    (*at)++;
    return true;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of a year; the calendar's rule counts leap days of all years before it. */
static int64_t days_before(int year)
{
    int64_t past = (int64_t)year - 1;
    if (year == 0)
        return days_before(1) - 366;
    return 365 * past + past / 4 - past / 100 + past / 400 - 719162;
}

static bool parse_zone(const char **at, const char *end, int *offset)
{
    if (skip(at, end, 'Z')) {
        *offset = 0;
        return true;
    }
    if (*at == end || (**at != '+' && **at != '-'))
        return false;
    int sign = *(*at)++ == '+' ? 1 : -1;
    int hours = digits(at, end, 2);
    if (!skip(at, end, ':'))
        return false;
    int minutes = digits(at, end, 2);
    *offset = sign * (3600 * hours + 60 * minutes);
    return hours >= 0 && minutes >= 0;
}

static int64_t parse_fraction(const char **at, const char *end)
{
    int64_t value = 0;
    int count = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++, count++)
        if (count < 9)
            value = 10 * value + (**at - '0');
    for (int i = count; i < 9; i++)
        value *= 10;
    return count > 0 ? value : -1;
}

static struct moment parse(const char *at, const char *end)
{
    static const char after[] = "--T::";
    const struct moment wrong = {0, -1};
    int part[6], offset;
    for (int i = 0; i < 6; i++) {
        part[i] = digits(&at, end, i == 0 ? 4 : 2);
        if (part[i] < 0 || (i < 5 && !skip(&at, end, after[i])))
            return wrong;
    }
    int64_t nanoseconds = 0;
    if (skip(&at, end, '.'))
        nanoseconds = parse_fraction(&at, end);
    if (nanoseconds < 0 || !parse_zone(&at, end, &offset) || at != end)
        return wrong;
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > days_in(part[0], part[1]) || part[3] > 23 || part[4] > 59 ||
        part[5] > 59)
        return wrong;
    int64_t days = days_before(part[0]) + part[2] - 1;
    for (int month = 1; month < part[1]; month++)
        days += days_in(part[0], month);
    return (struct moment){days * DAY + 3600 * part[3] + 60 * part[4] + part[5] - offset, nanoseconds};
}

PyObject *times_parse(PyObject *self, PyObject *texts)
{
    (void)self;
    if (!PyList_Check(texts)) {
        PyErr_SetString(PyExc_TypeError, "times_parse takes a list of texts");
        return NULL;
    }
    Py_ssize_t count = PyList_Size(texts);
    PyObject *result = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(struct moment));
    char *to = result != NULL ? PyBytes_AsString(result) : NULL;
    for (Py_ssize_t i = 0; to != NULL && i < count; i++) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(PyList_GetItem(texts, i), &size);
        struct moment moment = {0, -1};
        if (text != NULL)
            moment = parse(text, text + size);
        else
            PyErr_Clear();
        memcpy(to + (size_t)i * sizeof moment, &moment, sizeof moment);
    }
    return result;
}
