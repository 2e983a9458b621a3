/* Which blob lies where: the index in memory.
 *
 * Rows of 48 bytes lie in blocks that never move; an open-addressed table of row numbers, at most three quarters full and grown
 * by half, finds them: 54 to 56 bytes per blob, and 32 plus the table's share per pack. A row is made when a blob is claimed,
 * so that the index is also the set of blobs on their way; it counts as stored once its pack is. Ids of a hostile repository
 * can't crowd one place of the table: the hash has a random seed. All is guarded by one mutex, held for one step at a time.
 */

#include "index.h"

#include <stdlib.h>
#include <string.h>

#define MOST_ROWS (PACK_LOST - 1)

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_id(const struct index *index, const uint8_t *id)
{
    uint64_t word[4];
    memcpy(word, id, sizeof word);
    return mix(word[0] ^ index->seed[0], word[1] ^ index->seed[1]) ^
           mix(word[2] ^ index->seed[2], word[3] ^ index->seed[3]);
}

static size_t place_of(uint64_t hash, size_t count)
{
    return (size_t)((unsigned __int128)hash * count >> 64);
}

struct row *index_row(struct index *index, uint32_t number)
{
    return &index->blocks[number / BLOCK_ROWS][number % BLOCK_ROWS];
}

/* Slots hold row numbers plus one, so that fresh memory is an empty table. */
uint32_t look_up(struct index *index, const uint8_t *id)
{
    if (index->slot_count == 0)
        return 0;
    size_t at = place_of(hash_id(index, id), index->slot_count);
    while (index->slots[at] != 0) {
        if (memcmp(index_row(index, index->slots[at] - 1)->id, id, ID_BYTES) == 0)
            return index->slots[at];
        at = at + 1 == index->slot_count ? 0 : at + 1;
    }
    return 0;
}

static void enter(struct index *index, uint32_t *slots, size_t count, uint32_t number)
{
    size_t at = place_of(hash_id(index, index_row(index, number)->id), count);
    while (slots[at] != 0)
        at = at + 1 == count ? 0 : at + 1;
    slots[at] = number + 1;
}

static bool grow_slots(struct index *index)
{
    size_t count = index->slot_count + index->slot_count / 2 + 1024;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t at = 0; at < index->slot_count; at++)
        if (index->slots[at] != 0)
            enter(index, slots, count, index->slots[at] - 1);
    free(index->slots);
    index->slots = slots;
    index->slot_count = count;
    return true;
}

static bool new_row(struct index *index, const uint8_t *id, uint32_t *number)
{
    if (index->rows == MOST_ROWS)
        return false;
    if (index->rows == index->block_count * BLOCK_ROWS) {
        struct row **blocks = realloc(index->blocks, (index->block_count + 1) * sizeof *blocks);
        if (blocks == NULL)
            return false;
        index->blocks = blocks;
        blocks[index->block_count] = malloc(BLOCK_ROWS * sizeof(struct row));
        if (blocks[index->block_count] == NULL)
            return false;
        index->block_count++;
    }
    *number = index->rows++;
    struct row *row = index_row(index, *number);
    memset(row, 0, sizeof *row);
    memcpy(row->id, id, ID_BYTES);
    row->pack = PACK_FLYING;
    return true;
}

bool add_row(struct index *index, const uint8_t *id, uint32_t known, uint32_t *number)
{
    if (known == 0 && (size_t)index->rows + 1 > index->slot_count / 4 * 3 && !grow_slots(index))
        return false;
    if (!new_row(index, id, number))
        return false;
    if (known == 0)
        enter(index, index->slots, index->slot_count, *number);
    return true;
}

bool index_find(struct index *index, const uint8_t *id, struct row *found)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t number = look_up(index, id);
    bool stored = number != 0 && index_row(index, number - 1)->pack < PACK_LOST;
    if (stored && found != NULL)
        *found = *index_row(index, number - 1);
    pthread_mutex_unlock(&index->mutex);
    return stored;
}

