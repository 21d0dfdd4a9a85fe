/*
 * Mapping locked pages: what the entries hold, what every processor reads, and that nothing of a mapping survives it.
 */
#include "mm/mdlmap.h"

#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/memory.h"
#include "mm/cachetype.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_TAG   0x2070614Du /* "Map " */
#define KT_PAGES 5u

#define KT_REUSE_ROUNDS 0x40000u /* more than the system PTEs that may wait on one processor */

static UCHAR *KtMap(MDL *Mdl, ULONG Priority)
{
    UCHAR *va = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, (MM_PAGE_PRIORITY)Priority);
    KT_EXPECT_NOT_NULL(va);
    return va;
}

static MDL *KtAllocateUncachedPages(PFN_COUNT PageCount)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    return MmAllocatePagesForMdlEx(low, high, low, (SIZE_T)PageCount * PAGE_SIZE, MmNonCached,
                                   MM_ALLOCATE_FULLY_REQUIRED);
}

static ULONG64 KtPteBits(const void *Va)
{
    return MiReadPte(MiPteOf(Va)).Value & ~X86_PTE_FRAME;
}

/* Read one byte, in a function of its own so that the load stands where it is written. */
static DECLSPEC_NOINLINE UCHAR KtLoad(const volatile UCHAR *Va)
{
    return *Va;
}

/* What every processor shall find at the first byte of each page. */
typedef struct _KT_READERS {
    const UCHAR  *Va;
    PFN_COUNT     PageCount;
    UCHAR         Seed;
    volatile LONG ReaderCount;
} KT_READERS;

static void KtReadPages(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Index);
    KT_READERS *readers = Context;
    for (PFN_COUNT i = 0; i < readers->PageCount; i++) {
        KT_EXPECT_EQ(KtLoad(readers->Va + (SIZE_T)i * PAGE_SIZE), (UCHAR)(readers->Seed + i));
    }
    InterlockedIncrement(&readers->ReaderCount);
}

/* Have each processor read the mapping, and so take its translations. */
static void KtReadEverywhere(const UCHAR *Va, PFN_COUNT PageCount, UCHAR Seed)
{
    KT_READERS readers = { .Va = Va, .PageCount = PageCount, .Seed = Seed };
    KtRunOnEachProcessor(KtReadPages, &readers);
    KT_EXPECT_EQ(readers.ReaderCount, KeQueryActiveProcessorCount(NULL));
}

