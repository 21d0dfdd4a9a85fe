/*
 * Locking pages.
 *
 * Problem. Make the pages of a range resident, check that the access is permitted, and keep their frames, whatever
 * happens to the addresses: without a lock that processors share, since every direct transfer comes through here.
 *
 * Representation. A locked page is one more reference on its frame; the MDL's array remembers which. The array is
 * worked on in order with an end mark (MI_PFN_NONE) in the entry at hand, so that a range half locked is unlocked by
 * the routine that unlocks a whole one. A frame that the PFN database does not describe is device memory: it has no
 * references, and the MDL is marked MDL_IO_SPACE.
 *
 * Why the fast path needs no lock. User pages and paged pool are taken away in one order only: the entry is cleared,
 * every processor that may have the translation is interrupted and answers, then the frame's reference is dropped. A
 * processor that has interrupts off between reading a valid entry and raising the count delays the answer, so the count
 * it raises is not yet 0. Other system addresses give no such promise (a deferred unmap drops first), so there the
 * count is raised only if it is above 0 and the entry is read again afterwards: if it still names the frame, the frame
 * was the page's all the time that matters.
 *
 * Locking and IRQL. Nothing is held between pages. <= DISPATCH_LEVEL for what is resident, else <= APC_LEVEL. The
 * caller serialises the calls on one MDL.
 *
 * Cost. One walk and one atomic addition a page.
 *
 * Left out: MmProbeAndLockProcessPages, MmProbeAndLockSelectedPages; a limit per process.
 */
#include "mm/mdllock.h"

#include "kernel/ke/lock.h"
#include "mm/fault.h"
#include "mm/pfn.h"
#include "mm/probe.h"
#include "mm/space.h"

/*
 * How often a page is mended and looked at again before the call gives up. Others may take the page away each time,
 * but no one does so for long.
 */
#define MI_LOCK_ATTEMPTS 256u

#define MI_UNLOCK_NOT_LOCKED 0x01u /* PROCESS_HAS_LOCKED_PAGES: P2 MDL, P3 pages that the process has locked */

/* What every page of a call must permit. */
typedef struct _MI_LOCK_ACCESS {
    ULONG64         PteBits;   /* that the entry must have */
    ULONG64         ErrorCode; /* that a fault of this access would have */
    KPROCESSOR_MODE Mode;
} MI_LOCK_ACCESS;

/*
 * Raise the count of the frame that the valid entry Seen of *Pte names, for an address whose remover may not wait for
 * us.
 */
static bool MiReferenceIfStable(const MMPTE *Pte, MMPTE Seen)
{
    MMPFN *pfn = MiPfn(MiPteFrame(Seen));
    LONG   count = pfn->ReferenceCount;
    while (count > 0) {
        LONG found = _InterlockedCompareExchange(&pfn->ReferenceCount, count + 1, count);
        if (found != count) {
            count = found;
            continue;
        }
        if (((MiReadPte(Pte).Value ^ Seen.Value) & (X86_PTE_FRAME | X86_PTE_P)) == 0) {
            return true;
        }
        MiDereferenceFrame(MiPteFrame(Seen));
        return false;
    }
    return false;
}

/* Lock the page of a system address if it is there and permits the access. */
static bool MiTryLockSystemPage(const void *Va, ULONG64 PteBits, PFN_NUMBER *Frame)
{
    const MMPTE *pte = MiFindValidPte(Va);
    if (pte == NULL) {
        return false;
    }
    MMPTE value = MiReadPte(pte);
    if ((value.Value & PteBits) != PteBits) {
        return false;
    }
    if (MiIsRamFrame(MiPteFrame(value)) && !MiReferenceIfStable(pte, value)) {
        return false;
    }
    *Frame = MiPteFrame(value);
    return true;
}

/* The same for a user address or paged pool: nothing between the look and the reference can take the frame away. */
static bool MiTryLockPageableAddress(const void *Va, ULONG64 PteBits, PFN_NUMBER *Frame)
{
    bool    isLocked = false;
    ULONG64 flags = __readeflags();
    _disable();
    const MMPTE *pte = MiFindValidPte(Va);
    MMPTE        value = { .Value = 0 };
    if (pte != NULL) {
        value = MiReadPte(pte);
    }
    if ((value.Value & PteBits) == PteBits) {
        if (MiIsRamFrame(MiPteFrame(value))) {
            MiReferenceFrame(MiPteFrame(value));
        }
        *Frame = MiPteFrame(value);
        isLocked = true;
    }
    __writeeflags(flags);
    return isLocked;
}

static bool MiTryLockPage(const void *Va, ULONG64 PteBits, PFN_NUMBER *Frame)
{
    bool isPageable = MiIsUserAddress(Va) || MiIsInRegion(Va, MI_REGION_PAGED_POOL);
    return isPageable ? MiTryLockPageableAddress(Va, PteBits, Frame) : MiTryLockSystemPage(Va, PteBits, Frame);
}

/* Bring the page in and have the access permitted, or say why not. */
static NTSTATUS MiMendPage(const void *Va, const MI_LOCK_ACCESS *Access)
{
    KIRQL irql = KeGetCurrentIrql();
    if (irql <= APC_LEVEL) {
        return MiMakeResident(Access->ErrorCode, Va, Access->Mode);
    }
    if (MiIsUserAddress(Va)) {
        KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, (ULONG_PTR)Va, irql, (Access->ErrorCode & X86_PF_W) != 0,
                     (ULONG_PTR)__builtin_return_address(0));
    }
    return STATUS_ACCESS_VIOLATION;
}

