/* What the files about the writer share: writer.c fills packs, writer_type.c is what Python sees of it. */

#ifndef HOLDFAST_WRITER_H
#define HOLDFAST_WRITER_H

#include "holdfast.h"

#define HEADER_ENTRY 41
#define LENGTH_BYTES 4

size_t tail_bytes(uint32_t count); /* most bytes of a header with so many entries, and its length */
void free_pack(struct pack *pack);
/* Under the writer's mutex: take a pack out of the open ones. It goes to the full ones when its last filler is done. */
void close_pack(struct writer *writer, struct pack *pack);
const char *fail(struct writer *writer, const char *why); /* for good; the first reason stays */
/* Seal a claimed blob into a pack, or put in one that is sealed already. */
const char *store_blob(struct writer *writer, struct codec *codec, bool tree, const uint8_t *data, size_t size,
                       const uint8_t *id, uint32_t number);
const char *put_sealed(struct writer *writer, struct codec *codec, bool tree, const uint8_t *id, const uint8_t *sealed,
                       size_t size, size_t raw_length);

#endif
