/*
 * Pool: layout, alignment, merging, accounting, failure. Bad frees end in bug checks, so they stand elsewhere.
 */
#include "mm/pool.h"

#include "kernel/ke/pcr.h"
#include "kernel/rtl/memory.h"
#include "mm/pfn.h"
#include "mm/poolbig.h"
#include "mm/poolcache.h"
#include "tests/lib/ktest.h"

#define KT_TAG    0x7473654Bu /* "Kest" */
#define KT_BLOCKS 200u

#define KT_SMALL_MEMORY 0x8000u /* frames: 128 MiB */

/* A number from a fixed sequence: the same sizes and orders on every run. */
static ULONG KtNextNumber(ULONG *State)
{
    *State = *State * 1664525u + 1013904223u;
    return *State >> 8;
}

static DECLSPEC_NOINLINE void *KtAllocateRaising(ULONG Type)
{
    return ExAllocatePoolWithTag((POOL_TYPE)Type, 64, KT_TAG);
}

static DECLSPEC_NOINLINE void *KtAllocateQuota(ULONG Type)
{
    return ExAllocatePoolWithQuotaTag((POOL_TYPE)Type, 64, KT_TAG);
}

static DECLSPEC_NOINLINE void *KtAllocateFlagged(ULONG Flags)
{
    return ExAllocatePool2(Flags, 64, KT_TAG);
}

/* Let the next allocation fail, make it by Allocate(Argument), and return what it raised. */
static NTSTATUS KtRaisedBy(void *(*Allocate)(ULONG), ULONG Argument)
{
    NTSTATUS status = STATUS_SUCCESS;
    ExpFailAllocation(1);
    __try {
        KT_EXPECT_NULL(Allocate(Argument));
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (NTSTATUS)GetExceptionCode();
    }
    ExpFailAllocation(0);
    return status;
}

KTEST(mm_pool, small_block_has_the_nt_header)
{
    UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, KT_TAG);
    KT_ASSERT_NOT_NULL(block);
    const POOL_HEADER *header = (const POOL_HEADER *)block - 1;
    KT_EXPECT_EQ((ULONG_PTR)block % 16, 0);
    KT_EXPECT_EQ(header->BlockSize, (100 + 16 + 15) / 16);
    KT_EXPECT_EQ(header->PoolTag, KT_TAG);
    KT_EXPECT_EQ(header->PoolType, EXP_HEADER_IN_USE | EXP_HEADER_NX);
    KT_EXPECT_EQ(ExpQueryBlockBytes(block), header->BlockSize * 16u - 16u);
    ExFreePoolWithTag(block, KT_TAG);
    KT_EXPECT_EQ(ExpQueryBlockBytes(block), 0);
}

KTEST(mm_pool, every_small_size_is_aligned_and_within_one_page)
{
    for (ULONG bytes = 1; bytes <= EXP_MAX_SMALL_BYTES; bytes += 13) {
        UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, KT_TAG);
        KT_ASSERT_NOT_NULL(block);
        KT_EXPECT_EQ((ULONG_PTR)block % 16, 0);
        KT_EXPECT_EQ(PAGE_ALIGN(block), PAGE_ALIGN(block + bytes - 1));
        (RtlFillMemory)(block, bytes, 0xA5);
        ExFreePoolWithTag(block, KT_TAG);
    }
    ExpCheckPool();
}

