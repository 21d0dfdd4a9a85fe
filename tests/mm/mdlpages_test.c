/*
 * MmAllocatePagesForMdl(Ex) and MmFreePagesFromMdl.
 */
#include "mm/mdlpages.h"

#include "mm/cachetype.h"
#include "mm/pool.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_MIB 0x100000ull

static MDL *KtAllocate(ULONG64 Low, ULONG64 High, ULONG64 Skip, SIZE_T Bytes, ULONG Flags)
{
    return MmAllocatePagesForMdlEx((PHYSICAL_ADDRESS){ .QuadPart = (LONGLONG)Low },
                                   (PHYSICAL_ADDRESS){ .QuadPart = (LONGLONG)High },
                                   (PHYSICAL_ADDRESS){ .QuadPart = (LONGLONG)Skip }, Bytes, MmCached, Flags);
}

KTEST(mm_mdlpages, pages_are_owned_locked_and_zero)
{
    MDL *mdl = KtAllocate(0, ~0ull, 0, 5 * PAGE_SIZE, 0);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_EQ(MmGetMdlByteCount(mdl), 5 * PAGE_SIZE);
    KT_EXPECT_EQ(MmGetMdlByteOffset(mdl), 0);
    KT_EXPECT_NULL(mdl->StartVa);
    KT_EXPECT_NULL(mdl->Process);
    KT_EXPECT_EQ(MiMdlFlags(mdl), MDL_PAGES_LOCKED);
    for (ULONG i = 0; i < 5; i++) {
        PFN_NUMBER frame = MmGetMdlPfnArray(mdl)[i];
        KT_EXPECT_EQ(MiPfn(frame)->Use, MiUseMdl);
        KT_EXPECT_EQ(MiPfn(frame)->CacheType, MmCached);
        KT_EXPECT_EQ(KtReferences(frame), 1);
        KT_EXPECT_EQ(KtReadFrameByte(frame, 0) | KtReadFrameByte(frame, PAGE_SIZE - 1), 0);
    }
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlpages, freed_frames_are_free)
{
    MDL *mdl = KtAllocate(0, ~0ull, 0, PAGE_SIZE, MM_DONT_ZERO_ALLOCATION);
    KT_ASSERT_NOT_NULL(mdl);
    PFN_NUMBER frame = MmGetMdlPfnArray(mdl)[0];
    MmFreePagesFromMdl(mdl);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnFree);
    KT_EXPECT_EQ(KtReferences(frame), 0);
    KT_EXPECT_EQ(MiMdlFlags(mdl), 0);
    KT_EXPECT_NE(ExpQueryBlockBytes(mdl), 0);
    ExFreePool(mdl);
}

KTEST(mm_mdlpages, free_takes_the_system_mapping_away)
{
    MDL *mdl = KtAllocateMarkedPages(3, 1);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *va = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    KT_ASSERT_NOT_NULL(va);
    KtFreeMarkedPages(mdl);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KT_EXPECT_FALSE(MiPteIsValid(MiReadPte(MiPteOf(va))));
}

