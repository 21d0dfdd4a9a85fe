/*
 * The hot path of pool: a block taken from this processor's lists, a block put there. What poolcache.c says of them.
 *
 * Every instruction counts here. The order of steps and the sizes of structures follow from what the compiler makes of
 * them: no call, and on the way out no register to restore.
 */
#pragma once

#include "kernel/ke/irql.h"
#include "kernel/ke/pcr.h"
#include "mm/poolcache.h"

static inline EXP_CACHE *ExpMyCache(void)
{
    return (EXP_CACHE *)__readgsqword(FIELD_OFFSET(KIPCR, Prcb.PoolCache));
}

static inline ULONG ExpCacheTagIndex(ULONG Tag)
{
    return (Tag * 0x9E3779B1u) >> 25;
}

C_ASSERT(EXP_CACHE_TAGS == 1u << (32 - 25));

static inline ULONG64 ExpLinkCheck(const EXP_CACHED_BLOCK *Next)
{
    return ExpPoolCookie ^ (ULONG64)Next;
}

/* Volatile: the hot path rather loads it again than keeps it in a register of its caller's. */
static inline EXP_CACHED_BLOCK *ExpNextCached(const EXP_CACHED_BLOCK *Block)
{
    return *(EXP_CACHED_BLOCK *const volatile *)&Block->Next;
}

/* Does a block on List look as it was left there? */
static inline bool ExpIsCachedSound(EXP_CACHED_BLOCK *Block, const EXP_CACHE_LIST *List)
{
    return Block->Check == ExpLinkCheck(ExpNextCached(Block)) &&
           ExpSizeAndType((POOL_HEADER *)Block - 1) == List->SizeAndType;
}

/* The hot path's arithmetic: so many bytes as a block takes, so far is its list from its column's start. */
static inline void *ExpListAt(void *Column, SIZE_T ByteOffset)
{
    return (UCHAR *)Column + ByteOffset;
}

C_ASSERT(sizeof(EXP_CACHE_LIST) == EXP_GRANULE_BYTES && FIELD_OFFSET(EXP_CACHE, Lists) == 0);

/* Why ExpPopCached has nothing. */
typedef enum _EXP_MISS {
    ExpMissed,
    ExpMissedCounted, /* the block is counted under its tag already: the caller takes that back by ExpUncount */
} EXP_MISS;

/*
 * A block of this processor's for Bytes, tag and counts in place; Type is NonPagedPool or NonPagedPoolNx, Tag one that
 * may be used.
 *
 * => NULL: not from here (another type or size, IRQL above DISPATCH_LEVEL, an empty list, a tag that is not counted
 *    here). *Miss says what is left to do.
 */
static inline __attribute__((always_inline)) void *ExpPopCached(ULONG Type, SIZE_T Bytes, ULONG Tag, EXP_MISS *Miss)
{
    *Miss = ExpMissed;
    if (Bytes > EXP_MAX_SMALL_BYTES || (Type | EXP_TYPE_NX) != EXP_TYPE_NX || KeGetCurrentIrql() > DISPATCH_LEVEL) {
        return NULL;
    }
    SIZE_T         blockBytes = ExpBlockBytesOf(Bytes);
    bool           wereOn = KiDisableInterrupts();
    EXP_CACHE     *cache = ExpMyCache();
    EXP_CACHE_TAG *count = &cache->Tags[ExpCacheTagIndex(Tag)];
    if (count->Tag != Tag) {
        KiRestoreInterrupts(wereOn);
        return NULL;
    }
    /* counted before there is a block, so that fewer values live at once: with it the hot path saves no register */
    count->Allocations++;
    count->Bytes += blockBytes;
    EXP_CACHE_LIST   *list = KiSettleAddress(ExpListAt(cache, Type * EXP_COLUMN_BYTES / EXP_TYPE_NX + blockBytes));
    EXP_CACHED_BLOCK *block = list->First;
    if (block == NULL || !ExpIsCachedSound(block, list)) {
        KiRestoreInterrupts(wereOn);
        *Miss = ExpMissedCounted;
        return NULL;
    }
    list->First = ExpNextCached(block);
    list->Room++;
    POOL_HEADER *header = (POOL_HEADER *)block - 1;
    header->PoolType ^= EXP_HEADER_CACHED;
    header->PoolTag = Tag;
    KiRestoreInterrupts(wereOn);
    return block;
}

/* What a free is told of the block's tag. */
typedef enum _EXP_TAG_MATCH {
    ExpMatchAny,
    ExpMatchTag, /* ExpectedTag, to the bit */
} EXP_TAG_MATCH;

/*
 * Take the block at P back into this processor's lists.
 *
 * => false: not here (no nonpaged small block, something about it is wrong, no room, a tag that is not counted here).
 *    Nothing was done then, and P may have any value.
 */
static inline __attribute__((always_inline)) bool ExpPushCached(void *P, EXP_TAG_MATCH Match, ULONG ExpectedTag)
{
    POOL_HEADER *header = (POOL_HEADER *)P - 1;
    if (KeGetCurrentIrql() > DISPATCH_LEVEL || (BYTE_OFFSET(P) & ~(EXP_GRANULE_BYTES - 1)) == 0 ||
        !MiIsNonPagedPool(P) || (ULONG64)header->ProcessBilled != ExpHeaderCheck(header)) {
        return false;
    }
    ULONG              sizeAndType = ExpSizeAndType(header);
    SIZE_T             blockBytes = (SIZE_T)(UCHAR)sizeAndType * EXP_GRANULE_BYTES;
    const POOL_HEADER *next = (const POOL_HEADER *)((const UCHAR *)P + blockBytes - sizeof(*header));
    ULONG              tag = Match == ExpMatchTag ? ExpectedTag : header->PoolTag;
    if ((BYTE_OFFSET(next) != 0 && next->PreviousSize != (UCHAR)sizeAndType) || header->PoolTag != tag) {
        return false;
    }
    bool              wereOn = KiDisableInterrupts();
    EXP_CACHE        *cache = ExpMyCache();
    SIZE_T            column = sizeAndType & (EXP_HEADER_NX << 8);
    EXP_CACHE_LIST   *list = ExpListAt(ExpListAt(cache, column * EXP_COLUMN_BYTES / (EXP_HEADER_NX << 8)), blockBytes);
    EXP_CACHE_TAG    *count = &cache->Tags[ExpCacheTagIndex(tag)];
    EXP_CACHED_BLOCK *block = P;
    EXP_CACHED_BLOCK *first = list->First;
    if (list->Room <= 0 || count->Tag != tag) {
        KiRestoreInterrupts(wereOn);
        return false;
    }
    block->Next = first;
    block->Check = ExpLinkCheck(first);
    list->First = block;
    list->Room--;
    header->PoolType ^= EXP_HEADER_CACHED;
    count->Frees++;
    count->Bytes -= blockBytes;
    KiRestoreInterrupts(wereOn);
    return true;
}
