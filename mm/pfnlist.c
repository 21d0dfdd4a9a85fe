/*
 * Page lists: free, zeroed, standby and modified frames, and the RAM that has no entries yet.
 *
 * Problem. A guest may have 256 GiB of which the host has given nothing: writing 48 bytes for each frame at boot would
 * touch 3 GiB. And a frame must leave its list in constant time wherever on it it stands.
 *
 * Representation. The lists are doubly linked through MMPFN.Next and Previous. A chunk is 256 frames, whose entries
 * fill three pages. A chunk that was wholly free at boot is dormant: a bit in a map says so, its part of the database
 * is not mapped. It is woken when the lists run low, the highest first, so that low memory stays for those who must
 * have it, or when an allocation's range reaches it. Three listed frames become the pages of its entries; the tables
 * above them exist since boot.
 *
 * Invariants. While a chunk is dormant, all its frames are free. While any chunk is dormant, at least MI_LISTED_LEAST
 * frames are on the free and zeroed lists whenever the lock is not held by an allocation. A frame on a list has no
 * references. The zeroed list is bounded by MI_ZEROED_MOST, since zeroing touches memory that may never be wanted.
 *
 * Locking and IRQL. Everything here is guarded by MiPfnLock, a spin lock at DISPATCH_LEVEL. The map of dormant chunks
 * is read without it: a bit is cleared after the entries can be read, and never set again.
 *
 * Cost. Allocating and freeing a frame are constant but for the waking of a chunk, once in 256. Freed frames go to
 * the head and are taken first: they are warm, and a sparse guest touches as little as it can.
 *
 * Left out. Freed pages are not patterned: a store to each byte of them would cost more than all else here together.
 */
#include "mm/pfnlist.h"

#include "mm/window.h"

#define MI_LISTED_LEAST 512u  /* two chunks: what waking and a scan's step may take before they look again */
#define MI_ZEROED_MOST  1024u /* 4 MiB */

typedef struct _MI_PAGE_LIST {
    PFN_NUMBER First;
    PFN_NUMBER Last;
    SIZE_T     FrameCount;
} MI_PAGE_LIST;

#define MI_EMPTY_LIST                             \
    {                                             \
        .First = MI_PFN_NONE, .Last = MI_PFN_NONE \
    }

KI_LOCK MiPfnLock = KI_LOCK_INIT(LOCK_PFN);

/* By MI_PFN_STATE. */
static MI_PAGE_LIST MiPageLists[MiPfnModified + 1]
    __attribute__((guarded_by(MiPfnLock))) = { MI_EMPTY_LIST, MI_EMPTY_LIST, MI_EMPTY_LIST, MI_EMPTY_LIST };
static SIZE_T     MiDormantFrameCount __attribute__((guarded_by(MiPfnLock)));
static PFN_NUMBER MiDormantEnd __attribute__((guarded_by(MiPfnLock))); /* no chunk from here up is dormant */

static MI_PAGE_LIST *MiPrepareInsertLocked(PFN_NUMBER Frame, MI_PFN_STATE State) MI_PFN_LOCK_HELD;

static MI_PAGE_LIST *MiPrepareInsertLocked(PFN_NUMBER Frame, MI_PFN_STATE State)
{
    MMPFN *pfn = MiPfn(Frame);
    NT_ASSERT(State <= MiPfnModified && pfn->ReferenceCount == 0);
    pfn->State = (UCHAR)State;
    pfn->Use = MiUseNone;
    pfn->CacheType = MI_CACHE_NOT_MAPPED;
    MiPageLists[State].FrameCount++;
    return &MiPageLists[State];
}

void MiInsertFrameLocked(PFN_NUMBER Frame, MI_PFN_STATE State)
{
    MI_PAGE_LIST *list = MiPrepareInsertLocked(Frame, State);
    MMPFN        *pfn = MiPfn(Frame);
    pfn->Previous = MI_PFN_NONE;
    pfn->Next = list->First;
    *(list->First == MI_PFN_NONE ? &list->Last : &MiPfn(list->First)->Previous) = Frame;
    list->First = Frame;
}

