/*
 * Large pool blocks: whole pages without a header, known by a table.
 */
#pragma once

#include "mm/poolpage.h"

typedef struct _EXP_BIG_BLOCK {
    void        *Va;    /* page-aligned; NULL in a free slot */
    SIZE_T       Bytes; /* as requested */
    ULONG        Tag;
    MI_POOL_KIND Kind;
} EXP_BIG_BLOCK;

/* Blocks by address: open addressing, linear probing. Whoever owns a table guards it, and keeps a slot free. */
typedef struct _EXP_BIG_TABLE {
    EXP_BIG_BLOCK *Slots;
    SIZE_T         Capacity; /* slots; a power of two */
    SIZE_T         Used;
} EXP_BIG_TABLE;

/* The slot of the block at Va, or the free slot that ends the search for it. */
EXP_BIG_BLOCK *ExpProbeBigTable(const EXP_BIG_TABLE *Table, const void *Va);

/* Enter a block that is not there yet; free the slot of one that is. */
void ExpEnterBigBlock(EXP_BIG_TABLE *Table, const EXP_BIG_BLOCK *Block);
void ExpRemoveBigBlock(EXP_BIG_TABLE *Table, EXP_BIG_BLOCK *Slot);

/*
 * Pages for a block of Bytes, entered in the table.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires LOCK_BIGPOOL and the locks of pages.
 * => NULL when addresses, frames or room in the table are out.
 */
void *ExpAllocateBigBlock(MI_POOL_KIND Kind, SIZE_T Bytes, ULONG Tag);

/* What the table says of the block at Va; false: nothing starts there. IRQL <= DISPATCH_LEVEL. */
bool ExpFindBigBlock(const void *Va, EXP_BIG_BLOCK *Block);

/* Free the block at Va, which the table knows; false: it does not. IRQL <= DISPATCH_LEVEL. */
bool ExpFreeBigBlock(void *Va);

/* Walk and check the table. IRQL <= DISPATCH_LEVEL. */
void ExpCheckBigBlocks(void);