KTEST(mm_mdlmap, address_keeps_the_byte_offset)
{
    UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(block);
    MDL *mdl = IoAllocateMdl(block + 0x321, PAGE_SIZE + 1, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    KT_ASSERT_STATUS(KtLockPages(mdl, KernelMode, IoWriteAccess), STATUS_SUCCESS);
    UCHAR *va = KtMap(mdl, NormalPagePriority);
    KT_EXPECT_EQ(BYTE_OFFSET(va), 0x321);
    KT_EXPECT_EQ(va, mdl->MappedSystemVa);
    block[0x321] = 0x11;
    block[0x321 + PAGE_SIZE] = 0x22;
    KT_EXPECT_EQ(KtLoad(va), 0x11);
    KT_EXPECT_EQ(KtLoad(va + PAGE_SIZE), 0x22);
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    ExFreePoolWithTag(block, KT_TAG);
}

KTEST(mm_mdlmap, entries_hold_the_frames_in_order)
{
    MDL *mdl = KtAllocateMarkedPages(KT_PAGES, 1);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *va = KtMap(mdl, NormalPagePriority);
    KT_EXPECT_TRUE(MiIsInRegion(va, MI_REGION_SYSTEM_PTES));
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free - KT_PAGES);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        MMPTE pte = MiReadPte(MiPteOf(va) + i);
        KT_EXPECT_EQ(MiPteFrame(pte), MmGetMdlPfnArray(mdl)[i]);
        KT_EXPECT_EQ(pte.Value & ~X86_PTE_FRAME, X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D | X86_PTE_G);
        KT_EXPECT_EQ(KtLoad(va + i * PAGE_SIZE), 1 + i);
    }
    MmUnmapLockedPages(va, mdl);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, priority_bits_limit_the_access)
{
    MDL *mdl = KtAllocateMarkedPages(1, 1);
    KT_ASSERT_NOT_NULL(mdl);
    UCHAR *va = KtMap(mdl, NormalPagePriority | MdlMappingNoWrite | MdlMappingNoExecute);
    KT_EXPECT_EQ(KtPteBits(va) & (X86_PTE_RW | X86_PTE_D), 0);
    KT_EXPECT_NE(KtPteBits(va) & X86_PTE_NX, 0);
    MmUnmapLockedPages(va, mdl);
    va = KtMap(mdl, HighPagePriority | MdlMappingNoExecute);
    KT_EXPECT_EQ(KtPteBits(va) & (X86_PTE_RW | X86_PTE_NX), X86_PTE_RW | X86_PTE_NX);
    MmUnmapLockedPages(va, mdl);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, guard_entries_stand_on_both_sides)
{
    MDL *mdl = KtAllocateMarkedPages(2, 1);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *va = KtMap(mdl, NormalPagePriority | MdlMappingWithGuardPtes);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free - 4);
    KT_EXPECT_EQ(MiReadPte(MiPteOf(va) - 1).Value, 0);
    KT_EXPECT_EQ(MiReadPte(MiPteOf(va) + 2).Value, 0);
    MmUnmapLockedPages(va, mdl);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, second_safe_call_returns_the_first_address)
{
    MDL *mdl = KtAllocateMarkedPages(2, 1);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();
    void  *first = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    KT_EXPECT_NOT_NULL(first);
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), first);
    KT_EXPECT_EQ(MmGetSystemAddressForMdl(mdl), first);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free - 2);
    MmUnmapLockedPages(first, mdl);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, unmap_clears_the_entries_and_returns_them)
{
    MDL *mdl = KtAllocateMarkedPages(KT_PAGES, 1);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *va = KtMap(mdl, NormalPagePriority);
    MmUnmapLockedPages(va, mdl);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        MMPTE pte = MiReadPte(MiPteOf(va) + i);
        KT_EXPECT_FALSE(MiPteIsValid(pte));
        KT_EXPECT_NE(MiPteFrame(pte), MmGetMdlPfnArray(mdl)[i]);
        KT_EXPECT_EQ(KtReferences(MmGetMdlPfnArray(mdl)[i]), 1);
    }
    KT_EXPECT_EQ(MiMdlFlags(mdl), MDL_PAGES_LOCKED);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    MiCheckPteRegion(&MiSystemPteRegion);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, every_processor_reads_the_mapping)
{
    MDL *mdl = KtAllocateMarkedPages(KT_PAGES, 0x40);
    KT_ASSERT_NOT_NULL(mdl);
    UCHAR *va = KtMap(mdl, NormalPagePriority);
    KtReadEverywhere(va, KT_PAGES, 0x40);
    MmUnmapLockedPages(va, mdl);
    KtFreeMarkedPages(mdl);
}

/* A processor to stay on, and how unmapping flushes meanwhile. */
typedef struct _KT_MODE {
    KI_TLB_MODE TlbMode;
    KAFFINITY   Affinity;
} KT_MODE;

static KT_MODE KtEnterMode(KI_TLB_MODE TlbMode)
{
    KT_MODE old = { .TlbMode = KiOptions.TlbMode, .Affinity = KeSetSystemAffinityThreadEx(1) };
    KiOptions.TlbMode = TlbMode;
    return old;
}

static void KtLeaveMode(KT_MODE Old)
{
    KiOptions.TlbMode = Old.TlbMode;
    KeRevertToUserAffinityThreadEx(Old.Affinity);
}

/*
 * The same addresses are given to other frames after every processor has read them: whoever kept a translation reads
 * wrong.
 */
KTEST(mm_mdlmap, strict_unmap_leaves_no_translation_on_any_processor)
{
    MDL *first = KtAllocateMarkedPages(KT_PAGES, 0x10);
    MDL *second = KtAllocateMarkedPages(KT_PAGES, 0x90);
    KT_ASSERT_TRUE(first != NULL && second != NULL);
    KT_MODE         old = KtEnterMode(KiTlbStrict);
    UCHAR          *va = KtMap(first, NormalPagePriority);
    KI_TLB_COUNTERS before = KiReadTlbCounters();
    KtReadEverywhere(va, KT_PAGES, 0x10);
    MmUnmapLockedPages(va, first);
    KT_EXPECT_LE(KiReadTlbCounters().Requests - before.Requests, 1);
    UCHAR *again = KtMap(second, NormalPagePriority);
    KT_EXPECT_EQ(again, va);
    KtReadEverywhere(again, KT_PAGES, 0x90);
    MmUnmapLockedPages(again, second);
    KtLeaveMode(old);
    KtFreeMarkedPages(first);
    KtFreeMarkedPages(second);
}