static void MiAppendFrameLocked(PFN_NUMBER Frame, MI_PFN_STATE State) MI_PFN_LOCK_HELD;

static void MiAppendFrameLocked(PFN_NUMBER Frame, MI_PFN_STATE State)
{
    MI_PAGE_LIST *list = MiPrepareInsertLocked(Frame, State);
    MMPFN        *pfn = MiPfn(Frame);
    pfn->Next = MI_PFN_NONE;
    pfn->Previous = list->Last;
    *(list->Last == MI_PFN_NONE ? &list->First : &MiPfn(list->Last)->Next) = Frame;
    list->Last = Frame;
}

/* The link of List, or of its frame Neighbour, that must name Frame. */
static void MiReplaceLinkLocked(PFN_NUMBER *Link, PFN_NUMBER Frame, PFN_NUMBER Replacement) MI_PFN_LOCK_HELD;

static void MiReplaceLinkLocked(PFN_NUMBER *Link, PFN_NUMBER Frame, PFN_NUMBER Replacement)
{
    if (*Link != Frame) {
        MiPfnCorrupt(MI_PFN_CORRUPT_LIST, Frame, MiHighestFrame, (ULONG_PTR)MiPfn(Frame)->ReferenceCount);
    }
    *Link = Replacement;
}

static void MiUnlinkFrameLocked(PFN_NUMBER Frame) MI_PFN_LOCK_HELD;

static void MiUnlinkFrameLocked(PFN_NUMBER Frame)
{
    MMPFN *pfn = MiPfn(Frame);
    if (pfn->State > MiPfnModified || pfn->ReferenceCount != 0) {
        MiPfnCorrupt(MI_PFN_CORRUPT_LIST, Frame, MiHighestFrame, (ULONG_PTR)pfn->ReferenceCount);
    }
    MI_PAGE_LIST *list = &MiPageLists[pfn->State];
    MiReplaceLinkLocked(pfn->Previous == MI_PFN_NONE ? &list->First : &MiPfn(pfn->Previous)->Next, Frame, pfn->Next);
    MiReplaceLinkLocked(pfn->Next == MI_PFN_NONE ? &list->Last : &MiPfn(pfn->Next)->Previous, Frame, pfn->Previous);
    list->FrameCount--;
}

void MiClaimFrameLocked(PFN_NUMBER Frame, MI_PFN_USE Use)
{
    MiUnlinkFrameLocked(Frame);
    *MiPfn(Frame) = (MMPFN){
        .ShareCount = 1,
        .ReferenceCount = 1,
        .State = MiPfnActive,
        .Use = (UCHAR)Use,
        .CacheType = MI_CACHE_NOT_MAPPED,
    };
}

void MiMarkDormantLocked(PFN_NUMBER Chunk)
{
    MI_DORMANT_MAP[Chunk / 64] |= 1ll << (Chunk % 64);
    MiDormantFrameCount += MI_CHUNK_FRAMES;
    MiDormantEnd = max(MiDormantEnd, Chunk + 1);
}

void MiDescribeChunk(PFN_NUMBER Chunk, const PFN_NUMBER *DatabaseFrames)
{
    MMPFN *entries = MiPfn(Chunk * MI_CHUNK_FRAMES);
    for (ULONG page = 0; page < MI_CHUNK_PAGES; page++) {
        MiWriteValidPte(MiPteOf(entries) + page, MiMakeValidPte(DatabaseFrames[page], MI_KERNEL_RW));
    }
    RtlZeroMemory(entries, MI_CHUNK_PAGES * PAGE_SIZE);
}

static PFN_NUMBER MiTakeDatabaseFrameLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd) MI_PFN_LOCK_HELD;

static PFN_NUMBER MiTakeDatabaseFrameLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd)
{
    for (ULONG state = MiPfnFree; state <= MiPfnZeroed; state++) {
        PFN_NUMBER frame = MiPageLists[state].First;
        while (frame != MI_PFN_NONE && frame - AvoidFirst < AvoidEnd - AvoidFirst) {
            frame = MiPfn(frame)->Next;
        }
        if (frame != MI_PFN_NONE) {
            MiClaimFrameLocked(frame, MiUsePfnDatabase);
            return frame;
        }
    }
    return MI_PFN_NONE;
}