static NTSTATUS MiLockPage(const void *Va, const MI_LOCK_ACCESS *Access, PFN_NUMBER *Frame)
{
    for (ULONG attempt = 0; attempt < MI_LOCK_ATTEMPTS; attempt++) {
        if (MiTryLockPage(Va, Access->PteBits, Frame)) {
            return STATUS_SUCCESS;
        }
        NTSTATUS status = MiMendPage(Va, Access);
        if (!NT_SUCCESS(status)) {
            return status;
        }
    }
    return STATUS_INSUFFICIENT_RESOURCES;
}

/* Undo MiLockPage for the entries of Frames up to Count or the end mark. */
static void MiUnlockFrames(const PFN_NUMBER *Frames, PFN_COUNT Count, LOCK_OPERATION Operation)
{
    for (PFN_COUNT i = 0; i < Count && Frames[i] != MI_PFN_NONE; i++) {
        if (!MiIsRamFrame(Frames[i])) {
            continue;
        }
        if (Operation != IoReadAccess && !MiPfn(Frames[i])->Modified) {
            MiPfn(Frames[i])->Modified = 1;
        }
        MiDereferenceFrame(Frames[i]);
    }
}

/* May the range be asked for at all: the user's alone, or the kernel's with no end in the user's space? */
static bool MiIsLockableRange(const MDL *Mdl, KPROCESSOR_MODE AccessMode)
{
    ULONG64 start = (ULONG64)MmGetMdlVirtualAddress(Mdl);
    if (AccessMode != KernelMode || start < MI_USER_END) {
        return MiIsUserRange((const void *)start, Mdl->ByteCount);
    }
    return start >= MI_SYSTEM_START && start + Mdl->ByteCount >= start;
}

NTSTATUS MiProbeAndLock(MDL *Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    IRQL_MAX(DISPATCH_LEVEL);
    bool           isWrite = Operation != IoReadAccess;
    MI_LOCK_ACCESS access = {
        .PteBits = X86_PTE_P | (isWrite ? X86_PTE_RW : 0) | (AccessMode == UserMode ? X86_PTE_US : 0),
        .ErrorCode = (isWrite ? X86_PF_W : 0) | (AccessMode == UserMode ? X86_PF_U : 0),
        .Mode = AccessMode,
    };
    PFN_NUMBER *frames = MiMdlFrames(Mdl);
    PFN_COUNT   pageCount = MiMdlPageCount(Mdl);
    ULONG       flags = MDL_PAGES_LOCKED | (isWrite ? MDL_WRITE_OPERATION : 0);

    if (!MiIsLockableRange(Mdl, AccessMode)) {
        return STATUS_ACCESS_VIOLATION;
    }
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        frames[i] = MI_PFN_NONE;
        NTSTATUS status = MiLockPage((const UCHAR *)Mdl->StartVa + (SIZE_T)i * PAGE_SIZE, &access, &frames[i]);
        if (!NT_SUCCESS(status)) {
            MiUnlockFrames(frames, pageCount, IoReadAccess);
            return status;
        }
        if (!MiIsRamFrame(frames[i])) {
            flags |= MDL_IO_SPACE;
        }
    }
    EPROCESS *process = MiIsUserAddress(Mdl->StartVa) ? MiCurrentProcess() : NULL;
    if (process != NULL) {
        _InterlockedExchangeAdd64(&process->LockedPages, pageCount);
    }
    Mdl->Process = process;
    MiClearMdlFlags(Mdl, MDL_WRITE_OPERATION | MDL_IO_SPACE);
    MiSetMdlFlags(Mdl, flags);
    return STATUS_SUCCESS;
}

VOID NTAPI MmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    NTSTATUS status = MiProbeAndLock(MemoryDescriptorList, AccessMode, Operation);
    if (!NT_SUCCESS(status)) {
        ExRaiseStatus(status);
    }
}

/*
 * Unmap what the MDL has mapped in system space, then let go of the frames. Any thread, any address space.
 *
 * => IRQL <= DISPATCH_LEVEL. An MDL that is not locked is bug check 0x76/1; a frame unlocked too often 0x4E/7.
 */
VOID NTAPI MmUnlockPages(PMDL MemoryDescriptorList)
{
    MDL        *mdl = MemoryDescriptorList;
    PFN_NUMBER *frames = MiMdlFrames(mdl);
    PFN_COUNT   pageCount = MiMdlPageCount(mdl);
    EPROCESS   *process = mdl->Process;

    if (MiIsMdlCallStopped(mdl, MiMdlUnlock)) {
        KeBugCheckEx(PROCESS_HAS_LOCKED_PAGES, MI_UNLOCK_NOT_LOCKED, (ULONG_PTR)mdl,
                     (ULONG_PTR)MiCurrentProcess()->LockedPages, 0);
    }
    if ((MiMdlFlags(mdl) & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
    }
    MiUnlockFrames(frames, pageCount, (MiMdlFlags(mdl) & MDL_WRITE_OPERATION) != 0 ? IoWriteAccess : IoReadAccess);
    if (pageCount != 0) {
        frames[0] = MI_PFN_NONE;
    }
    if (process != NULL) {
        _InterlockedExchangeAdd64(&process->LockedPages, -(LONG64)pageCount);
    }
    mdl->Process = NULL;
    MiClearMdlFlags(mdl, MDL_PAGES_LOCKED);
}