/* Deferred, the address comes back only after the flush that thousands of unmaps share. */
KTEST(mm_mdlmap, deferred_unmap_lets_no_address_be_reused_before_its_flush)
{
    MDL *first = KtAllocateMarkedPages(KT_PAGES, 0x10);
    MDL *second = KtAllocateMarkedPages(KT_PAGES, 0x90);
    KT_ASSERT_TRUE(first != NULL && second != NULL);
    KT_MODE old = KtEnterMode(KiTlbDeferred);
    UCHAR  *va = KtMap(first, NormalPagePriority);
    KtReadEverywhere(va, KT_PAGES, 0x10);
    ULONG64 generation = KiReadTlbGeneration();
    MmUnmapLockedPages(va, first);
    KT_EXPECT_GE(MiWaitingSystemPteCount(), KT_PAGES);
    UCHAR *again = KtMap(second, NormalPagePriority);
    for (ULONG round = 0; round < KT_REUSE_ROUNDS && again != va; round++) {
        MmUnmapLockedPages(again, second);
        again = KtMap(second, NormalPagePriority);
    }
    KT_EXPECT_EQ(again, va);
    KT_EXPECT_TRUE(KiIsTlbGenerationOver(generation));
    KtReadEverywhere(again, KT_PAGES, 0x90);
    MmUnmapLockedPages(again, second);
    KtLeaveMode(old);
    KtFreeMarkedPages(first);
    KtFreeMarkedPages(second);
}

/* The same on the processor that unmaps, with nothing between that would drop its translations by the way. */
KTEST(mm_mdlmap, strict_unmap_leaves_no_translation_on_its_own_processor)
{
    MDL  *first = KtAllocateMarkedPages(KT_PAGES, 0x10);
    MDL  *second = KtAllocateMarkedPages(KT_PAGES, 0x90);
    KIRQL irql;
    UCHAR seen[2][KT_PAGES];
    KT_ASSERT_TRUE(first != NULL && second != NULL);
    KT_MODE old = KtEnterMode(KiTlbStrict);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    UCHAR *va = KtMap(first, NormalPagePriority);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        seen[0][i] = KtLoad(va + i * PAGE_SIZE);
    }
    MmUnmapLockedPages(va, first);
    UCHAR *again = KtMap(second, NormalPagePriority);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        seen[1][i] = KtLoad(again + i * PAGE_SIZE);
    }
    MmUnmapLockedPages(again, second);
    KeLowerIrql(irql);
    KtLeaveMode(old);
    KT_EXPECT_EQ(again, va);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KT_EXPECT_EQ(seen[0][i], 0x10 + i);
        KT_EXPECT_EQ(seen[1][i], 0x90 + i);
    }
    KtFreeMarkedPages(first);
    KtFreeMarkedPages(second);
}

