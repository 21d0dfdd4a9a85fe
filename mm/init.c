/*
 * The memory manager's way up, phase by phase, and the tables on which other processors start.
 *
 * Until the page lists stand, frames come from the boot allocator and tables are reached through the self-map that the
 * loader made. The loader's tables of kernel space stay in use; of its one-to-one map only the entries are dropped.
 */
#include "mm/init.h"

#include "kernel/ke/trap.h"
#include "mm/bootmem.h"
#include "mm/cachetype.h"
#include "mm/fault.h"
#include "mm/iospace.h"
#include "mm/kstack.h"
#include "mm/physical.h"
#include "mm/pfninit.h"
#include "mm/space.h"
#include "mm/sysptecache.h"
#include "mm/window.h"
#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/unwind.h"

#define MI_TABLE_ENTRIES  512u
#define MI_KERNEL_SLOTS   256u /* the upper half of a top-level table */
#define MI_SLOT_BYTES     (512 * MI_GIB)
#define MI_IDENTITY_BYTES 0x200000ull

static const MI_TABLE_SOURCE MiBootTables = { .TakeZeroedFrame = MiTakeBootFrame, .EntryBits = X86_PTE_RW };

/* Every top-level entry that a region needs, for good. The self-map's own entry is made no-execute. */
static void MiFillTopLevel(void)
{
    for (ULONG region = 0; region < MI_REGION_COUNT; region++) {
        ULONG64 first = MiRegionTable[region].Base & ~(MI_SLOT_BYTES - 1);
        ULONG64 last = MiRegionTable[region].Base + MiRegionTable[region].Bytes - 1;
        for (ULONG64 slot = 0; slot <= (last - first) / MI_SLOT_BYTES; slot++) {
            (void)MiFillEntry(MiPxeOf((const void *)(first + slot * MI_SLOT_BYTES)), &MiBootTables);
        }
    }
    MMPTE *self = (MMPTE *)MI_PXE_BASE + MI_SELF_MAP_SLOT;
    MiExchangePteNoFlush(self, (MMPTE){ .Value = MiReadPte(self).Value | X86_PTE_NX });
}

static void MiMakeWindowTables(void)
{
    ULONG64 base = MI_BASE_OF(CPU_WINDOWS);
    (void)MiFillTables((const void *)base, (const void *)(base + MI_WINDOW_BYTES - 1), &MiBootTables);
}

static void MiMapSharedData(void)
{
    const void *va = (const void *)MI_BASE_OF(SHARED_DATA);
    (void)MiFillTables(va, va, &MiBootTables);
    MiWriteValidPte(MiPteOf(va), MiMakeValidPte(MiTakeBootFrame(NULL, NULL), MI_KERNEL_RW));
}

/*
 * Tell the entries of the frames that boot mapped where they are mapped and what they hold. Level 3 is the top-level
 * table; Va is the first address that Table's entries map.
 */
static void MiAdoptEntry(MMPTE *Entry, ULONG Level)
{
    PFN_NUMBER frame = MiPteFrame(MiReadPte(Entry));
    if (MiIsRamFrame(frame) && MiPfn(frame)->State == MiPfnActive) {
        MiPfn(frame)->PteAddress = Entry;
        if (Level > 0) {
            MiPfn(frame)->Use = MiUsePageTable;
        } else if (MiIsInRegion(MiVaOfPte(Entry), MI_REGION_PFN_DATABASE)) {
            MiPfn(frame)->Use = MiUsePfnDatabase;
        }
    }
}

static void MiAdoptTables(MMPTE *First, ULONG EntryCount, ULONG Level)
{
    for (MMPTE *entry = First; entry < First + EntryCount; entry++) {
        MMPTE value = MiReadPte(entry);
        bool  isSelf = Level == 3 && entry == (MMPTE *)MI_PXE_BASE + MI_SELF_MAP_SLOT;
        if (!MiPteIsValid(value)) {
            continue;
        }
        MiAdoptEntry(entry, isSelf ? 1 : Level);
        if (Level > 0 && !isSelf && (value.Value & X86_PTE_PS) == 0) {
            MiAdoptTables(MiVaOfPte(entry), MI_TABLE_ENTRIES, Level - 1);
        }
    }
}

/* The loader's one-to-one map goes. Its translations are not global: loading CR3 drops them. */
static void MiDropIdentity(void)
{
    RtlZeroMemory((void *)MI_PXE_BASE, MI_KERNEL_SLOTS * sizeof(MMPTE));
    __writecr3(__readcr3());
}

