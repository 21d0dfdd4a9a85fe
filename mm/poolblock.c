/*
 * Small pool blocks.
 *
 * Problem. Blocks of 1 to 4064 bytes that never cross a page, 16-byte aligned, each with the header that Windows'
 * debuggers and drivers' habits expect; and no bad free may pass.
 *
 * Representation. A page is an unbroken chain of blocks; a header gives its own size and that of the block before it,
 * so both neighbours of a block are one addition away. Free blocks are linked through their data in a list per size. A
 * free block of one granule has no room for links: it is on no list and waits for a neighbour to merge with. A page
 * that becomes wholly free leaves the lists: its first header is zeroed (256 granules do not fit into BlockSize), and
 * the page is kept for reuse or given back.
 *
 * Invariants.
 *  - The sizes in a page add up to 256 granules, and each PreviousSize is the BlockSize before it.
 *  - No two free blocks are neighbours.
 *  - A header that was a block's start and no longer is has EXP_HEADER_IN_USE clear, so that a second free is seen even
 *    after the block was merged into another.
 *  - FreeMap and FreeBlockCount agree with FreeLists.
 *
 * Checks. A free looks at the block's header and at both neighbours' sizes; only when these disagree is the page walked
 * from its start, to say whether P is inside a block, was freed before, or who was overrun. A list link is followed
 * only after it was found to lie in the pool or in the list heads, and the links must answer each other.
 *
 * Locking and IRQL. One lock a pool, at DISPATCH_LEVEL. Pages come and go outside it.
 *
 * Left out: caches per processor; a pattern in freed memory.
 */
#include "mm/poolblock.h"

#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/memory.h"
#include "kernel/rtl/random.h"
#include "mm/poolcodes.h"
#include "mm/pooltag.h"

EXP_POOL ExpPools[MI_POOL_KINDS] = {
    [MiPoolNonPagedExecute] = { .Lock = KI_LOCK_INIT(LOCK_POOL), .Kind = MiPoolNonPagedExecute },
    [MiPoolPaged] = { .Lock = KI_LOCK_INIT(LOCK_POOL), .Kind = MiPoolPaged },
    [MiPoolNonPagedNx] = { .Lock = KI_LOCK_INIT(LOCK_POOL), .Kind = MiPoolNonPagedNx },
};

ULONG64 ExpPoolCookie;

void ExpInitializeBlocks(void)
{
    ULONG64 state = KiOptions.HasSeed ? KiOptions.Seed : __rdtsc();
    ExpPoolCookie = RtlpRandom(&state);
    for (ULONG kind = 0; kind < MI_POOL_KINDS; kind++) {
        for (ULONG i = 0; i < EXP_PAGE_GRANULES; i++) {
            InitializeListHead(&ExpPools[kind].FreeLists[i]);
        }
    }
}

/* A header's place in its page, in granules. */
static ULONG ExpIndexOf(const POOL_HEADER *Header)
{
    return BYTE_OFFSET(Header) / EXP_GRANULE_BYTES;
}

static LIST_ENTRY *ExpLinksOf(POOL_HEADER *Header)
{
    return (LIST_ENTRY *)(Header + 1);
}

static POOL_HEADER *ExpHeaderOf(LIST_ENTRY *Links)
{
    return (POOL_HEADER *)Links - 1;
}

/* Taken from the pool: in use, or on a processor's list. */
static bool ExpIsTaken(const POOL_HEADER *Header)
{
    return (Header->PoolType & EXP_HEADER_IN_USE) != 0;
}

static bool ExpIsInUse(const POOL_HEADER *Header)
{
    return (Header->PoolType & (EXP_HEADER_IN_USE | EXP_HEADER_CACHED)) == EXP_HEADER_IN_USE;
}

/* In one store: who frees a neighbour meanwhile reads PreviousSize without the lock. */
static void ExpWriteHeader(POOL_HEADER *Header, POOL_HEADER Value)
{
    ULONG64 word;
    (RtlCopyMemory)(&word, &Value, sizeof(word));
    *(volatile ULONG64 *)Header = word;
    Header->ProcessBilled = Value.ProcessBilled;
}

/* The block after Header, or NULL at the page's end. */
static POOL_HEADER *ExpNextOf(POOL_HEADER *Header)
{
    return ExpIndexOf(Header) + Header->BlockSize < EXP_PAGE_GRANULES ? Header + Header->BlockSize : NULL;
}

static void ExpUpdateNext(POOL_HEADER *Header)
{
    POOL_HEADER *next = ExpNextOf(Header);
    if (next != NULL) {
        next->PreviousSize = Header->BlockSize;
    }
}