KTEST(mm_mdlpages, frames_lie_in_the_range_asked_for)
{
    MDL *mdl = KtAllocate(KT_MIB, 64 * KT_MIB - 1, 0, 8 * PAGE_SIZE, 0);
    KT_ASSERT_NOT_NULL(mdl);
    for (ULONG i = 0; i < MiMdlPageCount(mdl); i++) {
        ULONG64 physical = MmGetMdlPfnArray(mdl)[i] << PAGE_SHIFT;
        KT_EXPECT_GE(physical, KT_MIB);
        KT_EXPECT_LE(physical + PAGE_SIZE, 64 * KT_MIB);
    }
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlpages, skip_moves_the_range_on)
{
    MDL *mdl = KtAllocate(32 * KT_MIB, 32 * KT_MIB + 2 * PAGE_SIZE - 1, KT_MIB, 6 * PAGE_SIZE,
                          MM_ALLOCATE_FULLY_REQUIRED);
    KT_ASSERT_NOT_NULL(mdl);
    for (ULONG i = 0; i < MiMdlPageCount(mdl); i++) {
        ULONG64 physical = MmGetMdlPfnArray(mdl)[i] << PAGE_SHIFT;
        KT_EXPECT_GE(physical, 32 * KT_MIB);
        KT_EXPECT_LT(physical % KT_MIB, 2 * PAGE_SIZE);
    }
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlpages, short_ranges_give_fewer_pages_or_nothing_as_asked)
{
    ULONG64 low = 32 * KT_MIB;
    ULONG64 high = low + 4 * PAGE_SIZE - 1;
    MDL    *mdl = KtAllocate(low, high, 0, KT_MIB, 0);
    if (mdl != NULL) {
        KT_EXPECT_LE(MmGetMdlByteCount(mdl), 4 * PAGE_SIZE);
        KtFreeMarkedPages(mdl);
    }
    KT_EXPECT_NULL(KtAllocate(low, high, 0, KT_MIB, MM_ALLOCATE_FULLY_REQUIRED));
    KT_EXPECT_NULL(KtAllocate(1ull << 50, ~0ull, 0, PAGE_SIZE, 0));
}

KTEST(mm_mdlpages, contiguous_means_one_run_or_aligned_chunks)
{
    MDL *mdl = KtAllocate(0, ~0ull, 0, 16 * PAGE_SIZE, MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS);
    KT_ASSERT_NOT_NULL(mdl);
    for (ULONG i = 1; i < 16; i++) {
        KT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[i], MmGetMdlPfnArray(mdl)[0] + i);
    }
    KT_EXPECT_EQ(KtReadFrameByte(MmGetMdlPfnArray(mdl)[15], 0), 0);
    KtFreeMarkedPages(mdl);

    mdl = KtAllocate(0, ~0ull, 4 * PAGE_SIZE, 16 * PAGE_SIZE, MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS);
    KT_ASSERT_NOT_NULL(mdl);
    for (ULONG i = 0; i < 16; i++) {
        PFN_NUMBER first = MmGetMdlPfnArray(mdl)[i & ~3u];
        KT_EXPECT_EQ(first % 4, 0);
        KT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[i], first + i % 4);
    }
    KtFreeMarkedPages(mdl);
}

KTEST(mm_mdlpages, broken_contracts_are_null)
{
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 0, 0, 0));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 0, 0x100000000ull, 0));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 100, PAGE_SIZE, 0));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 3 * PAGE_SIZE, 12 * PAGE_SIZE, MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 8 * PAGE_SIZE, 12 * PAGE_SIZE, MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 0, PAGE_SIZE, MM_ALLOCATE_FAST_LARGE_PAGES));
    KT_EXPECT_NULL(KtAllocate(0, ~0ull, 0, PAGE_SIZE, MM_ALLOCATE_AND_HOT_REMOVE));
    KT_EXPECT_NULL(KtAllocate(8 * KT_MIB, 4 * KT_MIB, 0, PAGE_SIZE, 0));
}

KTEST(mm_mdlpages, pages_are_taken_at_dispatch_level)
{
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    MDL *mdl = KtAllocate(0, ~0ull, 0, 4 * PAGE_SIZE, 0);
    if (mdl != NULL) {
        KtFreeMarkedPages(mdl);
    }
    KeLowerIrql(irql);
    KT_EXPECT_NOT_NULL(mdl);
}

KTEST(mm_mdlpages, type_of_the_ex_routine_is_settled_at_once)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    MDL             *mdl = MmAllocatePagesForMdlEx(low, high, low, PAGE_SIZE, MmWriteCombined, 0);
    KT_ASSERT_NOT_NULL(mdl);
    UCHAR *va = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    KT_ASSERT_NOT_NULL(va);
    KT_EXPECT_EQ(MiReadPte(MiPteOf(va)).Value & (X86_PTE_PCD | X86_PTE_PWT), MiCacheBits(MmWriteCombined));
    KtFreeMarkedPages(mdl);
}