static void MiInitializeRegions(void)
{
    SIZE_T systemPteCount = MiRegionTable[MI_REGION_SYSTEM_PTES].Bytes / PAGE_SIZE;
    if (KiOptions.SystemPteCount != 0) {
        systemPteCount = min(systemPteCount, KiOptions.SystemPteCount);
    }
    MiInitializeSystemPtes(systemPteCount);
    MiInitializeKernelStacks();
    MiInitializeIoSpace();
}

VOID MiInitSystem(const LOADER_BLOCK *Block)
{
    MiInitializeProcessorPat();
    MiFindRam(Block);
    MiInitializeBootMemory(Block);
    MiFillTopLevel();
    MiMakeWindowTables();
    MiMapSharedData();
    MiMapPfnTables(&MiBootTables);
    MiBuildPfnDatabase(Block);
    MiDropIdentity();
    MiAdoptTables((MMPTE *)MI_PXE_BASE + MI_KERNEL_SLOTS, MI_TABLE_ENTRIES - MI_KERNEL_SLOTS, 3);
    MiInitializeRegions();
    MiInitializeSystemSpace();
    RtlpIsReadable = MiIsReadable;
    KiFaultCalls = (KI_FAULT_CALLS){ .AccessFault = MmAccessFault, .IsSpurious = MiIsSpuriousFault };
}

VOID MiFreeLoaderMemory(PVOID Va, SIZE_T ByteCount)
{
    ULONG64 page = ((ULONG64)Va + PAGE_SIZE - 1) & ~(ULONG64)(PAGE_SIZE - 1);
    ULONG64 end = ((ULONG64)Va + ByteCount) & ~(ULONG64)(PAGE_SIZE - 1);
    for (; page < end; page += PAGE_SIZE) {
        NT_ASSERT(MiIsInRegion((const void *)page, MI_REGION_LOADER_DATA));
        MMPTE old = MiExchangePteNoFlush(MiPteOf((const void *)page), (MMPTE){ 0 });
        NT_ASSERT(MiPteIsValid(old));
        KiFlushSystemRange((const void *)page, 1);
        MiFreeFrame(MiPteFrame(old));
    }
}

static MMPTE MiTableEntry(PFN_NUMBER Frame)
{
    return MiMakeValidPte(Frame, X86_PTE_RW);
}

VOID MiMapIdentity(ULONG64 Physical, ULONG PageCount, ULONG64 *RootPhysical)
{
    NT_ASSERT(PageCount > MI_IDENTITY_TABLE_PAGES && Physical + (ULONG64)PageCount * PAGE_SIZE <= MI_IDENTITY_BYTES);
    PFN_NUMBER root = (Physical >> PAGE_SHIFT) + PageCount - MI_IDENTITY_TABLE_PAGES;
    KIRQL      oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    MMPTE *table = MiMapFrameInWindow(root, MiWindowTable3);
    RtlZeroMemory(table, PAGE_SIZE);
    RtlCopyMemory(table + MI_KERNEL_SLOTS, (MMPTE *)MI_PXE_BASE + MI_KERNEL_SLOTS, MI_KERNEL_SLOTS * sizeof(MMPTE));
    table[0] = MiTableEntry(root + 1);
    MiUnmapWindow(MiWindowTable3);
    table = MiMapFrameInWindow(root + 1, MiWindowTable2);
    RtlZeroMemory(table, PAGE_SIZE);
    table[0] = MiTableEntry(root + 2);
    MiUnmapWindow(MiWindowTable2);
    table = MiMapFrameInWindow(root + 2, MiWindowTable1);
    RtlZeroMemory(table, PAGE_SIZE);
    table[0] = MiMakeValidPte(0, X86_PTE_RW | X86_PTE_D | X86_PTE_PS);
    MiUnmapWindow(MiWindowTable1);
    KeLowerIrql(oldIrql);
    *RootPhysical = root << PAGE_SHIFT;
}

VOID MiUnmapIdentity(ULONG64 Physical, ULONG PageCount)
{
    PFN_NUMBER root = (Physical >> PAGE_SHIFT) + PageCount - MI_IDENTITY_TABLE_PAGES;
    for (ULONG page = 0; page < MI_IDENTITY_TABLE_PAGES; page++) {
        MiZeroFrame(root + page);
    }
}