static void MiUnclaimFrameLocked(PFN_NUMBER Frame) MI_PFN_LOCK_HELD;

static void MiUnclaimFrameLocked(PFN_NUMBER Frame)
{
    MiPfn(Frame)->ReferenceCount = 0;
    MiInsertFrameLocked(Frame, MiPfnFree);
}

bool MiWakeChunkLocked(PFN_NUMBER Chunk, PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd)
{
    PFN_NUMBER databaseFrames[MI_CHUNK_PAGES];
    for (ULONG page = 0; page < MI_CHUNK_PAGES; page++) {
        databaseFrames[page] = MiTakeDatabaseFrameLocked(AvoidFirst, AvoidEnd);
        if (databaseFrames[page] == MI_PFN_NONE) {
            while (page > 0) {
                MiUnclaimFrameLocked(databaseFrames[--page]);
            }
            return false;
        }
    }
    MiDescribeChunk(Chunk, databaseFrames);
    for (ULONG page = 0; page < MI_CHUNK_PAGES; page++) {
        MiPfn(databaseFrames[page])->PteAddress = MiPteOf(MiPfn(Chunk * MI_CHUNK_FRAMES)) + page;
    }
    for (ULONG index = 0; index < MI_CHUNK_FRAMES; index++) {
        MiAppendFrameLocked(Chunk * MI_CHUNK_FRAMES + index, MiPfnFree);
    }
    MiDormantFrameCount -= MI_CHUNK_FRAMES;
    _InterlockedExchangeAdd64(&MiKeptFrameCount, MI_CHUNK_PAGES);
    /* Interlocked, and so behind the stores above: who sees the bit clear may read the entries. */
    _InterlockedAnd64(&MI_DORMANT_MAP[Chunk / 64], ~(1ll << (Chunk % 64)));
    return true;
}

/* The highest dormant chunk below End, or MI_PFN_NONE. */
static PFN_NUMBER MiFindDormantChunkLocked(PFN_NUMBER End) MI_PFN_LOCK_HELD;

static PFN_NUMBER MiFindDormantChunkLocked(PFN_NUMBER End)
{
    for (PFN_NUMBER chunk = End; chunk-- > 0;) {
        if (MI_DORMANT_MAP[chunk / 64] == 0) {
            chunk -= chunk % 64;
        } else if (MiIsDormant(chunk * MI_CHUNK_FRAMES)) {
            return chunk;
        }
    }
    return MI_PFN_NONE;
}

/* Wake the highest dormant chunk outside [AvoidFirst, AvoidEnd); false: there is none, or nothing to wake it with. */
static bool MiWakeHighestLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd) MI_PFN_LOCK_HELD;

static bool MiWakeHighestLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd)
{
    PFN_NUMBER chunk = MiFindDormantChunkLocked(MiDormantEnd);
    MiDormantEnd = chunk != MI_PFN_NONE ? chunk + 1 : 0;
    if (AvoidEnd > AvoidFirst && chunk != MI_PFN_NONE && chunk <= MiChunkOf(AvoidEnd - 1) &&
        chunk >= MiChunkOf(AvoidFirst)) {
        chunk = MiFindDormantChunkLocked(MiChunkOf(AvoidFirst));
    }
    return chunk != MI_PFN_NONE && MiWakeChunkLocked(chunk, AvoidFirst, AvoidEnd);
}

static SIZE_T MiListedCountLocked(void) MI_PFN_LOCK_HELD;

static SIZE_T MiListedCountLocked(void)
{
    return MiPageLists[MiPfnFree].FrameCount + MiPageLists[MiPfnZeroed].FrameCount;
}

void MiStockListsLocked(void)
{
    while (MiDormantFrameCount != 0 && MiListedCountLocked() < MI_LISTED_LEAST) {
        if (!MiWakeHighestLocked(0, 0)) {
            return;
        }
    }
}

bool MiStockOutsideLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd, SIZE_T ListedInside, SIZE_T Wanted)
{
    while (MiListedCountLocked() < ListedInside + Wanted) {
        if (!MiWakeHighestLocked(AvoidFirst, AvoidEnd)) {
            return false;
        }
    }
    return true;
}