/* May a list link be followed: does it point to a list head or to a granule of the pool's region? */
static bool ExpIsPlausibleLink(const EXP_POOL *Pool, const LIST_ENTRY *Link)
{
    if ((ULONG64)Link - (ULONG64)Pool->FreeLists < sizeof(Pool->FreeLists)) {
        return true;
    }
    ULONG region = Pool->Kind == MiPoolPaged ? MI_REGION_PAGED_POOL : MI_REGION_NONPAGED_POOL;
    return MiIsInRegion(Link, region) && (ULONG64)Link % EXP_GRANULE_BYTES == 0;
}

static void ExpUnlinkLocked(EXP_POOL *Pool, POOL_HEADER *Header) __attribute__((requires_capability(Pool->Lock)))
{
    LIST_ENTRY *entry = ExpLinksOf(Header);
    LIST_ENTRY *forward = entry->Flink;
    LIST_ENTRY *backward = entry->Blink;
    if (!ExpIsPlausibleLink(Pool, forward) || !ExpIsPlausibleLink(Pool, backward) || forward->Blink != entry ||
        backward->Flink != entry) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_LIST_LINK, (ULONG_PTR)entry, (ULONG_PTR)forward, (ULONG_PTR)backward);
    }
    forward->Blink = backward;
    backward->Flink = forward;
    Pool->FreeBlockCount--;
    ULONG size = Header->BlockSize;
    if (forward == backward && forward == &Pool->FreeLists[size]) {
        Pool->FreeMap[size / 64] &= ~(1ull << (size % 64));
    }
}

/* Make Header a free block of Granules behind one of PreviousSize, and offer it. */
static void ExpMakeFreeLocked(EXP_POOL *Pool, POOL_HEADER *Header, ULONG PreviousSize, ULONG Granules)
    __attribute__((requires_capability(Pool->Lock)))
{
    ExpWriteHeader(Header, (POOL_HEADER){
                               .PreviousSize = (UCHAR)PreviousSize,
                               .PoolIndex = (UCHAR)Pool->Kind,
                               .BlockSize = (UCHAR)Granules,
                               .PoolTag = Header->PoolTag,
                           });
    ExpUpdateNext(Header);
    if (Granules > 1) {
        InsertHeadList(&Pool->FreeLists[Granules], ExpLinksOf(Header));
        Pool->FreeMap[Granules / 64] |= 1ull << (Granules % 64);
        Pool->FreeBlockCount++;
    }
}

/* How far into a free span at Header the block's header goes so that its data is aligned. */
static ULONG ExpLead(const POOL_HEADER *Header, ULONG AlignGranules)
{
    return (0u - (ExpIndexOf(Header) + 1)) & (AlignGranules - 1);
}

/* Cut a block in use out of the free, unlinked span of Span granules at Free. */
static void *ExpCarveLocked(EXP_POOL *Pool, POOL_HEADER *Free, ULONG Span, ULONG Granules, ULONG AlignGranules,
                            ULONG Tag) __attribute__((requires_capability(Pool->Lock)))
{
    ULONG        lead = ExpLead(Free, AlignGranules);
    ULONG        previous = Free->PreviousSize;
    POOL_HEADER *block = Free + lead;
    if (lead != 0) {
        ExpMakeFreeLocked(Pool, Free, previous, lead);
        previous = lead;
    }
    ExpWriteHeader(block, (POOL_HEADER){
                              .PreviousSize = (UCHAR)previous,
                              .PoolIndex = (UCHAR)Pool->Kind,
                              .BlockSize = (UCHAR)Granules,
                              .PoolType = ExpHeaderTypeOf(Pool->Kind),
                              .PoolTag = Tag,
                          });
    block->ProcessBilled = (PVOID)ExpHeaderCheck(block);
    ULONG rest = Span - lead - Granules;
    if (rest != 0) {
        ExpMakeFreeLocked(Pool, block + Granules, Granules, rest);
    } else {
        ExpUpdateNext(block);
    }
    return block + 1;
}

/* The smallest list of blocks of Granules or more, or 0. */
static ULONG ExpFindListLocked(const EXP_POOL *Pool, ULONG Granules) __attribute__((requires_capability(Pool->Lock)))
{
    for (ULONG word = Granules / 64; word < RTL_NUMBER_OF(Pool->FreeMap); word++) {
        ULONG64 bits = Pool->FreeMap[word];
        if (word == Granules / 64) {
            bits &= ~0ull << (Granules % 64);
        }
        if (bits != 0) {
            return word * 64 + (ULONG)__builtin_ctzll(bits);
        }
    }
    return 0;
}