enum claim index_claim(struct index *index, const uint8_t *id, uint32_t *number)
{
    enum claim answer = CLAIM_KNOWN;
    pthread_mutex_lock(&index->mutex);
    uint32_t known = look_up(index, id);
    if (known == 0) {
        answer = add_row(index, id, 0, number) ? CLAIM_YOURS : CLAIM_NO_MEMORY;
        index->flying += answer == CLAIM_YOURS;
    } else if (index_row(index, known - 1)->pack == PACK_LOST) {
        *number = known - 1;
        index_row(index, *number)->pack = PACK_FLYING;
        index->flying++;
        answer = CLAIM_YOURS;
    }
    pthread_mutex_unlock(&index->mutex);
    return answer;
}

bool index_holds(struct index *index, const uint8_t *id)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t number = look_up(index, id);
    bool held = number != 0 && index_row(index, number - 1)->pack != PACK_LOST;
    pthread_mutex_unlock(&index->mutex);
    return held;
}

bool index_claimed(struct index *index, const uint8_t *id, uint32_t *number)
{
    pthread_mutex_lock(&index->mutex);
    uint32_t known = look_up(index, id);
    bool claimed = known != 0 && index_row(index, known - 1)->pack == PACK_FLYING;
    *number = known - 1;
    pthread_mutex_unlock(&index->mutex);
    return claimed;
}

void index_give_back(struct index *index, uint32_t number)
{
    pthread_mutex_lock(&index->mutex);
    index_row(index, number)->pack = PACK_LOST;
    index->flying--;
    pthread_mutex_unlock(&index->mutex);
}

static uint32_t find_pack(const struct index *index, const uint8_t *id, size_t *at)
{
    size_t count = (size_t)index->pack_room * 2;
    *at = place_of(hash_id(index, id), count);
    while (index->pack_slots[*at] != 0) {
        if (memcmp(index->packs[index->pack_slots[*at] - 1], id, ID_BYTES) == 0)
            return index->pack_slots[*at];
        *at = *at + 1 == count ? 0 : *at + 1;
    }
    return 0;
}

static bool grow_packs(struct index *index)
{
    uint32_t room = index->pack_room + index->pack_room / 2 + 64;
    uint8_t(*packs)[ID_BYTES] = realloc(index->packs, (size_t)room * ID_BYTES);
    if (packs == NULL)
        return false;
    index->packs = packs;
    uint32_t *slots = calloc((size_t)room * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    free(index->pack_slots);
    index->pack_slots = slots;
    index->pack_room = room;
    for (uint32_t number = 0; number < index->pack_count; number++) {
        size_t at;
        find_pack(index, packs[number], &at);
        slots[at] = number + 1;
    }
    return true;
}

bool number_pack(struct index *index, const uint8_t *id, uint32_t *number)
{
    size_t at = 0;
    if (index->pack_room != 0) {
        uint32_t known = find_pack(index, id, &at);
        if (known != 0) {
            *number = known - 1;
            return true;
        }
    }
    if (index->pack_count == index->pack_room) {
        if (!grow_packs(index))
            return false;
        find_pack(index, id, &at);
    }
    *number = index->pack_count++;
    memcpy(index->packs[*number], id, ID_BYTES);
    index->pack_slots[at] = *number + 1;
    return true;
}

bool index_settle(struct index *index, const uint32_t *rows, size_t count, const uint8_t *pack)
{
    uint32_t number;
    pthread_mutex_lock(&index->mutex);
    bool numbered = number_pack(index, pack, &number);
    for (size_t i = 0; numbered && i < count; i++)
        index_row(index, rows[i])->pack = number;
    if (numbered) {
        index->stored += (uint32_t)count;
        index->flying -= (uint32_t)count;
    }
    pthread_mutex_unlock(&index->mutex);
    return numbered;
}
