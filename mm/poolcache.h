/*
 * What each processor keeps of the nonpaged pools: free blocks by size, and its counts by tag.
 *
 * A block comes and goes here with no lock and no atomic; poolcache.c says how the lists are filled and emptied.
 */
#pragma once

#include "mm/poolblock.h"

#define EXP_CACHE_TAGS 128u /* a power of two */

/* A block on a list: these words stand where its data was. */
typedef struct _EXP_CACHED_BLOCK {
    struct _EXP_CACHED_BLOCK *Next;
    ULONG64                   Check; /* ExpLinkCheck: a write to freed memory breaks it */
} EXP_CACHED_BLOCK;

typedef struct _EXP_CACHE_LIST {
    EXP_CACHED_BLOCK *First;
    LONG              Room;        /* how many more blocks it takes; below 0 after a refill that came twice */
    USHORT            SizeAndType; /* ExpSizeAndType of the blocks; constant while the cache lives */
} EXP_CACHE_LIST;

/* What this processor did with one tag since the counts were last gathered. */
typedef struct _EXP_CACHE_TAG {
    ULONG   Tag; /* 0: unused */
    ULONG64 Allocations;
    ULONG64 Frees;
    ULONG64 Bytes; /* allocated less freed, modulo 2^64 */
} EXP_CACHE_TAG;

/* Only the processor that it belongs to touches it, with interrupts off. */
typedef struct _EXP_CACHE {
    EXP_CACHE_LIST Lists[2][EXP_PAGE_GRANULES]; /* executable, no-execute; by BlockSize */
    EXP_CACHE_TAG  Tags[EXP_CACHE_TAGS];        /* by ExpCacheTagIndex */
} EXP_CACHE;

#define EXP_COLUMN_BYTES (EXP_PAGE_GRANULES * sizeof(EXP_CACHE_LIST))

C_ASSERT(sizeof(EXP_CACHE_LIST) == 16 && sizeof(EXP_CACHE_TAG) == 32);

/* Once, on the boot processor, before the first allocation: processors begin without lists. */
void ExpInitializeCaches(void);

/* The empty cache of a processor that keeps nothing: every list is empty and takes nothing. */
extern EXP_CACHE ExpNoCache;

typedef enum _EXP_CACHING {
    ExpCacheNothing, /* every request goes to the pools: they are checked, counted or made to fail one by one */
    ExpCacheBlocks,
} EXP_CACHING;

/* IRQL <= DISPATCH_LEVEL, interrupts on. */
void ExpSetCaching(EXP_CACHING Caching);

/*
 * A pop that came back empty-handed, and a push: do what was missing (the cache itself, the tag's place, blocks from
 * the pool, room by giving blocks back to it) and try again.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires the pool's lock.
 * => the block that is pushed was found in order. NULL, false: the pool itself has to serve.
 */
void *ExpRefillAndPop(EXP_POOL *Pool, SIZE_T Bytes, ULONG Tag);
bool  ExpSpillAndPush(EXP_POOL *Pool, void *P, ULONG Tag);

/* Have every processor give its blocks and counts back. IRQL <= DISPATCH_LEVEL, interrupts on. */
void ExpEmptyCaches(void);

/* Add every processor's counts to the table of pooltag.c. IRQL <= DISPATCH_LEVEL, interrupts on. */
void ExpGatherCounts(void);

/* Take back what ExpPopCached has counted for a block of Bytes that it then did not have. IRQL <= DISPATCH_LEVEL. */
void ExpUncount(ULONG Tag, SIZE_T Bytes);
