/*
 * Walking and making page tables through the self-map.
 *
 * Invariants. An entry of an upper level goes from not present to present once and then never changes while its address
 * space lives, so a walk may go down level by level without a lock: what one load found present stays so. A new table
 * is zero before the entry that points to it is stored; no processor caches what is not present, so no flush is owed.
 *
 * Locking. Tables of kernel space are made under MiTablesLock (LOCK_TABLES), those of a process under its SpaceLock.
 */
#include "mm/pte.h"

#include "kernel/ke/lock.h"
#include "mm/pfn.h"

#define MI_ENTRIES_PER_TABLE 512u
#define MI_TABLE_SPAN        (MI_ENTRIES_PER_TABLE * (ULONG64)PAGE_SIZE) /* bytes that one level-0 table maps */
#define MI_LEVEL_SHIFT       9u

static KI_LOCK MiTablesLock = KI_LOCK_INIT(LOCK_TABLES);

/* Does Entry, of an upper level, point to a table? */
static bool MiPointsToTable(const MMPTE *Entry)
{
    return (MiReadPte(Entry).Value & (X86_PTE_P | X86_PTE_PS)) == X86_PTE_P;
}

bool MiTablesExist(const void *Va)
{
    return MiIsCanonical(Va) && MiPointsToTable(MiPxeOf(Va)) && MiPointsToTable(MiPpeOf(Va)) &&
           MiPointsToTable(MiPdeOf(Va));
}

MMPTE *MiFindValidPte(const void *Va)
{
    return MiTablesExist(Va) && MiPteIsValid(MiReadPte(MiPteOf(Va))) ? MiPteOf(Va) : NULL;
}

bool MiTranslate(const void *Va, PHYSICAL_ADDRESS *Physical)
{
    const MMPTE *entries[] = { MiPxeOf(Va), MiPpeOf(Va), MiPdeOf(Va), MiPteOf(Va) };
    ULONG        spanShift = X86_PAGE_SHIFT + 3 * MI_LEVEL_SHIFT;
    if (!MiIsCanonical(Va)) {
        return false;
    }
    for (ULONG level = 0; level < ARRAYSIZE(entries); level++, spanShift -= MI_LEVEL_SHIFT) {
        MMPTE entry = MiReadPte(entries[level]);
        if (!MiPteIsValid(entry)) {
            return false;
        }
        if (spanShift == X86_PAGE_SHIFT || (level > 0 && (entry.Value & X86_PTE_PS) != 0)) {
            ULONG64 offsetMask = (1ull << spanShift) - 1;
            Physical->QuadPart = (LONGLONG)((entry.Value & X86_PTE_FRAME & ~offsetMask) | ((ULONG64)Va & offsetMask));
            return true;
        }
    }
    return false;
}

bool MiFillEntry(MMPTE *Entry, const MI_TABLE_SOURCE *Source)
{
    if (MiPteIsValid(MiReadPte(Entry))) {
        return true;
    }
    PFN_NUMBER frame = Source->TakeZeroedFrame(Source->Context, Entry);
    if (frame == MI_PFN_NONE) {
        return false;
    }
    MiWriteValidPte(Entry, MiMakeValidPte(frame, Source->EntryBits));
    return true;
}

NTSTATUS MiFillTables(const void *First, const void *Last, const MI_TABLE_SOURCE *Source)
{
    ULONG64 span = (ULONG64)First & ~(MI_TABLE_SPAN - 1);
    ULONG64 spanCount = ((ULONG64)Last - span) / MI_TABLE_SPAN + 1;
    for (; spanCount > 0; spanCount--, span += MI_TABLE_SPAN) {
        const void *va = (const void *)span;
        if (!MiFillEntry(MiPxeOf(va), Source) || !MiFillEntry(MiPpeOf(va), Source) ||
            !MiFillEntry(MiPdeOf(va), Source)) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
    }
    return STATUS_SUCCESS;
}

static PFN_NUMBER MiTakeKernelTable(void *Context, MMPTE *Entry)
{
    UNREFERENCED_PARAMETER(Context);
    PFN_NUMBER frame = MiAllocateFrame(MiUsePageTable, MiPageZeroed);
    if (frame != MI_PFN_NONE) {
        MiPfn(frame)->PteAddress = Entry;
        _InterlockedIncrement64(&MiKeptFrameCount);
    }
    return frame;
}

NTSTATUS MiMakeTables(const void *First, const void *Last)
{
    static const MI_TABLE_SOURCE source = { .TakeZeroedFrame = MiTakeKernelTable, .EntryBits = X86_PTE_RW };
    NT_ASSERT((ULONG64)First >= MI_SYSTEM_START && First <= Last);
    KIRQL    oldIrql = KiAcquireLock(&MiTablesLock);
    NTSTATUS status = MiFillTables(First, Last, &source);
    KiReleaseLock(&MiTablesLock, oldIrql);
    return status;
}