KTEST(mm_mdlmap, unlock_flushes_the_mapping_that_it_takes_away)
{
    UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    MDL   *second = KtAllocateMarkedPages(1, 0x90);
    KT_ASSERT_TRUE(block != NULL && second != NULL);
    MDL *mdl = IoAllocateMdl(block, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    block[0] = 0x10;
    KT_MODE old = KtEnterMode(KiTlbStrict);
    KT_EXPECT_STATUS(KtLockPages(mdl, KernelMode, IoReadAccess), STATUS_SUCCESS);
    UCHAR *va = KtMap(mdl, NormalPagePriority);
    KtReadEverywhere(va, 1, 0x10);
    MmUnlockPages(mdl);
    UCHAR *again = KtMap(second, NormalPagePriority);
    KT_EXPECT_EQ(again, va);
    KtReadEverywhere(again, 1, 0x90);
    MmUnmapLockedPages(again, second);
    KtLeaveMode(old);
    KtFreeMarkedPages(second);
    IoFreeMdl(mdl);
    ExFreePoolWithTag(block, KT_TAG);
}

/* What is not write-back waits for no other unmap, whatever the mode. */
KTEST(mm_mdlmap, uncached_unmap_is_flushed_before_it_returns)
{
    MDL *mdl = KtAllocateMarkedPages(1, 0x10);
    MDL *uncached = KtAllocateUncachedPages(KT_PAGES);
    KT_ASSERT_TRUE(mdl != NULL && uncached != NULL);
    KT_MODE old = KtEnterMode(KiTlbDeferred);
    MiDrainSystemPtes();
    UCHAR *va = KtMap(uncached, NormalPagePriority);
    MmUnmapLockedPages(va, uncached);
    KT_EXPECT_EQ(MiWaitingSystemPteCount(), 0);
    UCHAR *again = KtMap(uncached, NormalPagePriority);
    KT_EXPECT_EQ(again, va);
    MmUnmapLockedPages(again, uncached);
    MmUnmapLockedPages(KtMap(mdl, NormalPagePriority), mdl); /* write-back beside uncached frames: it waits */
    KT_EXPECT_EQ(MiWaitingSystemPteCount(), 1);
    KtLeaveMode(old);
    KtFreeMarkedPages(mdl);
    KtFreeMarkedPages(uncached);
}

KTEST(mm_mdlmap, frames_keep_the_cache_type_that_they_have)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    MDL             *mdl = MmAllocatePagesForMdl(low, high, low, PAGE_SIZE);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_EQ(MiPfn(MmGetMdlPfnArray(mdl)[0])->CacheType, MI_CACHE_NOT_MAPPED);
    UCHAR *va = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmNonCached, NULL, FALSE, NormalPagePriority);
    KT_ASSERT_NOT_NULL(va);
    ULONG64 mask = X86_PTE_PCD | X86_PTE_PWT | X86_PTE_PAT;
    KT_EXPECT_EQ(KtPteBits(va) & mask, MiCacheBits(MmNonCached));
    MmUnmapLockedPages(va, mdl);
    va = KtMap(mdl, NormalPagePriority);
    KT_EXPECT_EQ(KtPteBits(va) & mask, MiCacheBits(MmNonCached));
    MmUnmapLockedPages(va, mdl);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, mapping_of_nothing_is_null)
{
    MDL mdl;
    MiFormatMdl(&mdl, NULL, 0);
    MiSetMdlFlags(&mdl, MDL_PAGES_LOCKED);
    KT_EXPECT_NULL(MmMapLockedPagesSpecifyCache(&mdl, KernelMode, MmCached, NULL, FALSE, HighPagePriority));
    MiSetMdlFlags(&mdl, MDL_MAPPING_CAN_FAIL);
    KT_EXPECT_NULL(MmMapLockedPagesSpecifyCache(&mdl, KernelMode, MmCached, NULL, TRUE, HighPagePriority));
    KT_EXPECT_EQ(MiMdlFlags(&mdl) & MDL_MAPPED_TO_SYSTEM_VA, 0);
}

/* MmMapLockedPagesSpecifyCache for UserMode, with what it raised. */
static NTSTATUS KtMapForUser(MDL *Mdl, ULONG Priority, void *At, UCHAR **Va)
{
    __try {
        *Va = MmMapLockedPagesSpecifyCache(Mdl, UserMode, MmCached, At, FALSE, (MM_PAGE_PRIORITY)Priority);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

KTEST(mm_mdlmap, user_mapping_is_the_processes_own_and_never_executable)
{
    KT_SPACE space;
    UCHAR   *va = NULL;
    MDL     *mdl = KtAllocateMarkedPages(2, 0x30);
    KT_ASSERT_NOT_NULL(mdl);
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_EXPECT_STATUS(KtMapForUser(mdl, NormalPagePriority, NULL, &va), STATUS_SUCCESS);
    KT_EXPECT_TRUE(va != NULL && MiIsUserAddress(va));
    KT_EXPECT_EQ(KtPteBits(va) & (X86_PTE_US | X86_PTE_RW | X86_PTE_NX | X86_PTE_G),
                 X86_PTE_US | X86_PTE_RW | X86_PTE_NX);
    KT_EXPECT_EQ(MiPteFrame(MiReadPte(MiPteOf(va) + 1)), MmGetMdlPfnArray(mdl)[1]);
    KT_EXPECT_EQ(KtLoad(va + PAGE_SIZE), 0x31);
    KT_EXPECT_EQ(MiMdlFlags(mdl), MDL_PAGES_LOCKED);
    MmUnmapLockedPages(va, mdl);
    KT_EXPECT_EQ(MiReadPte(MiPteOf(va)).Value, 0);
    KT_EXPECT_STATUS(KtMapForUser(mdl, NormalPagePriority | MdlMappingNoWrite, va, &va), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtPteBits(va) & X86_PTE_RW, 0);
    MmUnmapLockedPages(va, mdl);
    KtLeaveSpace(&space);
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlmap, user_mapping_at_a_taken_address_raises)
{
    KT_SPACE space;
    UCHAR   *va = NULL;
    MDL     *mdl = KtAllocateMarkedPages(1, 0x30);
    KT_ASSERT_NOT_NULL(mdl);
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *taken = KtCommitPages(&space, 1, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtMapForUser(mdl, NormalPagePriority, taken, &va), STATUS_CONFLICTING_ADDRESSES);
    KT_EXPECT_NULL(va);
    KtLeaveSpace(&space);
    KtFreeMarkedPages(mdl);
}
