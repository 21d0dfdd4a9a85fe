/*
 * The pages behind user addresses.
 *
 * An entry of a private page is zero until the page is first touched; then it maps a zeroed frame and owns it
 * (MI_PTE_OWNED). What a touch may do is the range's to say (mm/range.h): under PAGE_NOACCESS or PAGE_GUARD a frame
 * that is already there waits in a MiPteNoAccess entry, with its contents and its share. D is set with RW, so the
 * processor writes no entry.
 *
 * The order of taking a page away is the one that lock-free readers of these entries rely on (mm/pfn.h): the entry is
 * exchanged, every CPU that may hold the translation has answered, then the share is dropped; a lock taken meanwhile
 * keeps the frame.
 *
 * Locking and IRQL. Everything under the process's SpaceLock, in the process's own address space.
 */
#include "mm/userpage.h"

#include "kernel/amd64/pte.h"
#include "kernel/ke/tlb.h"
#include "mm/cachetype.h"
#include "mm/range.h"

#define MI_BATCH_PAGES 64u /* removed per shootdown */
#define MI_TABLE_BYTES (512ull * PAGE_SIZE)

#define MI_PAGE_WRITABLE   (PAGE_READWRITE | PAGE_EXECUTE_READWRITE)
#define MI_PAGE_EXECUTABLE (PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE)

MMPTE MiMakeUserPte(PFN_NUMBER Frame, ULONG Protect)
{
    ULONG64 bits = X86_PTE_US | MI_PTE_OWNED;
    if ((Protect & MI_PAGE_WRITABLE) != 0) {
        bits |= X86_PTE_RW | X86_PTE_D | MI_PTE_WRITE_PERMITTED;
    }
    if ((Protect & MI_PAGE_EXECUTABLE) == 0) {
        bits |= X86_PTE_NX;
    }
    return MiMakeValidPte(Frame, bits);
}

static bool MiForbidsAll(ULONG Protect)
{
    return (Protect & (PAGE_GUARD | PAGE_NOACCESS)) != 0;
}

/* What becomes of the entry of a page that has a frame. */
static MMPTE MiMakeProtectedPte(PFN_NUMBER Frame, ULONG Protect)
{
    return MiForbidsAll(Protect) ? MiMakeNoAccessPte(MiNoAccessProtection, Frame) : MiMakeUserPte(Frame, Protect);
}

/* How many bytes around Va lack an entry because one table is missing; 0: none is. */
static ULONG64 MiMissingSpan(const void *Va)
{
    if (!MiPteIsValid(MiReadPte(MiPxeOf(Va)))) {
        return MI_TABLE_BYTES * 512 * 512;
    }
    if (!MiPteIsValid(MiReadPte(MiPpeOf(Va)))) {
        return MI_TABLE_BYTES * 512;
    }
    return MiPteIsValid(MiReadPte(MiPdeOf(Va))) ? 0 : MI_TABLE_BYTES;
}

/* The next address at or above Va, below End, whose entry owns a frame; End: none. Skips what has no tables. */
static ULONG64 MiNextOwnedPage(ULONG64 Va, ULONG64 End)
{
    while (Va < End) {
        ULONG64 missing = MiMissingSpan((const void *)Va);
        if (missing != 0) {
            Va = (Va | (missing - 1)) + 1;
        } else if (MiOwnedFrame(MiReadPte(MiPteOf((const void *)Va))) == MI_PFN_NONE) {
            Va += PAGE_SIZE;
        } else {
            return Va;
        }
    }
    return End;
}

void MiRemoveUserPagesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End)
{
    PFN_NUMBER frames[MI_BATCH_PAGES];
    ULONG64    va = MiNextOwnedPage(First, End);
    while (va < End) {
        ULONG64 batchFirst = va;
        ULONG64 batchEnd = va;
        ULONG   frameCount = 0;
        while (va < End && frameCount < MI_BATCH_PAGES && va - batchFirst < MI_TABLE_BYTES) {
            MMPTE *pte = MiPteOf((const void *)va);
            frames[frameCount++] = MiPteFrame(MiExchangePteNoFlush(pte, (MMPTE){ 0 }));
            batchEnd = va + PAGE_SIZE;
            va = MiNextOwnedPage(batchEnd, End);
        }
        KiFlushProcessRange(&Process->Pcb, (const void *)batchFirst, (PFN_COUNT)((batchEnd - batchFirst) / PAGE_SIZE));
        Process->PrivatePages -= frameCount;
        while (frameCount > 0) {
            MiReleaseFrame(frames[--frameCount]);
        }
    }
}

void MiProtectUserPagesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End, ULONG Protect)
{
    for (ULONG64 va = MiNextOwnedPage(First, End); va < End; va = MiNextOwnedPage(va + PAGE_SIZE, End)) {
        MMPTE *pte = MiPteOf((const void *)va);
        MMPTE  old = MiReadPte(pte);
        MiExchangePteNoFlush(pte, MiMakeProtectedPte(MiOwnedFrame(old), Protect));
        if (MiPteIsValid(old)) {
            KiFlushProcessRange(&Process->Pcb, (const void *)va, 1);
        }
    }
}

static PFN_NUMBER MiTakeUserTable(void *Context, MMPTE *Entry)
{
    EPROCESS  *process = Context;
    PFN_NUMBER frame = MiAllocateFrame(MiUsePageTable, MiPageZeroed);
    if (frame != MI_PFN_NONE) {
        MiPfn(frame)->PteAddress = Entry;
        MiPfn(frame)->Owner = process;
        process->TablePages++;
    }
    return frame;
}

