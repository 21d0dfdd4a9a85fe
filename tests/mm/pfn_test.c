/*
 * The PFN database: frames taken, held, let go, by list and by address.
 */
#include "mm/pfnlist.h"

#include "mm/cachetype.h"
#include "mm/window.h"
#include "tests/lib/ktest.h"

#define KT_FRAMES 64u

/* Write or read one word of a frame through the test window. */
static void KtStoreWord(PFN_NUMBER Frame, ULONG64 Value)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    *(volatile ULONG64 *)MiMapFrameInWindow(Frame, MiWindowTest) = Value;
    MiUnmapWindow(MiWindowTest);
    KeLowerIrql(oldIrql);
}

/* All words of a frame ORed together. */
static ULONG64 KtFoldFrame(PFN_NUMBER Frame)
{
    ULONG64 fold = 0;
    KIRQL   oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    const volatile ULONG64 *words = MiMapFrameInWindow(Frame, MiWindowTest);
    for (ULONG index = 0; index < PAGE_SIZE / sizeof(ULONG64); index++) {
        fold |= words[index];
    }
    MiUnmapWindow(MiWindowTest);
    KeLowerIrql(oldIrql);
    return fold;
}

static void KtFreeFrames(const PFN_NUMBER *Frames, PFN_COUNT Count)
{
    for (PFN_COUNT index = 0; index < Count; index++) {
        MiFreeFrame(Frames[index]);
    }
}

KTEST(mm_pfn, new_frame_is_active_with_one_share)
{
    PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageAny);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    const MMPFN *pfn = MiPfn(frame);
    KT_EXPECT_TRUE(MiIsRamFrame(frame));
    KT_EXPECT_EQ(MiFrameOf(pfn), frame);
    KT_EXPECT_EQ(pfn->State, MiPfnActive);
    KT_EXPECT_EQ(pfn->Use, MiUsePool);
    KT_EXPECT_EQ(pfn->ShareCount, 1);
    KT_EXPECT_EQ(pfn->ReferenceCount, 1);
    KT_EXPECT_EQ(pfn->CacheType, MI_CACHE_NOT_MAPPED);
    MiFreeFrame(frame);
    KT_EXPECT_EQ(pfn->State, MiPfnFree);
}

KTEST(mm_pfn, zeroed_frame_is_zero_though_it_was_dirty)
{
    PFN_NUMBER frames[KT_FRAMES];
    PFN_COUNT  count = MiAllocateFrames(MiUsePool, MiPageAny, 0, MI_PFN_NONE, KT_FRAMES, frames);
    for (PFN_COUNT index = 0; index < count; index++) {
        KtStoreWord(frames[index], 0xDEADull);
    }
    KtFreeFrames(frames, count);
    count = MiAllocateFrames(MiUsePool, MiPageZeroed, 0, MI_PFN_NONE, KT_FRAMES, frames);
    KT_EXPECT_EQ(count, KT_FRAMES);
    for (PFN_COUNT index = 0; index < count; index++) {
        KT_EXPECT_EQ(KtFoldFrame(frames[index]), 0);
    }
    KtFreeFrames(frames, count);
}

KTEST(mm_pfn, zeroed_list_is_taken_first_and_is_zero)
{
    PFN_COUNT moved = MiStockZeroedFrames(8);
    KT_EXPECT_LE(moved, 8);
    PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageZeroed);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    KT_EXPECT_EQ(KtFoldFrame(frame), 0);
    MiFreeFrame(frame);
}

KTEST(mm_pfn, lock_keeps_a_released_frame)
{
    PFN_NUMBER frame = MiAllocateFrame(MiUseProcess, MiPageAny);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    MiReferenceFrame(frame);
    MiReferenceFrame(frame);
    MiReleaseFrame(frame);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnTransition);
    KT_EXPECT_EQ(MiPfn(frame)->ReferenceCount, 2);
    MiDereferenceFrame(frame);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnTransition);
    MiDereferenceFrame(frame);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnFree);
}

