/*
 * Frames by address: scattered ones below or above a limit, and runs of neighbours.
 *
 * Problem. A device that reaches 4 GiB, or wants its ring in one piece, needs frames that the heads of the page lists
 * do not name. Representation. The database itself is searched, upwards through the runs of RAM; a dormant chunk
 * counts as free and is woken when it is to be used.
 * Locking and IRQL. MiPfnLock; scattered frames are taken in batches, the lock dropped between them. A run is
 * searched in one go, since half a run is worth nothing.
 * Cost. Proportional to the range searched, where lists cost nothing: the price of asking for an address.
 */
#include "mm/pfnlist.h"
#include "mm/window.h"

#define MI_BATCH_FRAMES 64u   /* taken per hold of the lock; their zeroing is remembered in one word */
#define MI_SCAN_FRAMES  4096u /* looked at per hold of the lock */

/* A search in progress: where it stands, and what it has. */
typedef struct _MI_FRAME_SCAN {
    MI_PFN_USE      Use;
    MI_PAGE_CONTENT Content;
    PFN_NUMBER      Next;
    PFN_NUMBER      High;
    bool            Done;
    PFN_COUNT       TakenCount; /* of this batch */
    PFN_NUMBER      Taken[MI_BATCH_FRAMES];
    ULONG64         NeedsZero; /* bit n: Taken[n] */
} MI_FRAME_SCAN;

C_ASSERT(MI_BATCH_FRAMES <= 64);

static void MiTakeScannedLocked(MI_FRAME_SCAN *Scan, PFN_NUMBER Frame) MI_PFN_LOCK_HELD;

static void MiTakeScannedLocked(MI_FRAME_SCAN *Scan, PFN_NUMBER Frame)
{
    if (Scan->Content == MiPageZeroed && MiPfn(Frame)->State != MiPfnZeroed) {
        Scan->NeedsZero |= 1ull << Scan->TakenCount;
    }
    MiClaimFrameLocked(Frame, Scan->Use);
    Scan->Taken[Scan->TakenCount++] = Frame;
}

static bool MiIsListedFree(PFN_NUMBER Frame)
{
    return MiPfn(Frame)->State == MiPfnFree || MiPfn(Frame)->State == MiPfnZeroed;
}

/* One batch of at most Want frames. */
static void MiScanBatchLocked(MI_FRAME_SCAN *Scan, PFN_COUNT Want) MI_PFN_LOCK_HELD;

static void MiScanBatchLocked(MI_FRAME_SCAN *Scan, PFN_COUNT Want)
{
    MiStockListsLocked();
    for (ULONG seen = 0; seen < MI_SCAN_FRAMES && Scan->TakenCount < Want; seen++) {
        const MI_RAM_RUN *run = MiNextRamRun(Scan->Next);
        PFN_NUMBER        frame = run != NULL ? max(Scan->Next, run->FirstFrame) : MI_PFN_NONE;
        if (frame > Scan->High) {
            Scan->Done = true;
            return;
        }
        Scan->Next = frame + 1;
        if (MiIsDormant(frame) && !MiWakeChunkLocked(MiChunkOf(frame), 0, 0)) {
            continue;
        }
        if (MiIsListedFree(frame)) {
            MiTakeScannedLocked(Scan, frame);
        }
    }
}

PFN_COUNT MiAllocateFrames(MI_PFN_USE Use, MI_PAGE_CONTENT Content, PFN_NUMBER LowFrame, PFN_NUMBER HighFrame,
                           PFN_COUNT Count, PFN_NUMBER *Frames)
{
    PFN_COUNT count = 0;
    if (LowFrame == 0 && HighFrame >= MiHighestFrame) {
        while (count < Count && (Frames[count] = MiAllocateFrame(Use, Content)) != MI_PFN_NONE) {
            count++;
        }
        return count;
    }
    MI_FRAME_SCAN scan = { .Use = Use, .Content = Content, .Next = LowFrame, .High = min(HighFrame, MiHighestFrame) };
    while (count < Count && !scan.Done) {
        scan.TakenCount = 0;
        scan.NeedsZero = 0;
        KIRQL oldIrql = KiAcquireLock(&MiPfnLock);
        MiScanBatchLocked(&scan, min(Count - count, MI_BATCH_FRAMES));
        KiReleaseLock(&MiPfnLock, oldIrql);
        for (ULONG index = 0; index < scan.TakenCount; index++) {
            Frames[count++] = scan.Taken[index];
            if ((scan.NeedsZero >> index & 1) != 0) {
                MiZeroFrame(scan.Taken[index]);
            }
        }
    }
    return count;
}

/* What a run must fulfil. */
typedef struct _MI_RUN_WANTED {
    PFN_NUMBER High;
    PFN_NUMBER Count;
    PFN_NUMBER Boundary; /* 0: none */
    PFN_NUMBER Align;
} MI_RUN_WANTED;

static PFN_NUMBER MiAlignUp(PFN_NUMBER Frame, PFN_NUMBER Align)
{
    return (Frame + Align - 1) & ~(Align - 1);
}

static bool MiIsUsable(PFN_NUMBER Frame)
{
    return MiIsPhysicalRam(Frame) && (MiIsDormant(Frame) || MiIsListedFree(Frame));
}