KTEST(mm_pool, page_and_more_is_page_aligned_and_gone_after_the_free)
{
    static const SIZE_T sizes[] = { EXP_MAX_SMALL_BYTES + 1, PAGE_SIZE, PAGE_SIZE + 1, 16 * PAGE_SIZE };
    for (ULONG i = 0; i < RTL_NUMBER_OF(sizes); i++) {
        UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, sizes[i], KT_TAG);
        KT_ASSERT_NOT_NULL(block);
        KT_EXPECT_EQ(BYTE_OFFSET(block), 0);
        KT_EXPECT_EQ(ExpQueryBlockBytes(block), sizes[i]);
        (RtlFillMemory)(block, sizes[i], 0x5A);
        for (SIZE_T offset = 0; offset < sizes[i]; offset += PAGE_SIZE) {
            MMPTE pte = MiReadPte(MiPteOf(block + offset));
            KT_EXPECT_TRUE(MiPteIsValid(pte));
            KT_EXPECT_EQ(MiPfn(MiPteFrame(pte))->Use, MiUsePool);
            KT_EXPECT_EQ(MiPfn(MiPteFrame(pte))->ReferenceCount, 1);
        }
        ExFreePoolWithTag(block, KT_TAG);
        KT_EXPECT_FALSE(MiPteIsValid(MiReadPte(MiPteOf(block))));
        KT_EXPECT_EQ(ExpQueryBlockBytes(block), 0);
    }
}

KTEST(mm_pool, blocks_freed_in_any_order_keep_their_bytes_and_merge)
{
    static UCHAR *blocks[KT_BLOCKS];
    static ULONG  sizes[KT_BLOCKS];
    ULONG         state = 1;
    for (ULONG i = 0; i < KT_BLOCKS; i++) {
        sizes[i] = KtNextNumber(&state) % 1500 + 1;
        blocks[i] = ExAllocatePoolWithTag(i % 2 != 0 ? PagedPool : NonPagedPool, sizes[i], KT_TAG);
        KT_ASSERT_NOT_NULL(blocks[i]);
        (RtlFillMemory)(blocks[i], sizes[i], (UCHAR)i);
    }
    ExpCheckPool();
    for (ULONG left = KT_BLOCKS; left > 0; left--) {
        ULONG pick = KtNextNumber(&state) % left;
        KT_EXPECT_EQ(blocks[pick][0], blocks[pick][sizes[pick] - 1]);
        ExFreePoolWithTag(blocks[pick], KT_TAG);
        blocks[pick] = blocks[left - 1];
        sizes[pick] = sizes[left - 1];
    }
    ExpCheckPool();
    KT_EXPECT_EQ(ExpReadTagUsage(MiPoolPaged, KT_TAG).Bytes, 0);
    KT_EXPECT_EQ(ExpReadTagUsage(MiPoolNonPagedExecute, KT_TAG).Bytes, 0);
}

KTEST(mm_pool, pool_types_have_their_pages)
{
    void *executable = ExAllocatePoolWithTag(NonPagedPool, 32, KT_TAG);
    void *data = ExAllocatePoolWithTag(NonPagedPoolNx, 32, KT_TAG);
    void *paged = ExAllocatePoolWithTag(PagedPool, 32, KT_TAG);
    KT_ASSERT_TRUE(executable != NULL && data != NULL && paged != NULL);
    KT_EXPECT_EQ(MiReadPte(MiPteOf(executable)).Value & X86_PTE_NX, 0);
    KT_EXPECT_NE(MiReadPte(MiPteOf(data)).Value & X86_PTE_NX, 0);
    KT_EXPECT_NE(MiReadPte(MiPteOf(paged)).Value & X86_PTE_NX, 0);
    KT_EXPECT_TRUE(MiIsInRegion(executable, MI_REGION_NONPAGED_POOL));
    KT_EXPECT_TRUE(MiIsInRegion(data, MI_REGION_NONPAGED_POOL));
    KT_EXPECT_TRUE(MiIsInRegion(paged, MI_REGION_PAGED_POOL));
    ExFreePool(executable);
    ExFreePool(data);
    ExFreePool(paged);
}

KTEST(mm_pool, cache_aligned_types_start_on_a_line)
{
    static const ULONG sizes[] = { 1, 48, 64, 100, 1000, 4000, EXP_MAX_SMALL_BYTES };
    for (ULONG i = 0; i < RTL_NUMBER_OF(sizes); i++) {
        void *block = ExAllocatePoolWithTag(NonPagedPoolNxCacheAligned, sizes[i], KT_TAG);
        KT_ASSERT_NOT_NULL(block);
        KT_EXPECT_EQ((ULONG_PTR)block % 64, 0);
        ExpCheckPool();
        ExFreePool(block);
    }
    ExpCheckPool();
}

