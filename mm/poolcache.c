/*
 * Free blocks of nonpaged pool and counts by tag, kept by each processor.
 *
 * Problem. A block that comes and goes must cost neither a lock nor an atomic, on any number of processors; yet the
 * checks of a free and the accounting by tag stay, and memory must not pile up where nobody needs it.
 *
 * Representation. Each processor has a list per pool and size of blocks that are free for it alone and taken for the
 * pool: EXP_HEADER_CACHED tells them from blocks in use. A list that is empty takes a batch from the pool, one that is
 * full gives half of its blocks back, each under one hold of the pool's lock: so blocks freed by another processor than
 * the one that allocates them go home in batches, and merge there. Counts by tag stand in a small table that is found
 * by a hash; a tag that wants an occupied place sends the other one's counts to the table of pooltag.c.
 *
 * Invariants.
 *  - A block on a list has BlockSize of its list, PoolType IN_USE | CACHED, and a link with a check word; the header's
 *    ProcessBilled still vouches for the block in use that it was (ExpHeaderCheck), so that a second free fails there.
 *  - count + Room is the list's limit, but for a refill that overshoots.
 *  - What the tables here and in pooltag.c say of a tag adds up to what is true of it.
 *  - The cache of a processor that keeps nothing is ExpNoCache, which nobody writes to.
 *
 * Locking and IRQL. A cache belongs to its processor and is touched with interrupts off. Not at DISPATCH_LEVEL, for
 * three reasons: two writes of CR8 a call cost more than CLI and STI, on processors and under emulators that take a
 * lock for them; the stretch is shorter than any interrupt's entry; and an interprocessor interrupt can then take a
 * cache away at any moment, by exchanging a pointer. That is how caches are emptied: whoever asks gets every
 * processor's cache, and owns it. Longer work (batches, damage) happens outside.
 *
 * Cost. Per processor sizeof(EXP_CACHE), and what its lists hold: at most EXP_LIMIT_BYTES of each size up to a
 * kilobyte, two blocks of each above. A failing allocation empties all caches before it says so (pool.c).
 *
 * Left out: paged pool, whose callers are slow anyhow; a block freed by two processors in the same few instructions is
 * found when it is taken the second time, not when it is freed.
 */
#include "mm/poolcache.h"

#include "kernel/ke/bugcheck.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/lockcore.h"
#include "kernel/rtl/memory.h"
#include "mm/poolcodes.h"
#include "mm/poolhot.h"
#include "mm/pooltag.h"

#define EXP_LIMIT_BYTES       (24u * 1024u)
#define EXP_LIMIT_BLOCKS      96u /* of the smallest sizes */
#define EXP_LIMIT_LARGE       2u  /* of more than a kilobyte */
#define EXP_KILOBYTE_GRANULES 66u
#define EXP_BATCH_BLOCKS      16u

#define EXP_CACHE_PAGES ((PFN_COUNT)BYTES_TO_PAGES(sizeof(EXP_CACHE)))

EXP_CACHE ExpNoCache;

static volatile EXP_CACHING ExpCaching;

void ExpInitializeCaches(void)
{
    for (ULONG i = 0; i < KI_MAX_PROCESSORS && KiProcessorBlock[i] != NULL; i++) {
        KiProcessorBlock[i]->PoolCache = &ExpNoCache;
    }
    ExpCaching = ExpCacheBlocks;
}

static DECLSPEC_NORETURN void ExpBlameCachedBlock(EXP_CACHED_BLOCK *Block, const EXP_CACHE_LIST *List)
{
    POOL_HEADER *header = (POOL_HEADER *)Block - 1;
    if (ExpSizeAndType(header) != List->SizeAndType) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FREE_HEADER, (ULONG_PTR)header, ExpHeaderContents(header), 0);
    }
    KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_LIST_LINK, (ULONG_PTR)Block, (ULONG_PTR)Block->Next, Block->Check);
}

void ExpUncount(ULONG Tag, SIZE_T Bytes)
{
    ExpAddToTag(Tag, (ULONG64)-1, 0, 0 - ExpBlockBytesOf(Bytes));
}

static LONG ExpListLimit(ULONG Granules)
{
    if (Granules > EXP_KILOBYTE_GRANULES) {
        return EXP_LIMIT_LARGE;
    }
    return (LONG)min(EXP_LIMIT_BLOCKS, EXP_LIMIT_BYTES / (Granules * EXP_GRANULE_BYTES));
}

static EXP_POOL *ExpPoolOfColumn(ULONG Column)
{
    return &ExpPools[Column == 0 ? MiPoolNonPagedExecute : MiPoolNonPagedNx];
}

