/*
 * Small pool blocks: pages cut into 16-byte granules, each block behind a 16-byte header.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "mm/poolpage.h"

/* What stands before every block of up to EXP_MAX_SMALL_BYTES; the layout that debuggers know. Sizes in granules. */
typedef struct _POOL_HEADER {
    UCHAR PreviousSize; /* of the block before this one in the page, 0 in the first */
    UCHAR PoolIndex;    /* MI_POOL_KIND */
    UCHAR BlockSize;    /* header included; 0 only in a page that is wholly free */
    UCHAR PoolType;     /* EXP_HEADER_...; 0: the block is free */
    ULONG PoolTag;
    PVOID ProcessBilled; /* whose quota pays: nobody's here */
} POOL_HEADER;

#define EXP_GRANULE_BYTES   16u
#define EXP_PAGE_GRANULES   (PAGE_SIZE / EXP_GRANULE_BYTES)
#define EXP_MAX_GRANULES    255u /* BlockSize has 8 bits */
#define EXP_MAX_SMALL_BYTES (PAGE_SIZE - 32u)

#define EXP_HEADER_PAGED  0x01u
#define EXP_HEADER_IN_USE 0x02u

C_ASSERT(sizeof(POOL_HEADER) == EXP_GRANULE_BYTES);
C_ASSERT(FIELD_OFFSET(POOL_HEADER, PoolTag) == 4);
C_ASSERT(EXP_MAX_SMALL_BYTES + sizeof(POOL_HEADER) == EXP_MAX_GRANULES * EXP_GRANULE_BYTES);

#define EXP_EMPTY_PAGES 16u /* kept per pool: a block that comes and goes must not map and flush a page each time */

/* Fields without a note are guarded by Lock. */
typedef struct _EXP_POOL {
    KI_LOCK      Lock; /* LOCK_POOL */
    MI_POOL_KIND Kind; /* constant after init */
    ULONG        EmptyPageCount;
    void        *EmptyPages[EXP_EMPTY_PAGES];  /* wholly free pages that are still mapped */
    SIZE_T       FreeBlockCount;               /* blocks on FreeLists */
    ULONG64      FreeMap[4];                   /* bit n: FreeLists[n] is not empty */
    LIST_ENTRY   FreeLists[EXP_PAGE_GRANULES]; /* by BlockSize; indices 0 and 1 stay empty */
} EXP_POOL;

extern EXP_POOL ExpPools[MI_POOL_KINDS];

void ExpInitializeBlocks(void);

/*
 * A block whose header and data take Granules (2 to 255) and whose data starts at a multiple of AlignGranules (1 or 4).
 *
 * => IRQL <= DISPATCH_LEVEL; acquires Pool->Lock.
 * => NULL when no page can be had.
 */
void *ExpAllocateBlock(EXP_POOL *Pool, ULONG Granules, ULONG AlignGranules, ULONG Tag);

/*
 * Free the block at P, which lies in a page of Pool. Tag 0 matches every tag.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires Pool->Lock.
 * => bug check 0xC2 or 0x19 when P is no block in use, its tag is another, or what surrounds it is damaged.
 */
void ExpFreeBlock(EXP_POOL *Pool, void *P, ULONG Tag);

/* Bytes that the block at P has for data, or 0 when no block in use starts there. P lies in a page of Pool. */
SIZE_T ExpSmallBlockBytes(EXP_POOL *Pool, const void *P);

/* Give back the empty pages that the pools keep. IRQL <= DISPATCH_LEVEL. */
void ExpTrimBlocks(void);

/* Walk and check every page and list; damage is bug check 0x19. IRQL <= DISPATCH_LEVEL; no CPU uses pool meanwhile. */
void ExpCheckBlocks(void);

/* One half of Windows' bug check 0x19 and 0xC2 parameters: Header's first eight bytes. */
static inline ULONG64 ExpHeaderContents(const POOL_HEADER *Header)
{
    return *(const volatile ULONG64 *)Header;
}