NTSTATUS MiMakeUserTablesLocked(EPROCESS *Process, const void *First, const void *Last)
{
    const MI_TABLE_SOURCE source = {
        .TakeZeroedFrame = MiTakeUserTable,
        .Context = Process,
        .EntryBits = X86_PTE_RW | X86_PTE_US,
    };
    return NT_SUCCESS(MiFillTables(First, Last, &source)) ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

/* Give Va its page, or make the one it has accessible, under Protect, which permits the access. */
static NTSTATUS MiFillUserPageLocked(EPROCESS *Process, const void *Va, ULONG Protect) MI_SPACE_LOCK_HELD;

static NTSTATUS MiFillUserPageLocked(EPROCESS *Process, const void *Va, ULONG Protect)
{
    if (!NT_SUCCESS(MiMakeUserTablesLocked(Process, Va, Va))) {
        return STATUS_NO_MEMORY;
    }
    MMPTE *pte = MiPteOf(Va);
    MMPTE  old = MiReadPte(pte);
    if (MiPteIsValid(old)) {
        KiFlushLocalPage(Va); /* another CPU made it so since the fault */
        return STATUS_SUCCESS;
    }
    PFN_NUMBER frame = MiOwnedFrame(old);
    if (frame == MI_PFN_NONE) {
        frame = MiAllocateFrame(MiUseProcess, MiPageZeroed);
        if (frame == MI_PFN_NONE) {
            return STATUS_NO_MEMORY;
        }
        MiPfn(frame)->CacheType = MmCached;
        MiPfn(frame)->PteAddress = pte;
        MiPfn(frame)->Owner = Process;
        Process->PrivatePages++;
    }
    MiWriteValidPte(pte, MiMakeUserPte(frame, Protect));
    return STATUS_SUCCESS;
}

static bool MiProtectPermits(ULONG Protect, ULONG64 ErrorCode)
{
    if ((ErrorCode & X86_PF_W) != 0) {
        return (Protect & MI_PAGE_WRITABLE) != 0;
    }
    return (ErrorCode & X86_PF_I) == 0 || (Protect & MI_PAGE_EXECUTABLE) != 0;
}

static NTSTATUS MiUserFaultLocked(EPROCESS *Process, ULONG64 ErrorCode, const void *Va) MI_SPACE_LOCK_HELD;

static NTSTATUS MiUserFaultLocked(EPROCESS *Process, ULONG64 ErrorCode, const void *Va)
{
    MI_RANGE *range = MiFindRangeLocked(Process, (ULONG64)Va);
    if (range == NULL || range->Protect == 0 || (range->Protect & PAGE_NOACCESS) != 0) {
        return STATUS_ACCESS_VIOLATION;
    }
    if ((range->Protect & PAGE_GUARD) != 0) {
        return STATUS_GUARD_PAGE_VIOLATION;
    }
    if (!MiProtectPermits(range->Protect, ErrorCode)) {
        return STATUS_ACCESS_VIOLATION;
    }
    if (range->Fixed != 0) {
        KiFlushLocalPage(Va);
        return MiFindValidPte(Va) != NULL ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
    }
    return MiFillUserPageLocked(Process, Va, range->Protect);
}

/* Take the guard off the page, if it is still there; false: somebody else was first. */
static bool MiTripGuardLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 Page) MI_SPACE_LOCK_HELD;

static bool MiTripGuardLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 Page)
{
    MI_RANGE *range = MiFindRangeLocked(Process, Page);
    if (range == NULL || (range->Protect & PAGE_GUARD) == 0) {
        return false;
    }
    ULONG protect = range->Protect & ~(ULONG)PAGE_GUARD;
    MiSetRangeLocked(Process, Spares, Page, Page + PAGE_SIZE, protect);
    MiProtectUserPagesLocked(Process, Page, Page + PAGE_SIZE, protect);
    return true;
}

/* The first touch of a guarded page takes the guard off that page and is told so; who comes second tries again. */
static NTSTATUS MiTripGuard(EPROCESS *Process, const void *Va)
{
    MI_SPARE_RANGES spares;
    if (!MiTakeSpareRanges(&spares)) {
        return STATUS_NO_MEMORY;
    }
    KIRQL oldIrql = KiAcquireLock(&Process->SpaceLock);
    bool  tripped = MiTripGuardLocked(Process, &spares, (ULONG64)Va & ~(ULONG64)(PAGE_SIZE - 1));
    KiReleaseLock(&Process->SpaceLock, oldIrql);
    MiDropSpareRanges(&spares);
    return tripped ? STATUS_GUARD_PAGE_VIOLATION : STATUS_SUCCESS;
}

NTSTATUS MiUserFault(EPROCESS *Process, ULONG64 ErrorCode, const void *Va)
{
    IRQL_MAX(APC_LEVEL);
    KIRQL    oldIrql = KiAcquireLock(&Process->SpaceLock);
    NTSTATUS status = MiUserFaultLocked(Process, ErrorCode, Va);
    KiReleaseLock(&Process->SpaceLock, oldIrql);
    return status == STATUS_GUARD_PAGE_VIOLATION ? MiTripGuard(Process, Va) : status;
}