static ULONG ExpColumnOf(const EXP_POOL *Pool)
{
    return Pool->Kind == MiPoolNonPagedNx;
}

/* Move a place's counts to the common table, and the place to Tag. Interrupts are off. */
static void ExpSettleCount(EXP_CACHE_TAG *Count, ULONG Tag)
{
    if (Count->Allocations != 0 || Count->Frees != 0) {
        ExpAddToTag(Count->Tag, Count->Allocations, Count->Frees, Count->Bytes);
    }
    *Count = (EXP_CACHE_TAG){ .Tag = Tag };
}

/* A new cache for this processor, unless it has one. */
static void ExpCreateCache(void)
{
    EXP_CACHE *cache = MiAllocatePoolPages(MiPoolNonPagedNx, EXP_CACHE_PAGES, NULL);
    if (cache == NULL) {
        return;
    }
    (RtlZeroMemory)(cache, sizeof(*cache));
    for (ULONG granules = 2; granules <= EXP_MAX_GRANULES; granules++) {
        for (ULONG column = 0; column < RTL_NUMBER_OF(cache->Lists); column++) {
            ULONG type = ExpHeaderTypeOf(ExpPoolOfColumn(column)->Kind) | EXP_HEADER_CACHED;
            cache->Lists[column][granules] = (EXP_CACHE_LIST){
                .Room = ExpListLimit(granules),
                .SizeAndType = (USHORT)(granules | type << 8),
            };
        }
    }
    bool wereOn = KiDisableInterrupts();
    bool isTaken = ExpMyCache() == &ExpNoCache && ExpCaching == ExpCacheBlocks;
    if (isTaken) {
        KiPrcb()->PoolCache = cache;
    }
    KiRestoreInterrupts(wereOn);
    if (!isTaken) {
        MiFreePoolPages(cache, EXP_CACHE_PAGES);
    }
}

/* Does this processor keep blocks? It may be another one on return; only speed depends on it. */
static bool ExpHasCache(void)
{
    if (ExpCaching == ExpCacheBlocks && ExpMyCache() == &ExpNoCache) {
        ExpCreateCache();
    }
    return ExpCaching == ExpCacheBlocks;
}

/* Give Tag its place among this processor's counts. Interrupts are off. */
static void ExpPlaceTag(EXP_CACHE *Cache, ULONG Tag)
{
    EXP_CACHE_TAG *count = &Cache->Tags[ExpCacheTagIndex(Tag)];
    if (count->Tag != Tag) {
        ExpSettleCount(count, Tag);
    }
}

static EXP_CACHED_BLOCK *ExpLinkCached(EXP_CACHED_BLOCK *Block, EXP_CACHED_BLOCK *Next)
{
    Block->Next = Next;
    Block->Check = ExpLinkCheck(Next);
    return Next;
}

/* Put a chain of the pool's on this processor's list, in its order. */
static void ExpKeepChain(EXP_POOL *Pool, ULONG Granules, EXP_CACHED_BLOCK *First)
{
    if (First == NULL) {
        return;
    }
    EXP_CACHED_BLOCK *last = First;
    LONG              count = 1;
    for (; last->Next != NULL; count++) {
        last = ExpLinkCached(last, last->Next);
    }
    bool            wereOn = KiDisableInterrupts();
    EXP_CACHE      *cache = ExpMyCache();
    EXP_CACHE_LIST *list = &cache->Lists[ExpColumnOf(Pool)][Granules];
    bool            isKept = cache != &ExpNoCache;
    if (isKept) {
        ExpLinkCached(last, list->First);
        list->First = First;
        list->Room -= count;
    }
    KiRestoreInterrupts(wereOn);
    if (!isKept) {
        ExpFreeChain(Pool, First);
    }
}

/* Take the first Count blocks of a list, as a chain for the pool. */
static EXP_CACHED_BLOCK *ExpCutList(EXP_CACHE_LIST *List, LONG Count)
{
    EXP_CACHED_BLOCK *first = List->First;
    EXP_CACHED_BLOCK *last = NULL;
    for (EXP_CACHED_BLOCK *block = first; block != NULL && Count-- != 0; block = block->Next) {
        if (!ExpIsCachedSound(block, List)) {
            ExpBlameCachedBlock(block, List);
        }
        last = block;
        List->Room++;
    }
    if (last != NULL) {
        List->First = last->Next;
        last->Next = NULL;
    }
    return last != NULL ? first : NULL;
}