KTEST(mm_pfn, frame_can_be_locked_more_than_65535_times)
{
    const ULONG lockCount = 70000;
    PFN_NUMBER  frame = MiAllocateFrame(MiUseProcess, MiPageAny);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    for (ULONG lock = 0; lock < lockCount; lock++) {
        MiReferenceFrame(frame);
    }
    KT_EXPECT_EQ(MiPfn(frame)->ReferenceCount, (LONG)lockCount + 1);
    for (ULONG lock = 0; lock < lockCount; lock++) {
        MiDereferenceFrame(frame);
    }
    MiFreeFrame(frame);
}

KTEST(mm_pfn, what_is_not_ram_has_no_entry)
{
    KT_EXPECT_FALSE(MiIsRamFrame(MI_PFN_NONE));
    KT_EXPECT_FALSE(MiIsRamFrame(MiHighestFrame + 1));
    KT_EXPECT_FALSE(MiIsPhysicalRam(0xFEE00000ull >> PAGE_SHIFT));
    KT_EXPECT_TRUE(MiIsPhysicalRam(MiHighestFrame));
}

KTEST(mm_pfn, frames_come_from_the_range_that_is_asked_for)
{
    const PFN_NUMBER low = 0x1000000ull >> PAGE_SHIFT;
    const PFN_NUMBER high = (0x4000000ull >> PAGE_SHIFT) - 1;
    PFN_NUMBER       frames[KT_FRAMES];
    PFN_COUNT        count = MiAllocateFrames(MiUseMdl, MiPageZeroed, low, high, KT_FRAMES, frames);
    KT_EXPECT_GT(count, 0);
    for (PFN_COUNT index = 0; index < count; index++) {
        KT_EXPECT_GE(frames[index], low);
        KT_EXPECT_LE(frames[index], high);
        KT_EXPECT_EQ(KtFoldFrame(frames[index]), 0);
    }
    KtFreeFrames(frames, count);
}

KTEST(mm_pfn, range_without_ram_gives_nothing)
{
    PFN_NUMBER frame;
    KT_EXPECT_EQ(MiAllocateFrames(MiUseMdl, MiPageAny, MiHighestFrame + 1, MI_PFN_NONE, 1, &frame), 0);
    KT_EXPECT_EQ(MiAllocateContiguousFrames(MiUseContiguous, MiHighestFrame + 1, MI_PFN_NONE, 1, 0, 1), MI_PFN_NONE);
}

KTEST(mm_pfn, contiguous_run_keeps_alignment_and_boundary)
{
    const PFN_COUNT  count = 48;
    const PFN_NUMBER boundary = 64;
    const PFN_NUMBER align = 8;
    PFN_NUMBER       first = MiAllocateContiguousFrames(MiUseContiguous, 0, MI_PFN_NONE, count, boundary, align);
    KT_ASSERT_NE(first, MI_PFN_NONE);
    KT_EXPECT_EQ(first % align, 0);
    KT_EXPECT_EQ(first / boundary, (first + count - 1) / boundary);
    for (PFN_COUNT index = 0; index < count; index++) {
        KT_EXPECT_EQ(MiPfn(first + index)->State, MiPfnActive);
        MiFreeFrame(first + index);
    }
    KT_EXPECT_EQ(MiAllocateContiguousFrames(MiUseContiguous, 0, MI_PFN_NONE, 65, boundary, 1), MI_PFN_NONE);
}

KTEST(mm_pfn, contiguous_run_spans_dormant_chunks)
{
    const PFN_COUNT count = 4096;
    PFN_NUMBER      first = MiAllocateContiguousFrames(MiUseContiguous, 0, MI_PFN_NONE, count, 0, 512);
    KT_ASSERT_NE(first, MI_PFN_NONE);
    for (PFN_COUNT index = 0; index < count; index++) {
        MiFreeFrame(first + index);
    }
    MiCheckPfnDatabase();
}

/* Take every frame there is, chained through Next; how many, and the chain's head in *First. */
static SIZE_T KtTakeAllFrames(PFN_NUMBER *First)
{
    SIZE_T count = 0;
    *First = MI_PFN_NONE;
    for (PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageAny); frame != MI_PFN_NONE;
         frame = MiAllocateFrame(MiUsePool, MiPageAny)) {
        MiPfn(frame)->Next = *First;
        *First = frame;
        count++;
    }
    return count;
}