static void *ExpTakeBlockLocked(EXP_POOL *Pool, ULONG Granules, ULONG AlignGranules, ULONG Tag)
    __attribute__((requires_capability(Pool->Lock)))
{
    ULONG list = ExpFindListLocked(Pool, Granules + AlignGranules - 1);
    if (list != 0) {
        POOL_HEADER *free = ExpHeaderOf(Pool->FreeLists[list].Flink);
        if (ExpIsTaken(free) || free->BlockSize != list) {
            KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FREE_HEADER, (ULONG_PTR)free, ExpHeaderContents(free), 0);
        }
        ExpUnlinkLocked(Pool, free);
        return ExpCarveLocked(Pool, free, list, Granules, AlignGranules, Tag);
    }
    if (Pool->EmptyPageCount != 0) {
        POOL_HEADER *page = Pool->EmptyPages[--Pool->EmptyPageCount];
        return ExpCarveLocked(Pool, page, EXP_PAGE_GRANULES, Granules, AlignGranules, Tag);
    }
    return NULL;
}

/* One step of a page walk: Header is where the chain behind Before (NULL: the page's start) leads. */
static void ExpCheckHeader(const POOL_HEADER *Before, const POOL_HEADER *Header)
{
    if (Header->PreviousSize != (Before == NULL ? 0 : Before->BlockSize)) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_NEIGHBOURS, (ULONG_PTR)Before, 0, (ULONG_PTR)Header);
    }
    if (Header->BlockSize == 0) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_SIZE_ZERO, 0, 0, (ULONG_PTR)Header);
    }
    if (ExpIndexOf(Header) + Header->BlockSize > EXP_PAGE_GRANULES) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_SIZE_LARGE, (ULONG_PTR)Header, 0, (ULONG_PTR)Header);
    }
}

/* What a walk over a pool's pages found. */
typedef struct _EXP_POOL_COUNTS {
    SIZE_T EmptyPages;
    SIZE_T FreeBlocks; /* of two granules and more: those that are on a list */
} EXP_POOL_COUNTS;

static void ExpCheckPage(void *Page, void *Context)
{
    EXP_POOL_COUNTS   *counts = Context;
    const POOL_HEADER *before = NULL;
    POOL_HEADER       *header = Page;
    if (header->BlockSize == 0) {
        counts->EmptyPages++;
        return;
    }
    while (header != NULL) {
        ExpCheckHeader(before, header);
        if (!ExpIsTaken(header) && before != NULL && !ExpIsTaken(before)) {
            KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FREE_HEADER, (ULONG_PTR)header, ExpHeaderContents(header), 0);
        }
        counts->FreeBlocks += !ExpIsTaken(header) && header->BlockSize > 1;
        before = header;
        header = ExpNextOf(header);
    }
}

/* check=all: the page that an operation has changed, walked while the lock is held. */
static void ExpCheckAfter(void *P)
{
    EXP_POOL_COUNTS counts = { .EmptyPages = 0 };
    if (KiOptions.CheckAll) {
        ExpCheckPage(PAGE_ALIGN(P), &counts);
    }
}

void *ExpAllocateBlock(EXP_POOL *Pool, ULONG Granules, ULONG AlignGranules, ULONG Tag)
{
    KIRQL irql = KiAcquireLock(&Pool->Lock);
    void *block = ExpTakeBlockLocked(Pool, Granules, AlignGranules, Tag);
    if (block != NULL) {
        ExpCheckAfter(block);
    }
    KiReleaseLock(&Pool->Lock, irql);
    if (block == NULL) {
        POOL_HEADER *page = MiAllocatePoolPages(Pool->Kind, 1, Pool);
        if (page == NULL) {
            return NULL;
        }
        *page = (POOL_HEADER){ .PoolTag = Tag };
        irql = KiAcquireLock(&Pool->Lock);
        block = ExpCarveLocked(Pool, page, EXP_PAGE_GRANULES, Granules, AlignGranules, Tag);
        KiReleaseLock(&Pool->Lock, irql);
    }
    return block;
}

static void ExpMarkCached(void *Block, void *Next)
{
    ((POOL_HEADER *)Block - 1)->PoolType |= EXP_HEADER_CACHED;
    *(void **)Block = Next;
}

void *ExpAllocateChain(EXP_POOL *Pool, ULONG Granules, ULONG *Count)
{
    void *first = ExpAllocateBlock(Pool, Granules, 1, EXP_TAG_CACHED);
    ULONG count = 0;
    void *last = first;
    KIRQL irql = KiAcquireLock(&Pool->Lock);
    while (last != NULL) {
        void *next = ++count < *Count ? ExpTakeBlockLocked(Pool, Granules, 1, EXP_TAG_CACHED) : NULL;
        ExpMarkCached(last, next);
        last = next;
    }
    KiReleaseLock(&Pool->Lock, irql);
    *Count = count;
    return first;
}