KTEST(mm_pool, tag_usage_counts_blocks_and_bytes)
{
    EXP_POOL_USAGE before = ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG);
    void          *small = ExAllocatePoolWithTag(NonPagedPoolNx, 32, KT_TAG);
    void          *large = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE + 1, KT_TAG);
    EXP_POOL_USAGE during = ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG);
    KT_EXPECT_EQ(during.Allocations - before.Allocations, 2);
    KT_EXPECT_EQ(during.Bytes - before.Bytes, 48 + 2 * PAGE_SIZE);
    ExFreePoolWithTag(small, KT_TAG);
    ExFreePoolWithTag(large, KT_TAG);
    EXP_POOL_USAGE after = ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG);
    KT_EXPECT_EQ(after.Frees - before.Frees, 2);
    KT_EXPECT_EQ(after.Bytes, before.Bytes);
}

KTEST(mm_pool, pool2_zeroes_unless_told_not_to)
{
    static const ULONG sizes[] = { 1, 500, 4064, 3 * PAGE_SIZE };
    for (ULONG i = 0; i < RTL_NUMBER_OF(sizes); i++) {
        UCHAR *dirty = ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, sizes[i], KT_TAG);
        KT_ASSERT_NOT_NULL(dirty);
        (RtlFillMemory)(dirty, sizes[i], 0xEE);
        ExFreePool(dirty);
        UCHAR *clean = ExAllocatePool2(POOL_FLAG_NON_PAGED, sizes[i], KT_TAG);
        KT_ASSERT_NOT_NULL(clean);
        ULONG sum = 0;
        for (ULONG offset = 0; offset < sizes[i]; offset++) {
            sum |= clean[offset];
        }
        KT_EXPECT_EQ(sum, 0);
        ExFreePool(clean);
    }
}

KTEST(mm_pool, pool2_refuses_what_it_cannot_honour)
{
    KT_EXPECT_NULL(ExAllocatePool2(0, 64, KT_TAG));
    KT_EXPECT_NULL(ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED, 64, KT_TAG));
    KT_EXPECT_NULL(ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x00010000, 64, KT_TAG));
    KT_EXPECT_NULL(ExAllocatePool2(POOL_FLAG_NON_PAGED, 0, KT_TAG));
    KT_EXPECT_NULL(ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, 0));
    void *block = ExAllocatePool2(POOL_FLAG_NON_PAGED | 0x8000000000000000ull, 64, KT_TAG);
    KT_EXPECT_NOT_NULL(block);
    if (block != NULL) {
        ExFreePool(block);
    }
}

KTEST(mm_pool, failure_is_null_or_raises_as_asked)
{
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateRaising, NonPagedPoolNx), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateRaising, NonPagedPoolNx | POOL_RAISE_IF_ALLOCATION_FAILURE),
                     STATUS_INSUFFICIENT_RESOURCES);
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateQuota, PagedPool), STATUS_INSUFFICIENT_RESOURCES);
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateQuota, PagedPool | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateFlagged, (ULONG)POOL_FLAG_PAGED), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtRaisedBy(KtAllocateFlagged, (ULONG)(POOL_FLAG_PAGED | POOL_FLAG_RAISE_ON_FAILURE)),
                     STATUS_INSUFFICIENT_RESOURCES);
}

KTEST(mm_pool, request_beyond_the_region_is_null)
{
    KT_EXPECT_NULL(ExAllocatePoolWithTag(NonPagedPoolNx, ~(SIZE_T)0, KT_TAG));
    KT_EXPECT_NULL(ExAllocatePoolWithTag(PagedPool, 1ull << 40, KT_TAG));
}

