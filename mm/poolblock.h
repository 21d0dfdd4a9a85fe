/*
 * Small pool blocks: pages cut into 16-byte granules, each block behind a 16-byte header.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "mm/poolpage.h"

/* Bits of POOL_TYPE (ne-wdm-_pool_type.md) and what may be ORed into it. */
#define EXP_TYPE_PAGED         0x001u
#define EXP_TYPE_MUST_SUCCEED  0x002u
#define EXP_TYPE_CACHE_ALIGNED 0x004u
#define EXP_TYPE_NX            0x200u

/* What stands before every block of up to EXP_MAX_SMALL_BYTES; the layout that debuggers know. Sizes in granules. */
typedef struct _POOL_HEADER {
    UCHAR PreviousSize; /* of the block before this one in the page, 0 in the first */
    UCHAR PoolIndex;    /* MI_POOL_KIND */
    UCHAR BlockSize;    /* header included; 0 only in a page that is wholly free */
    UCHAR PoolType;     /* EXP_HEADER_...; 0: the block is free */
    ULONG PoolTag;
    PVOID ProcessBilled; /* whose quota pays: nobody's, encoded as ExpHeaderCheck says */
} POOL_HEADER;

#define EXP_GRANULE_BYTES   16u
#define EXP_PAGE_GRANULES   (PAGE_SIZE / EXP_GRANULE_BYTES)
#define EXP_MAX_GRANULES    255u /* BlockSize has 8 bits */
#define EXP_MAX_SMALL_BYTES (PAGE_SIZE - 32u)

#define EXP_HEADER_PAGED  0x01u
#define EXP_HEADER_IN_USE 0x02u
#define EXP_HEADER_NX     0x08u /* of NonPagedPoolNx */
#define EXP_HEADER_CACHED 0x04u /* besides IN_USE: free, on a processor's list */

C_ASSERT(sizeof(POOL_HEADER) == EXP_GRANULE_BYTES);
C_ASSERT(FIELD_OFFSET(POOL_HEADER, PoolTag) == 4);
C_ASSERT(EXP_MAX_SMALL_BYTES + sizeof(POOL_HEADER) == EXP_MAX_GRANULES * EXP_GRANULE_BYTES);

#define EXP_TAG_CACHED 0x68636143u /* "Cach": of a block that no driver has had yet */

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
/* Random; constant after init. Hidden: nobody imports it, so that it is read without a pointer to it. */
extern ULONG64 ExpPoolCookie __attribute__((visibility("hidden")));

void ExpInitializeBlocks(void);

/*
 * A block whose header and data take Granules (2 to 255) and whose data starts at a multiple of AlignGranules (1 or 4).
 *
 * => IRQL <= DISPATCH_LEVEL; acquires Pool->Lock.
 * => NULL when no page can be had.
 */
void *ExpAllocateBlock(EXP_POOL *Pool, ULONG Granules, ULONG AlignGranules, ULONG Tag);

/*
 * The same for up to Count blocks without alignment: each is linked to the next through its first word, in use and
 * marked EXP_HEADER_CACHED, charged to no tag. The first one comes back, and in *Count how many there are.
 *
 * => only the first may cost a page: the others are what the pool has at hand.
 */
void *ExpAllocateChain(EXP_POOL *Pool, ULONG Granules, ULONG *Count);

/*
 * See that P, which lies in a page of Pool, is a block in use; its tag comes back. Tag 0 matches every tag.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires Pool->Lock.
 * => bug check 0xC2 or 0x19 when P is no block in use, its tag is another, or what surrounds it is damaged.
 */
ULONG ExpCheckFreedBlock(EXP_POOL *Pool, void *P, ULONG Tag);

/* Free the block at P, which ExpCheckFreedBlock has let pass. IRQL <= DISPATCH_LEVEL; acquires Pool->Lock. */
void ExpFreeBlock(EXP_POOL *Pool, void *P);

/* Free cached blocks, linked through their first words; no tag is credited. Acquires Pool->Lock. */
void ExpFreeChain(EXP_POOL *Pool, void *First);

/* Bytes that the block at P has for data, or 0 when no block in use starts there. P lies in a page of Pool. */
SIZE_T ExpSmallBlockBytes(EXP_POOL *Pool, const void *P);

/* Give back the empty pages that the pools keep. IRQL <= DISPATCH_LEVEL. */
void ExpTrimBlocks(void);

/* Walk and check every page and list; damage is bug check 0x19. IRQL <= DISPATCH_LEVEL; no CPU uses pool meanwhile. */
void ExpCheckBlocks(void);

/* What a block with Bytes of data takes, header included. */
static inline SIZE_T ExpBlockBytesOf(SIZE_T Bytes)
{
    return (Bytes + sizeof(POOL_HEADER) + EXP_GRANULE_BYTES - 1) & ~(SIZE_T)(EXP_GRANULE_BYTES - 1);
}

static inline ULONG ExpGranulesOf(SIZE_T Bytes)
{
    return (ULONG)(ExpBlockBytesOf(Bytes) / EXP_GRANULE_BYTES);
}

/* PoolType of a block in use of that pool. */
static inline UCHAR ExpHeaderTypeOf(MI_POOL_KIND Kind)
{
    return EXP_HEADER_IN_USE | (Kind == MiPoolPaged ? EXP_HEADER_PAGED : Kind == MiPoolNonPagedNx ? EXP_HEADER_NX : 0);
}

/* BlockSize, and PoolType above it. */
static inline ULONG ExpSizeAndType(const POOL_HEADER *Header)
{
    return *(const USHORT *)&Header->BlockSize;
}

/*
 * What ProcessBilled of a block in use holds: as on Windows the process that pays, exclusive-or a random number and an
 * address, here the block's; and, since nobody pays here, the header's size and type, which it vouches for. A header
 * that is free, cached, damaged or none at all has another value there.
 */
static inline ULONG64 ExpHeaderCheck(const POOL_HEADER *Header)
{
    return ExpPoolCookie ^ (ULONG64)(Header + 1) ^ ExpSizeAndType(Header);
}

/* One half of Windows' bug check 0x19 and 0xC2 parameters: Header's first eight bytes. */
static inline ULONG64 ExpHeaderContents(const POOL_HEADER *Header)
{
    return *(const volatile ULONG64 *)Header;
}