/*
 * The first start at or above From of a run of usable frames. A candidate is looked at from its end down, so that
 * what spoils it is skipped in one step.
 */
static PFN_NUMBER MiFindRunLocked(const MI_RUN_WANTED *Wanted, PFN_NUMBER From) MI_PFN_LOCK_HELD;

static PFN_NUMBER MiFindRunLocked(const MI_RUN_WANTED *Wanted, PFN_NUMBER From)
{
    for (PFN_NUMBER start = MiAlignUp(From, Wanted->Align);;) {
        const MI_RAM_RUN *run = MiNextRamRun(start);
        if (run == NULL) {
            return MI_PFN_NONE;
        }
        start = MiAlignUp(max(start, run->FirstFrame), Wanted->Align);
        PFN_NUMBER last = start + Wanted->Count - 1;
        if (last > Wanted->High) {
            return MI_PFN_NONE;
        }
        if (Wanted->Boundary != 0 && ((start ^ last) & ~(Wanted->Boundary - 1)) != 0) {
            start = MiAlignUp(start + 1, max(Wanted->Boundary, Wanted->Align));
            continue;
        }
        PFN_NUMBER frame = last + 1;
        while (frame > start && MiIsUsable(frame - 1)) {
            frame--;
        }
        if (frame == start) {
            return start;
        }
        start = MiAlignUp(frame, Wanted->Align);
    }
}

typedef enum _MI_WAKE_RESULT {
    MiNothingDormant, /* the run has all its entries */
    MiSomeWoken,      /* look again: waking takes frames */
    MiWakeFailed,
} MI_WAKE_RESULT;

/* How many chunks that [First, End) touches are dormant, and how many of its frames have entries. */
static PFN_NUMBER MiCountDormantChunks(PFN_NUMBER First, PFN_NUMBER End, SIZE_T *ListedCount)
{
    PFN_NUMBER dormantCount = 0;
    *ListedCount = 0;
    for (PFN_NUMBER frame = First; frame < End;) {
        PFN_NUMBER chunkEnd = min((MiChunkOf(frame) + 1) * MI_CHUNK_FRAMES, End);
        if (MiIsDormant(frame)) {
            dormantCount++;
        } else {
            *ListedCount += chunkEnd - frame;
        }
        frame = chunkEnd;
    }
    return dormantCount;
}

/* Wake what is dormant of a run of usable frames, with frames from outside it. */
static MI_WAKE_RESULT MiWakeRunLocked(PFN_NUMBER First, PFN_NUMBER End) MI_PFN_LOCK_HELD;

static MI_WAKE_RESULT MiWakeRunLocked(PFN_NUMBER First, PFN_NUMBER End)
{
    SIZE_T     listedCount;
    PFN_NUMBER dormantCount = MiCountDormantChunks(First, End, &listedCount);
    if (dormantCount == 0) {
        return MiNothingDormant;
    }
    if (!MiStockOutsideLocked(First, End, listedCount, dormantCount * MI_CHUNK_PAGES)) {
        return MiWakeFailed;
    }
    for (PFN_NUMBER chunk = MiChunkOf(First); chunk <= MiChunkOf(End - 1); chunk++) {
        if (MiIsDormant(chunk * MI_CHUNK_FRAMES) && !MiWakeChunkLocked(chunk, First, End)) {
            return MiWakeFailed;
        }
    }
    return MiSomeWoken;
}

static PFN_NUMBER MiTakeRunLocked(MI_PFN_USE Use, const MI_RUN_WANTED *Wanted, PFN_NUMBER LowFrame) MI_PFN_LOCK_HELD;

static PFN_NUMBER MiTakeRunLocked(MI_PFN_USE Use, const MI_RUN_WANTED *Wanted, PFN_NUMBER LowFrame)
{
    MiStockListsLocked();
    PFN_NUMBER first = MiFindRunLocked(Wanted, LowFrame);
    while (first != MI_PFN_NONE) {
        MI_WAKE_RESULT result = MiWakeRunLocked(first, first + Wanted->Count);
        if (result == MiNothingDormant) {
            break;
        }
        first = result == MiWakeFailed ? MI_PFN_NONE : MiFindRunLocked(Wanted, first);
    }
    for (PFN_NUMBER index = 0; first != MI_PFN_NONE && index < Wanted->Count; index++) {
        MiClaimFrameLocked(first + index, Use);
    }
    return first;
}

PFN_NUMBER MiAllocateContiguousFrames(MI_PFN_USE Use, PFN_NUMBER LowFrame, PFN_NUMBER HighFrame, PFN_COUNT Count,
                                      PFN_NUMBER BoundaryFrames, PFN_NUMBER AlignFrames)
{
    IRQL_MAX(DISPATCH_LEVEL);
    if (Count == 0 || (BoundaryFrames != 0 && Count > BoundaryFrames) || LowFrame > HighFrame) {
        return MI_PFN_NONE;
    }
    MI_RUN_WANTED wanted = {
        .High = min(HighFrame, MiHighestFrame),
        .Count = Count,
        .Boundary = BoundaryFrames,
        .Align = max(AlignFrames, 1),
    };
    KIRQL      oldIrql = KiAcquireLock(&MiPfnLock);
    PFN_NUMBER first = MiTakeRunLocked(Use, &wanted, LowFrame);
    KiReleaseLock(&MiPfnLock, oldIrql);
    return first;
}
