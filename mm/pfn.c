/*
 * The PFN database: which frames are RAM, how references end, and the walk that checks everything.
 *
 * How a frame ends. Its owner drops the share: State becomes MiPfnTransition, then the reference behind the share goes.
 * Whoever takes ReferenceCount to 0, the owner or the last lock, puts the frame on the free list. The locked decrement
 * orders the store of State before it, so the one that reaches 0 sees Transition; if it sees Active, the share is still
 * there and a lock was dropped that nobody had taken.
 */
#include "mm/pfn.h"

#include "mm/pfnlist.h"

PFN_NUMBER        MiHighestFrame;
SIZE_T            MiRamFrameCount;
const MI_RAM_RUN *MiRamRuns;
ULONG             MiRamRunCount;
volatile LONG64   MiKeptFrameCount;

DECLSPEC_NORETURN void MiPfnCorrupt(ULONG SubCode, PFN_NUMBER Frame, ULONG_PTR P3, ULONG_PTR P4)
{
    KeBugCheckEx(PFN_LIST_CORRUPT, SubCode, Frame, P3, P4);
}

const MI_RAM_RUN *MiNextRamRun(PFN_NUMBER Frame)
{
    ULONG low = 0;
    ULONG high = MiRamRunCount;
    while (low < high) {
        ULONG middle = (low + high) / 2;
        if (MiRamRuns[middle].FirstFrame + MiRamRuns[middle].FrameCount <= Frame) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < MiRamRunCount ? &MiRamRuns[low] : NULL;
}

bool MiIsPhysicalRam(PFN_NUMBER Frame)
{
    const MI_RAM_RUN *run = MiNextRamRun(Frame);
    return run != NULL && Frame >= run->FirstFrame;
}

bool MiIsRamFrame(PFN_NUMBER Frame)
{
    return MiIsPhysicalRam(Frame) && !MiIsDormant(Frame);
}

static void MiPutFree(PFN_NUMBER Frame)
{
    KIRQL oldIrql = KiAcquireLock(&MiPfnLock);
    MiInsertFrameLocked(Frame, MiPfnFree);
    KiReleaseLock(&MiPfnLock, oldIrql);
}

void MiDereferenceFrame(PFN_NUMBER Frame)
{
    if (!MiIsRamFrame(Frame)) {
        MiPfnCorrupt(MI_PFN_CORRUPT_STATE, Frame, MiPfnBad, 0);
    }
    MMPFN *pfn = MiPfn(Frame);
    LONG   left = _InterlockedDecrement(&pfn->ReferenceCount);
    if (left > 0) {
        return;
    }
    if (left < 0 || pfn->State != MiPfnTransition) {
        MiPfnCorrupt(MI_PFN_CORRUPT_OVER_UNLOCKED, Frame, (ULONG_PTR)pfn->ShareCount, 0);
    }
    MiPutFree(Frame);
}

/* The owner's share goes; what stays is the reference behind it. */
static MMPFN *MiDropShare(PFN_NUMBER Frame)
{
    if (!MiIsRamFrame(Frame)) {
        MiPfnCorrupt(MI_PFN_CORRUPT_STATE, Frame, MiPfnBad, 0);
    }
    MMPFN *pfn = MiPfn(Frame);
    if (pfn->State != MiPfnActive || pfn->ShareCount != 1) {
        MiPfnCorrupt(MI_PFN_CORRUPT_STATE, Frame, pfn->State, 0);
    }
    pfn->ShareCount = 0;
    pfn->PteAddress = NULL;
    *(volatile UCHAR *)&pfn->State = MiPfnTransition;
    return pfn;
}

void MiReleaseFrame(PFN_NUMBER Frame)
{
    MiDropShare(Frame);
    MiDereferenceFrame(Frame);
}

void MiFreeFrame(PFN_NUMBER Frame)
{
    MMPFN *pfn = MiDropShare(Frame);
    if (pfn->ReferenceCount != 1) {
        MiPfnCorrupt(MI_PFN_CORRUPT_LOCKED, Frame, MiPfnActive, (ULONG_PTR)pfn->ReferenceCount);
    }
    MiDereferenceFrame(Frame);
}

/* One entry against the invariants of pfn.h; the state is counted. */
static void MiCheckFrameLocked(PFN_NUMBER Frame, SIZE_T *Counts)
{
    const MMPFN *pfn = MiPfn(Frame);
    LONG         references = pfn->ReferenceCount;
    if (pfn->State > MiPfnBad || references < 0) {
        MiPfnCorrupt(MI_PFN_CORRUPT_STATE, Frame, pfn->State, 0);
    }
    bool listed = pfn->State <= MiPfnModified;
    bool owned = pfn->State == MiPfnActive;
    if ((listed && references != 0) || (owned && (references == 0 || pfn->ShareCount <= 0))) {
        MiPfnCorrupt(MI_PFN_CORRUPT_STATE, Frame, pfn->State, (ULONG_PTR)references);
    }
    Counts[pfn->State]++;
}

void MiCheckPfnDatabase(void)
{
    SIZE_T counts[MiPfnBad + 1] = { 0 };
    SIZE_T dormantCount = 0;
    KIRQL  oldIrql = KiAcquireLock(&MiPfnLock);
    for (ULONG index = 0; index < MiRamRunCount; index++) {
        PFN_NUMBER frame = MiRamRuns[index].FirstFrame;
        PFN_NUMBER end = frame + MiRamRuns[index].FrameCount;
        for (; frame < end; frame++) {
            if (MiIsDormant(frame)) {
                dormantCount += MI_CHUNK_FRAMES;
                frame |= MI_CHUNK_FRAMES - 1;
            } else {
                MiCheckFrameLocked(frame, counts);
            }
        }
    }
    MiCheckListsLocked(counts, dormantCount);
    KiReleaseLock(&MiPfnLock, oldIrql);
}