/* Do Header's own fields and its neighbours' sizes agree that a block starts here? */
static bool ExpIsSound(POOL_HEADER *Header)
{
    ULONG index = ExpIndexOf(Header);
    ULONG previous = Header->PreviousSize;
    if (Header->BlockSize == 0 || index + Header->BlockSize > EXP_PAGE_GRANULES) {
        return false;
    }
    if (previous > index || (previous == 0) != (index == 0)) {
        return false;
    }
    if (previous != 0 && (Header - previous)->BlockSize != previous) {
        return false;
    }
    const POOL_HEADER *next = ExpNextOf(Header);
    return next == NULL || next->PreviousSize == Header->BlockSize;
}

static bool ExpIsBlock(POOL_HEADER *Header)
{
    return BYTE_OFFSET(Header) % EXP_GRANULE_BYTES == 0 && ExpIsInUse(Header) && ExpIsSound(Header);
}

/* P lies in the block or free space at Header, which is sound in itself, and cannot be freed: say why. */
static DECLSPEC_NORETURN void ExpBlameFree(const EXP_POOL *Pool, POOL_HEADER *Header, void *P)
{
    const POOL_HEADER *next = ExpNextOf(Header);
    bool               isStart = P == (void *)(Header + 1);
    if (!ExpIsInUse(Header) && isStart) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_FREED, 0, ExpHeaderContents(Header), (ULONG_PTR)P);
    }
    if (!ExpIsInUse(Header)) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_FREED_INSIDE, 0, (ULONG_PTR)Header, ExpHeaderContents(Header));
    }
    if (!isStart) {
        ULONG region = Pool->Kind == MiPoolPaged ? MI_REGION_PAGED_POOL : MI_REGION_NONPAGED_POOL;
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_MIDDLE, (ULONG_PTR)P, 0,
                     ((ULONG64)P - MiRegionTable[region].Base) >> PAGE_SHIFT);
    }
    if (next != NULL && (ULONG64)next->ProcessBilled == ExpHeaderCheck(next)) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_NEIGHBOURS, (ULONG_PTR)Header, 0, (ULONG_PTR)next);
    }
    if (next != NULL) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FOLLOWING, (ULONG_PTR)P, Header->BlockSize * EXP_GRANULE_BYTES,
                     ExpHeaderContents(next));
    }
    KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_NO_BLOCK, (ULONG_PTR)P, 0, 0);
}

/* P, in a page of Pool, is not what a free or a query may be given: walk the page and say what is wrong. */
static DECLSPEC_NORETURN void ExpExplainBadFree(const EXP_POOL *Pool, void *P)
{
    const POOL_HEADER *before = NULL;
    POOL_HEADER       *header = PAGE_ALIGN(P);
    if (header->BlockSize == 0 && header->PoolType == 0) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_FREED, 0, ExpHeaderContents((POOL_HEADER *)P - 1), (ULONG_PTR)P);
    }
    for (;;) {
        ExpCheckHeader(before, header);
        POOL_HEADER *end = header + header->BlockSize;
        if (P < (void *)end) {
            ExpBlameFree(Pool, header, P);
        }
        before = header;
        header = end;
    }
}

/* Take a free neighbour off its list, to be merged; its size comes back. */
static ULONG ExpAbsorbLocked(EXP_POOL *Pool, POOL_HEADER *Neighbour) __attribute__((requires_capability(Pool->Lock)))
{
    if (!ExpIsSound(Neighbour)) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FREE_HEADER, (ULONG_PTR)Neighbour, ExpHeaderContents(Neighbour), 0);
    }
    if (Neighbour->BlockSize > 1) {
        ExpUnlinkLocked(Pool, Neighbour);
    }
    return Neighbour->BlockSize;
}