KTEST(mm_pfn, memory_can_be_taken_to_the_last_frame)
{
    if (MiFreeFrameCount() > 0x10000) {
        KT_SKIP("more than 256 MiB are free: it would take long");
    }
    SIZE_T     freeCount = MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount;
    PFN_NUMBER frame;
    SIZE_T     takenCount = KtTakeAllFrames(&frame);
    SIZE_T     leftCount = MiFreeFrameCount();
    PFN_NUMBER run = MiAllocateContiguousFrames(MiUseContiguous, 0, MI_PFN_NONE, 1, 0, 1);
    SIZE_T     keptCount = (SIZE_T)MiKeptFrameCount;
    while (frame != MI_PFN_NONE) {
        PFN_NUMBER next = MiPfn(frame)->Next;
        MiFreeFrame(frame);
        frame = next;
    }
    KT_EXPECT_EQ(leftCount, 0);
    KT_EXPECT_EQ(run, MI_PFN_NONE);
    KT_EXPECT_EQ(takenCount + keptCount, freeCount);
    MiCheckPfnDatabase();
}

KTEST(mm_pfn, first_mapping_settles_the_cache_type)
{
    PFN_NUMBER frame = MiAllocateFrame(MiUseMdl, MiPageAny);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    LONG64 unsettledCount = MiUnsettledFrameCount;
    MiOpenCacheTypes(&frame, 1, MmNotMapped);
    KT_EXPECT_EQ(MiUnsettledFrameCount, unsettledCount + 1);
    KT_EXPECT_EQ(MiSettleCacheType(frame, MmWriteCombined), MmWriteCombined);
    KT_EXPECT_EQ(MiSettleCacheType(frame, MmCached), MmWriteCombined);
    MiCloseCacheTypes(&frame, 1);
    KT_EXPECT_EQ(MiUnsettledFrameCount, unsettledCount);
    MiFreeFrame(frame);
    KT_EXPECT_EQ(MiPfn(frame)->CacheType, MI_CACHE_NOT_MAPPED);
    frame = MiAllocateFrame(MiUsePool, MiPageAny);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    KT_EXPECT_EQ(MiSettleCacheType(frame, MmNonCached), MmCached); /* as its owner's mapping is */
    MiFreeFrame(frame);
    KT_EXPECT_EQ(MiSettleCacheType(0xFEE00000ull >> PAGE_SHIFT, MmNonCached), MmNonCached);
}

static void KtChurnFrames(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    PFN_NUMBER frames[16];
    for (ULONG round = 0; round < 100; round++) {
        PFN_COUNT count = MiAllocateFrames(MiUsePool, MiPageAny, 0, MI_PFN_NONE, ARRAYSIZE(frames), frames);
        for (PFN_COUNT index = 0; index < count; index++) {
            MiPfn(frames[index])->Owner = (PVOID)(ULONG_PTR)(Index + 1);
        }
        for (PFN_COUNT index = 0; index < count; index++) {
            KT_EXPECT_EQ((ULONG_PTR)MiPfn(frames[index])->Owner, Index + 1);
            MiFreeFrame(frames[index]);
        }
    }
}

KTEST(mm_pfn, all_processors_take_and_free)
{
    KtRunOnEachProcessor(KtChurnFrames, NULL);
    MiCheckPfnDatabase();
}

static void KtFillWindows(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageZeroed);
    KT_ASSERT_NE(frame, MI_PFN_NONE);
    for (ULONG round = 0; round < 200; round++) {
        KtStoreWord(frame, ((ULONG64)Index << 32) | round);
        KT_EXPECT_EQ(KtFoldFrame(frame) >> 32 & 0xFF, Index);
        MiZeroFrame(frame);
        KT_EXPECT_EQ(KtFoldFrame(frame), 0);
    }
    MiFreeFrame(frame);
}

KTEST(mm_pfn, windows_belong_to_their_processor)
{
    KtRunOnEachProcessor(KtFillWindows, NULL);
}