KTEST(mm_pool, more_than_memory_fails_and_takes_nothing)
{
    SIZE_T freeFrames = MiFreeFrameCount();
    if (freeFrames > KT_SMALL_MEMORY) {
        KT_SKIP("takes every frame of memory: only where there is little");
    }
    KT_EXPECT_NULL(ExAllocatePoolWithTag(NonPagedPoolNx, (freeFrames + 1) * PAGE_SIZE, KT_TAG));
    void *block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(block);
    ExFreePool(block);
}

KTEST(mm_pool, empty_pages_go_back)
{
    static void *blocks[3 * EXP_EMPTY_PAGES];
    ExpTrimPool();
    SIZE_T before = MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount;
    for (ULONG i = 0; i < RTL_NUMBER_OF(blocks); i++) {
        blocks[i] = ExAllocatePoolWithTag(NonPagedPoolNx, EXP_MAX_SMALL_BYTES, KT_TAG);
        KT_ASSERT_NOT_NULL(blocks[i]);
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(blocks); i++) {
        ExFreePool(blocks[i]);
    }
    SIZE_T kept = BYTES_TO_PAGES(sizeof(EXP_CACHE)) + 2; /* a processor's lists, and two blocks on one of them */
    KT_EXPECT_LE(before - (MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount), EXP_EMPTY_PAGES + KiProcessorCount * kept);
    ExpTrimPool();
    KT_EXPECT_EQ(MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount, before);
}

/* A table of its own, kept so full that its clusters wrap around the end. */
KTEST(mm_pool, table_of_large_blocks_finds_what_is_left_after_each_removal)
{
    static EXP_BIG_BLOCK slots[32];
    EXP_BIG_TABLE        table = { .Slots = slots, .Capacity = RTL_NUMBER_OF(slots) };
    void                *present[24];
    ULONG                count = 0;
    ULONG                state = 3;
    (RtlZeroMemory)(slots, sizeof(slots));
    for (ULONG round = 0; round < 3000; round++) {
        if (count == RTL_NUMBER_OF(present) || (count != 0 && KtNextNumber(&state) % 2 == 0)) {
            ULONG pick = KtNextNumber(&state) % count;
            ExpRemoveBigBlock(&table, ExpProbeBigTable(&table, present[pick]));
            present[pick] = present[--count];
        } else {
            EXP_BIG_BLOCK block = { .Va = (void *)((round + 1ull) << PAGE_SHIFT), .Bytes = PAGE_SIZE };
            ExpEnterBigBlock(&table, &block);
            present[count++] = block.Va;
        }
        KT_EXPECT_EQ(table.Used, count);
        for (ULONG i = 0; i < count; i++) {
            KT_ASSERT_EQ(ExpProbeBigTable(&table, present[i])->Va, present[i]);
        }
    }
}

static void KtPoolWorker(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    UCHAR *blocks[16] = { NULL };
    ULONG  state = Index + 7;
    for (ULONG round = 0; round < 2000; round++) {
        ULONG slot = KtNextNumber(&state) % RTL_NUMBER_OF(blocks);
        if (blocks[slot] != NULL) {
            KT_EXPECT_EQ(blocks[slot][0], (UCHAR)(Index * 16 + slot));
            ExFreePoolWithTag(blocks[slot], KT_TAG);
            blocks[slot] = NULL;
        } else {
            blocks[slot] = ExAllocatePoolWithTag(NonPagedPoolNx, KtNextNumber(&state) % 700 + 1, KT_TAG);
            KT_ASSERT_NOT_NULL(blocks[slot]);
            blocks[slot][0] = (UCHAR)(Index * 16 + slot);
        }
    }
    for (ULONG slot = 0; slot < RTL_NUMBER_OF(blocks); slot++) {
        if (blocks[slot] != NULL) {
            ExFreePoolWithTag(blocks[slot], KT_TAG);
        }
    }
}

KTEST(mm_pool, all_processors_allocate_and_free)
{
    KtRunOnEachProcessor(KtPoolWorker, NULL);
    ExpCheckPool();
    KT_EXPECT_EQ(ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG).Bytes, 0);
}
