/* Times of trees, RFC 3339 to seconds and nanoseconds and back: what `times.parse_ns` and `times.format_ns` do, byte for byte. */

#include "holdfast.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DAY 86400
#define CYCLE_YEARS 400
#define CYCLE_SECONDS (INT64_C(146097) * DAY)
#define FAR_AHEAD INT64_C(253402300800) /* the first second of the year 10000 */

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

bool read_time(const char *text, size_t size, int64_t *seconds, uint32_t *nanoseconds)
{
    struct moment moment = parse(text, text + size);
    *seconds = moment.seconds;
    *nanoseconds = (uint32_t)moment.nanoseconds;
    return moment.nanoseconds >= 0;
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

/* Writing: the calendar of the 400 years that repeat, counted from the first of March of the year 0. */

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    static const uint16_t starts[] = {0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337};
    days += 719468; /* since the first of March of the year 0 */
    int64_t cycle = (days >= 0 ? days : days - 146096) / 146097, inside = days - cycle * 146097;
    int64_t of_cycle = (inside - inside / 1460 + inside / 36524 - inside / 146096) / 365;
    unsigned left = (unsigned)(inside - (of_cycle * 365 + of_cycle / 4 - of_cycle / 100)), number = 11;
    while (starts[number] > left)
        number--;
    *day = left - starts[number] + 1;
    *month = number < 10 ? number + 3 : number - 9;
    *year = cycle * CYCLE_YEARS + of_cycle + (*month <= 2);
}

static void split_second(int64_t second, int64_t *cycle, int64_t *inside)
{
    *cycle = second / CYCLE_SECONDS;
    *inside = second % CYCLE_SECONDS;
    if (*inside < 0) {
        *inside += CYCLE_SECONDS;
        --*cycle;
    }
}

/* Seconds that local time is ahead of UTC, 0 where it is not whole minutes. */
static int64_t local_offset(int64_t second)
{
    int64_t cycle, inside;
    struct tm local;
    split_second(second, &cycle, &inside);
    time_t near = second < FAR_AHEAD ? second : inside + 4 * CYCLE_SECONDS;
    if (localtime_r(&near, &local) == NULL || local.tm_gmtoff % 60 != 0)
        return 0;
    return local.tm_gmtoff;
}

static void put_digits(char *at, int digits, int64_t number)
{
    while (digits > 0) {
        at[--digits] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* The date and time of a second into 19 characters, and its zone; the zone's length. */
static uint8_t write_second(int64_t second, bool utc, char *text, char *zone)
{
    int64_t cycle, inside, year, offset = utc ? 0 : local_offset(second);
    unsigned month, day;
    split_second(second, &cycle, &inside);
    inside += offset;
    if (inside < 0 || inside >= CYCLE_SECONDS) {
        cycle += inside < 0 ? -1 : 1;
        inside += inside < 0 ? CYCLE_SECONDS : -CYCLE_SECONDS;
    }
    date_of(inside / 86400, &year, &month, &day);
    bool early = cycle < -1000, late = cycle > 1000;
    year = early ? 0 : late ? 9999 : year + cycle * CYCLE_YEARS;
    year = year < 0 ? 0 : year > 9999 ? 9999 : year;
    if (year == 9999 && month == 2 && day == 29) {
        month = 3;
        day = 1;
    }
    memcpy(text, "0000-00-00T00:00:00", 20);
    put_digits(text, 4, year);
    put_digits(text + 5, 2, month);
    put_digits(text + 8, 2, day);
    put_digits(text + 11, 2, inside / 3600 % 24);
    put_digits(text + 14, 2, inside / 60 % 60);
    put_digits(text + 17, 2, inside % 60);
    zone[0] = offset == 0 ? 'Z' : offset < 0 ? '-' : '+';
    if (offset == 0)
        return 1;
    int64_t minutes = (offset < 0 ? -offset : offset) / 60;
    put_digits(zone + 1, 2, minutes / 60);
    zone[3] = ':';
    put_digits(zone + 4, 2, minutes % 60);
    return 6;
}

void add_time(struct string *string, struct clock *clock, int64_t second, uint32_t nanosecond)
{
    unsigned at = 0;
    while (at < 4 && !(clock->known[at].set && clock->known[at].second == second))
        at++;
    if (at == 4) {
        at = clock->turn++ % 4;
        clock->known[at].set = true;
        clock->known[at].second = second;
        clock->known[at].zone_size = write_second(second, clock->utc, clock->known[at].date, clock->known[at].zone);
    }
    add_bytes(string, clock->known[at].date, 19);
    if (nanosecond != 0) {
        char fraction[10] = ".";
        size_t size = 10;
        put_digits(fraction + 1, 9, nanosecond);
        while (fraction[size - 1] == '0')
            size--;
        add_bytes(string, fraction, size);
    }
    add_bytes(string, clock->known[at].zone, clock->known[at].zone_size);
}

PyObject *text_time(PyObject *self, PyObject *arguments)
{
    struct string string = {0};
    struct clock clock = {0};
    long long second;
    unsigned int nanosecond;
    int utc;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "LIp:text_time", &second, &nanosecond, &utc))
        return NULL;
    clock.utc = utc;
    add_time(&string, &clock, second, nanosecond);
    PyObject *bytes = string.failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize(string.data, (Py_ssize_t)string.size);
    free(string.data);
    return bytes;
}
