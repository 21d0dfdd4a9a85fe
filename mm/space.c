/*
 * Address spaces: made and taken down from outside, through windows onto their tables; nobody need run in them.
 *
 * A space's upper half is a copy of the system's top-level entries, which never change, but for the self-map's own.
 * Its lower half starts with one page: KUSER_SHARED_DATA, read-only.
 *
 * Teardown. No thread uses the space any more, and a processor leaves an address space as soon as its thread does, so
 * no CR3 names the tables, and loading another dropped every translation, since none is global. The tables are only
 * memory then: they are walked by frame number and freed without a shootdown. IRQL is DISPATCH_LEVEL for one table of
 * the lowest level at a time.
 */
#include "mm/space.h"

#include "kernel/ke/kobjects.h"
#include "kernel/ke/thread.h"
#include "mm/range.h"
#include "mm/window.h"

#define MI_TABLE_ENTRIES 512u
#define MI_HALF_ENTRIES  256u
#define MI_TOP_LEVEL     3u
#define MI_SPACE_FRAMES  4u /* the tables that lead to KUSER_SHARED_DATA, one a level */

/* Idle threads join it before anything of mm runs. */
EPROCESS MiSystemProcess = {
    .Pcb = {
        .Header = {
            .Type = ProcessObject,
            .Size = sizeof(KPROCESS) / sizeof(LONG),
            .WaitListHead = { &MiSystemProcess.Pcb.Header.WaitListHead, &MiSystemProcess.Pcb.Header.WaitListHead },
        },
        .ThreadListHead = { &MiSystemProcess.Pcb.ThreadListHead, &MiSystemProcess.Pcb.ThreadListHead },
        .ActiveProcessors = 1, /* the boot processor; the others add themselves */
    },
    .SpaceLock = KI_LOCK_INIT(LOCK_SPACE),
    .RangeListHead = { &MiSystemProcess.RangeListHead, &MiSystemProcess.RangeListHead },
};

KPROCESS *KiSystemProcess = &MiSystemProcess.Pcb;

EPROCESS *MiCurrentProcess(void)
{
    const KTHREAD *thread = (const KTHREAD *)KeGetCurrentThread();
    return CONTAINING_RECORD((KPROCESS *)thread->ApcState.Process, EPROCESS, Pcb);
}

static void MiInitializeProcessBlock(EPROCESS *Process, PFN_NUMBER RootFrame)
{
    Process->Pcb.Header.Type = ProcessObject;
    Process->Pcb.Header.Size = sizeof(KPROCESS) / sizeof(LONG);
    InitializeListHead(&Process->Pcb.Header.WaitListHead);
    InitializeListHead(&Process->Pcb.ThreadListHead);
    Process->Pcb.DirectoryTableBase = RootFrame << PAGE_SHIFT;
    Process->SpaceLock = (KI_LOCK)KI_LOCK_INIT(LOCK_SPACE);
    InitializeListHead(&Process->RangeListHead);
    Process->RootFrame = RootFrame;
}

void MiInitializeSystemSpace(void)
{
    MiSystemProcess.RootFrame = (__readcr3() & X86_PTE_FRAME) >> PAGE_SHIFT;
    MiSystemProcess.Pcb.DirectoryTableBase = MiSystemProcess.RootFrame << PAGE_SHIFT;
}

static PFN_NUMBER MiSharedDataFrame(void)
{
    return MiPteFrame(MiReadPte(MiPteOf((const void *)MI_BASE_OF(SHARED_DATA))));
}

/* The index of Va's entry in a table of Level. */
static ULONG MiIndexAtLevel(ULONG64 Va, ULONG Level)
{
    return (ULONG)(Va >> (PAGE_SHIFT + 9 * Level)) & (MI_TABLE_ENTRIES - 1);
}

/* Put Entry into the table that Frame is. IRQL == DISPATCH_LEVEL. */
static void MiStoreEntry(PFN_NUMBER Frame, ULONG Index, MMPTE Entry)
{
    MMPTE *table = MiMapFrameInWindow(Frame, MiWindowTable0);
    MiWriteValidPte(&table[Index], Entry);
    MiUnmapWindow(MiWindowTable0);
}

