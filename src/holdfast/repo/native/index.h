/* What the files about the index share. All of it is called under the index's mutex. */

#ifndef HOLDFAST_INDEX_H
#define HOLDFAST_INDEX_H

#include "holdfast.h"

#define BLOCK_ROWS 8192u

/* The row of an id plus one, 0 when there is none. */
uint32_t look_up(struct index *index, const uint8_t *id);
/* A row for a blob; `known` is one that is found already under its id, plus one. */
bool add_row(struct index *index, const uint8_t *id, uint32_t known, uint32_t *number);
bool number_pack(struct index *index, const uint8_t *id, uint32_t *number);
/* Add an index object. Returns NULL, or why it can't be read; the index is of no use then. */
const char *read_index(struct index *index, struct json *json);

#endif