/* A frame from the lists, of the wanted contents if one is there; *NeedsZero says whether it is still to be filled. */
static PFN_NUMBER MiTakeFrameLocked(MI_PFN_USE Use, MI_PAGE_CONTENT Content, bool *NeedsZero) MI_PFN_LOCK_HELD;

static PFN_NUMBER MiTakeFrameLocked(MI_PFN_USE Use, MI_PAGE_CONTENT Content, bool *NeedsZero)
{
    MiStockListsLocked();
    MI_PFN_STATE first = Content == MiPageZeroed ? MiPfnZeroed : MiPfnFree;
    MI_PFN_STATE second = Content == MiPageZeroed ? MiPfnFree : MiPfnZeroed;
    PFN_NUMBER   frame = MiPageLists[MiPageLists[first].First != MI_PFN_NONE ? first : second].First;
    if (frame != MI_PFN_NONE) {
        *NeedsZero = Content == MiPageZeroed && MiPfn(frame)->State != MiPfnZeroed;
        MiClaimFrameLocked(frame, Use);
    }
    return frame;
}

PFN_NUMBER MiAllocateFrame(MI_PFN_USE Use, MI_PAGE_CONTENT Content)
{
    IRQL_MAX(DISPATCH_LEVEL);
    bool       needsZero = false;
    KIRQL      oldIrql = KiAcquireLock(&MiPfnLock);
    PFN_NUMBER frame = MiTakeFrameLocked(Use, Content, &needsZero);
    KiReleaseLock(&MiPfnLock, oldIrql);
    if (needsZero) {
        MiZeroFrame(frame);
    }
    return frame;
}

SIZE_T MiFreeFrameCount(void) __attribute__((no_thread_safety_analysis)) /* racy by contract */
{
    return MiPageLists[MiPfnFree].FrameCount + MiPageLists[MiPfnZeroed].FrameCount +
           MiPageLists[MiPfnStandby].FrameCount + MiDormantFrameCount;
}

/* Frames from the zeroed list are moved one at a time, so that nobody waits for a page to be filled. */
PFN_COUNT MiStockZeroedFrames(PFN_COUNT PageCount)
{
    PFN_COUNT movedCount = 0;
    for (; movedCount < PageCount; movedCount++) {
        KIRQL      oldIrql = KiAcquireLock(&MiPfnLock);
        PFN_NUMBER frame = MiPageLists[MiPfnFree].First;
        bool       wanted = MiPageLists[MiPfnZeroed].FrameCount < MI_ZEROED_MOST && frame != MI_PFN_NONE;
        if (wanted) {
            MiClaimFrameLocked(frame, MiUseNone);
        }
        KiReleaseLock(&MiPfnLock, oldIrql);
        if (!wanted) {
            break;
        }
        MiZeroFrame(frame);
        oldIrql = KiAcquireLock(&MiPfnLock);
        MiPfn(frame)->ReferenceCount = 0;
        MiInsertFrameLocked(frame, MiPfnZeroed);
        KiReleaseLock(&MiPfnLock, oldIrql);
    }
    return movedCount;
}

void MiCheckListsLocked(const SIZE_T *Counts, SIZE_T DormantFrames)
{
    for (ULONG state = MiPfnFree; state <= MiPfnModified; state++) {
        SIZE_T     frameCount = 0;
        PFN_NUMBER previous = MI_PFN_NONE;
        for (PFN_NUMBER frame = MiPageLists[state].First; frame != MI_PFN_NONE; frame = MiPfn(frame)->Next) {
            if (!MiIsRamFrame(frame) || MiPfn(frame)->State != state || MiPfn(frame)->Previous != previous) {
                MiPfnCorrupt(MI_PFN_CORRUPT_LIST, frame, MiHighestFrame, 0);
            }
            previous = frame;
            frameCount++;
        }
        NT_ASSERT(frameCount == MiPageLists[state].FrameCount && frameCount == Counts[state]);
        NT_ASSERT(previous == MiPageLists[state].Last);
    }
    NT_ASSERT(DormantFrames == MiDormantFrameCount);
}