/* Frames[n] becomes the table of level n, on the way to KUSER_SHARED_DATA. */
static void MiBuildFirstTables(const PFN_NUMBER *Frames)
{
    PFN_NUMBER root = Frames[MI_TOP_LEVEL];
    KIRQL      oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    const MMPTE *kernelHalf = (const MMPTE *)MI_PXE_BASE + MI_HALF_ENTRIES;
    MMPTE       *table = MiMapFrameInWindow(root, MiWindowTable3);
    RtlCopyMemory(table + MI_HALF_ENTRIES, kernelHalf, MI_HALF_ENTRIES * sizeof(MMPTE));
    table[MI_SELF_MAP_SLOT] = MiMakeValidPte(root, X86_PTE_RW | X86_PTE_D | X86_PTE_NX);
    MiUnmapWindow(MiWindowTable3);
    for (ULONG level = MI_TOP_LEVEL; level > 0; level--) {
        MMPTE entry = MiMakeValidPte(Frames[level - 1], X86_PTE_RW | X86_PTE_US);
        MiStoreEntry(Frames[level], MiIndexAtLevel(MI_USER_SHARED, level), entry);
    }
    MMPTE shared = MiMakeValidPte(MiSharedDataFrame(), X86_PTE_US | X86_PTE_NX);
    MiStoreEntry(Frames[0], MiIndexAtLevel(MI_USER_SHARED, 0), shared);
    KeLowerIrql(oldIrql);
}

NTSTATUS MiInitializeAddressSpace(EPROCESS *Process)
{
    PFN_NUMBER      frames[MI_SPACE_FRAMES];
    MI_SPARE_RANGES spares;
    if (!MiTakeSpareRanges(&spares)) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PFN_COUNT frameCount = MiAllocateFrames(MiUsePageTable, MiPageZeroed, 0, MI_PFN_NONE, MI_SPACE_FRAMES, frames);
    if (frameCount < MI_SPACE_FRAMES) {
        while (frameCount > 0) {
            MiFreeFrame(frames[--frameCount]);
        }
        MiDropSpareRanges(&spares);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    MiInitializeProcessBlock(Process, frames[MI_TOP_LEVEL]);
    MiBuildFirstTables(frames);
    KIRQL oldIrql = KiAcquireLock(&Process->SpaceLock);
    Process->TablePages = MI_SPACE_FRAMES;
    MiAddRangeLocked(Process, &spares, MI_USER_SHARED, MI_USER_SHARED + PAGE_SIZE, PAGE_READONLY, 1);
    KiReleaseLock(&Process->SpaceLock, oldIrql);
    MiDropSpareRanges(&spares);
    return STATUS_SUCCESS;
}

/* Free the private frames of a table of the lowest level. */
static void MiReleaseLeafTable(EPROCESS *Process, PFN_NUMBER Table)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    const MMPTE *entries = MiMapFrameInWindow(Table, MiWindowTable0);
    for (ULONG index = 0; index < MI_TABLE_ENTRIES; index++) {
        PFN_NUMBER frame = MiOwnedFrame(entries[index]);
        if (frame != MI_PFN_NONE) {
            MiReleaseFrame(frame);
            Process->PrivatePages--;
        }
    }
    MiUnmapWindow(MiWindowTable0);
    KeLowerIrql(oldIrql);
}

static MMPTE MiLoadEntry(PFN_NUMBER Table, ULONG Index)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    const MMPTE *entries = MiMapFrameInWindow(Table, MiWindowTable1);
    MMPTE        entry = entries[Index];
    MiUnmapWindow(MiWindowTable1);
    KeLowerIrql(oldIrql);
    return entry;
}

/* Free Table of Level and everything under its first EntryCount entries. */
static void MiReleaseTable(EPROCESS *Process, PFN_NUMBER Table, ULONG Level, ULONG EntryCount)
{
    if (Level == 0) {
        MiReleaseLeafTable(Process, Table);
    }
    for (ULONG index = 0; Level > 0 && index < EntryCount; index++) {
        MMPTE entry = MiLoadEntry(Table, index);
        if (MiPteIsValid(entry)) {
            MiReleaseTable(Process, MiPteFrame(entry), Level - 1, MI_TABLE_ENTRIES);
        }
    }
    MiFreeFrame(Table);
    Process->TablePages--;
}

VOID MiDeleteAddressSpace(EPROCESS *Process)
{
    NT_ASSERT(KeGetCurrentIrql() == PASSIVE_LEVEL && Process != &MiSystemProcess);
    if (Process->LockedPages != 0) {
        KeBugCheckEx(PROCESS_HAS_LOCKED_PAGES, 0, (ULONG_PTR)Process, (ULONG_PTR)Process->LockedPages, 0);
    }
    NT_ASSERT(Process->Pcb.ActiveProcessors == 0);
    MiReleaseTable(Process, Process->RootFrame, MI_TOP_LEVEL, MI_HALF_ENTRIES);
    MiFreeAllRanges(Process);
    NT_ASSERT(Process->PrivatePages == 0 && Process->TablePages == 0);
}