/* Free the block and merge it with free neighbours; a page that is to be given back comes back, else NULL. */
static void *ExpMergeLocked(EXP_POOL *Pool, POOL_HEADER *Header) __attribute__((requires_capability(Pool->Lock)))
{
    POOL_HEADER *first = Header;
    POOL_HEADER *next = ExpNextOf(Header);
    ULONG        size = Header->BlockSize;
    Header->PoolType = 0;
    if (next != NULL && !ExpIsTaken(next)) {
        size += ExpAbsorbLocked(Pool, next);
    }
    if (Header->PreviousSize != 0 && !ExpIsTaken(Header - Header->PreviousSize)) {
        first = Header - Header->PreviousSize;
        size += ExpAbsorbLocked(Pool, first);
    }
    if (size < EXP_PAGE_GRANULES) {
        ExpMakeFreeLocked(Pool, first, first->PreviousSize, size);
        return NULL;
    }
    *first = (POOL_HEADER){ .PoolTag = first->PoolTag };
    if (Pool->EmptyPageCount == EXP_EMPTY_PAGES) {
        return first;
    }
    Pool->EmptyPages[Pool->EmptyPageCount++] = first;
    return NULL;
}

ULONG ExpCheckFreedBlock(EXP_POOL *Pool, void *P, ULONG Tag)
{
    POOL_HEADER *header = (POOL_HEADER *)P - 1;
    KIRQL        irql = KiAcquireLock(&Pool->Lock);
    if (!ExpIsBlock(header)) {
        ExpExplainBadFree(Pool, P);
    }
    ULONG tag = header->PoolTag;
    if (Tag != 0 && Tag != tag) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_WRONG_TAG, (ULONG_PTR)P, tag, Tag);
    }
    if ((ULONG64)header->ProcessBilled != ExpHeaderCheck(header)) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_BAD_PROCESS, (ULONG_PTR)P, tag, (ULONG_PTR)header->ProcessBilled);
    }
    KiReleaseLock(&Pool->Lock, irql);
    return tag;
}

void ExpFreeBlock(EXP_POOL *Pool, void *P)
{
    POOL_HEADER *header = (POOL_HEADER *)P - 1;
    KIRQL        irql = KiAcquireLock(&Pool->Lock);
    if (!ExpIsBlock(header)) {
        ExpExplainBadFree(Pool, P);
    }
    void *page = ExpMergeLocked(Pool, header);
    ExpCheckAfter(P);
    KiReleaseLock(&Pool->Lock, irql);
    if (page != NULL) {
        MiFreePoolPages(page, 1);
    }
}

void ExpFreeChain(EXP_POOL *Pool, void *First)
{
    void *pages = NULL;
    KIRQL irql = KiAcquireLock(&Pool->Lock);
    while (First != NULL) {
        void        *block = First;
        POOL_HEADER *header = (POOL_HEADER *)block - 1;
        First = *(void **)block;
        if (!ExpIsTaken(header) || !ExpIsSound(header)) {
            KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_FREE_HEADER, (ULONG_PTR)header, ExpHeaderContents(header), 0);
        }
        void *page = ExpMergeLocked(Pool, header);
        if (page != NULL) {
            *((void **)page + 2) = pages;
            pages = page;
        }
    }
    KiReleaseLock(&Pool->Lock, irql);
    while (pages != NULL) {
        void *page = pages;
        pages = *((void **)page + 2);
        MiFreePoolPages(page, 1);
    }
}

SIZE_T ExpSmallBlockBytes(EXP_POOL *Pool, const void *P)
{
    POOL_HEADER *header = (POOL_HEADER *)P - 1;
    SIZE_T       bytes = 0;
    KIRQL        irql = KiAcquireLock(&Pool->Lock);
    if (ExpIsBlock(header)) {
        bytes = header->BlockSize * EXP_GRANULE_BYTES - sizeof(*header);
    }
    KiReleaseLock(&Pool->Lock, irql);
    return bytes;
}

void ExpTrimBlocks(void)
{
    for (ULONG kind = 0; kind < MI_POOL_KINDS; kind++) {
        EXP_POOL *pool = &ExpPools[kind];
        void     *page;
        do {
            KIRQL irql = KiAcquireLock(&pool->Lock);
            page = pool->EmptyPageCount == 0 ? NULL : pool->EmptyPages[--pool->EmptyPageCount];
            KiReleaseLock(&pool->Lock, irql);
            if (page != NULL) {
                MiFreePoolPages(page, 1);
            }
        } while (page != NULL);
    }
}

void ExpCheckBlocks(void)
{
    for (ULONG kind = 0; kind < MI_POOL_KINDS; kind++) {
        EXP_POOL       *pool = &ExpPools[kind];
        EXP_POOL_COUNTS counts = { .EmptyPages = 0 };
        KIRQL           irql = KiAcquireLock(&pool->Lock);
        MiVisitPoolPages(pool->Kind, pool, ExpCheckPage, &counts);
        NT_ASSERT(counts.EmptyPages == pool->EmptyPageCount);
        NT_ASSERT(counts.FreeBlocks == pool->FreeBlockCount);
        KiReleaseLock(&pool->Lock, irql);
    }
}