void *ExpRefillAndPop(EXP_POOL *Pool, SIZE_T Bytes, ULONG Tag)
{
    ULONG granules = ExpGranulesOf(Bytes);
    ULONG type = Pool->Kind == MiPoolNonPagedNx ? EXP_TYPE_NX : 0;
    if (Pool->Kind == MiPoolPaged || !ExpHasCache()) {
        return NULL;
    }
    bool              wereOn = KiDisableInterrupts();
    EXP_CACHE        *cache = ExpMyCache();
    EXP_CACHE_LIST   *list = &cache->Lists[ExpColumnOf(Pool)][granules];
    EXP_CACHED_BLOCK *first = list->First;
    if (first != NULL && !ExpIsCachedSound(first, list)) {
        ExpBlameCachedBlock(first, list);
    }
    if (cache != &ExpNoCache) {
        ExpPlaceTag(cache, Tag);
    }
    KiRestoreInterrupts(wereOn);
    if (first == NULL && cache != &ExpNoCache) {
        ULONG count = min(EXP_BATCH_BLOCKS, (ULONG)ExpListLimit(granules) / 2);
        ExpKeepChain(Pool, granules, ExpAllocateChain(Pool, granules, &count));
    }
    EXP_MISS miss;
    void    *block = ExpPopCached(type, Bytes, Tag, &miss);
    if (miss == ExpMissedCounted) {
        ExpUncount(Tag, Bytes);
    }
    return block;
}

bool ExpSpillAndPush(EXP_POOL *Pool, void *P, ULONG Tag)
{
    ULONG             granules = ((POOL_HEADER *)P - 1)->BlockSize;
    EXP_CACHED_BLOCK *spilled = NULL;
    if (Pool->Kind == MiPoolPaged || !ExpHasCache()) {
        return false;
    }
    bool       wereOn = KiDisableInterrupts();
    EXP_CACHE *cache = ExpMyCache();
    if (cache != &ExpNoCache) {
        EXP_CACHE_LIST *list = &cache->Lists[ExpColumnOf(Pool)][granules];
        ExpPlaceTag(cache, Tag);
        spilled = list->Room > 0 ? NULL : ExpCutList(list, (ExpListLimit(granules) + 1) / 2);
    }
    KiRestoreInterrupts(wereOn);
    ExpFreeChain(Pool, spilled);
    return ExpPushCached(P, ExpMatchTag, Tag);
}

static void ExpTakeCache(void *Context)
{
    EXP_CACHE **taken = Context;
    bool        wereOn = KiDisableInterrupts();
    KPRCB      *prcb = KiPrcb();
    taken[prcb->Number] = prcb->PoolCache;
    prcb->PoolCache = &ExpNoCache;
    KiRestoreInterrupts(wereOn);
}

/* A cache that belongs to no processor any more: everything goes where it belongs, the cache itself too. */
static void ExpDiscardCache(EXP_CACHE *Cache)
{
    for (ULONG i = 0; i < EXP_CACHE_TAGS; i++) {
        ExpSettleCount(&Cache->Tags[i], 0);
    }
    for (ULONG granules = 2; granules <= EXP_MAX_GRANULES; granules++) {
        for (ULONG column = 0; column < RTL_NUMBER_OF(Cache->Lists); column++) {
            ExpFreeChain(ExpPoolOfColumn(column), ExpCutList(&Cache->Lists[column][granules], MAXLONG));
        }
    }
    MiFreePoolPages(Cache, EXP_CACHE_PAGES);
}

void ExpEmptyCaches(void)
{
    EXP_CACHE *taken[KI_MAX_PROCESSORS] = { NULL };
    KIRQL      irql = KiRaiseToDispatch(); /* so that this processor stays itself */
    ExpTakeCache(taken);
    KiCallProcessors((KAFFINITY)KiActiveProcessors, ExpTakeCache, taken);
    KiLowerFromDispatch(irql);
    for (ULONG i = 0; i < RTL_NUMBER_OF(taken); i++) {
        if (taken[i] != NULL && taken[i] != &ExpNoCache) {
            ExpDiscardCache(taken[i]);
        }
    }
}

void ExpSetCaching(EXP_CACHING Caching)
{
    ExpCaching = Caching;
    if (Caching == ExpCacheNothing) {
        ExpEmptyCaches();
    }
}

static void ExpGatherMine(void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    bool       wereOn = KiDisableInterrupts();
    EXP_CACHE *cache = ExpMyCache();
    for (ULONG i = 0; cache != &ExpNoCache && i < EXP_CACHE_TAGS; i++) {
        ExpSettleCount(&cache->Tags[i], cache->Tags[i].Tag);
    }
    KiRestoreInterrupts(wereOn);
}

void ExpGatherCounts(void)
{
    KIRQL irql = KiRaiseToDispatch();
    ExpGatherMine(NULL);
    KiCallProcessors((KAFFINITY)KiActiveProcessors, ExpGatherMine, NULL);
    KiLowerFromDispatch(irql);
}
