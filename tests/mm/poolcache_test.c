/*
 * The lists of free pool blocks that processors keep: who gets a block back, what goes home, what is counted; and a
 * model of all blocks in use, checked while processors free each other's.
 */
#include "mm/poolcache.h"

#include "kernel/ke/pcr.h"
#include "kernel/rtl/memory.h"
#include "kernel/rtl/random.h"
#include "mm/pfn.h"
#include "mm/pool.h"
#include "mm/pooltag.h"
#include "tests/lib/ktest.h"

#define KT_TAG        0x6361434Bu /* "KCac" */
#define KT_BYTES      100u
#define KT_MANY       400u /* more than any list holds */
#define KT_SLOTS      512u
#define KT_OPERATIONS 300000u
#define KT_MODEL_SEED 0x5EEDu

static const POOL_HEADER *KtHeaderOf(const void *Block)
{
    return (const POOL_HEADER *)Block - 1;
}

/* At DISPATCH_LEVEL the test stays on its processor, and nobody else uses its lists. */
KTEST(mm_poolcache, freed_block_stays_with_its_processor_and_comes_back)
{
    ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG), KT_TAG); /* the list and the tag */
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    void *block = ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG);
    ExFreePoolWithTag(block, KT_TAG);
    UCHAR freedType = KtHeaderOf(block)->PoolType;
    void *again = ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG);
    UCHAR takenType = KtHeaderOf(block)->PoolType;
    ExFreePoolWithTag(again, KT_TAG);
    SIZE_T freedBytes = ExpQueryBlockBytes(again);
    KeLowerIrql(irql);
    KT_EXPECT_EQ(again, block);
    KT_EXPECT_EQ(freedType, EXP_HEADER_IN_USE | EXP_HEADER_NX | EXP_HEADER_CACHED);
    KT_EXPECT_EQ(takenType, EXP_HEADER_IN_USE | EXP_HEADER_NX);
    KT_EXPECT_EQ(freedBytes, 0);
}

KTEST(mm_poolcache, hot_pairs_take_no_lock_of_the_pool)
{
    ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG), KT_TAG);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    KiAcquireLockAtDpcLevel(&ExpPools[MiPoolNonPagedNx].Lock); /* whoever took it now would wait for ever */
    for (ULONG i = 0; i < 100; i++) {
        ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG), KT_TAG);
    }
    KiReleaseLockFromDpcLevel(&ExpPools[MiPoolNonPagedNx].Lock);
    KeLowerIrql(irql);
}

KTEST(mm_poolcache, full_list_sends_half_home)
{
    static void *blocks[KT_MANY];
    ULONG        cached = 0;
    for (ULONG i = 0; i < KT_MANY; i++) {
        blocks[i] = ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG);
        KT_ASSERT_NOT_NULL(blocks[i]);
    }
    void *keeper = ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG);
    for (ULONG i = 0; i < KT_MANY; i++) {
        ExFreePoolWithTag(blocks[i], KT_TAG);
    }
    for (ULONG i = 0; i < KT_MANY; i++) {
        const MMPTE *pte = MiFindValidPte(blocks[i]);
        cached += pte != NULL && (KtHeaderOf(blocks[i])->PoolType & EXP_HEADER_CACHED) != 0;
    }
    KT_EXPECT_GE(cached, 1);
    KT_EXPECT_LE(cached, 96 * KiProcessorCount);
    ExpTrimPool();
    ExpCheckPool();
    ExFreePoolWithTag(keeper, KT_TAG);
}

KTEST(mm_poolcache, emptied_caches_leave_no_page_behind)
{
    ExpTrimPool();
    SIZE_T before = MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount;
    ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, KT_BYTES, KT_TAG), KT_TAG);
    KT_EXPECT_LT(MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount, before);
    ExpTrimPool();
    KT_EXPECT_EQ(MiFreeFrameCount() + (SIZE_T)MiKeptFrameCount, before);
}

/*
 * The model: a slot holds a block's place in the region and its bytes in one word, so that whoever exchanges it owns
 * the block. The block's bytes follow from its address: an overlap or a stray write shows when it is freed.
 */
#define KT_PLACE_BITS 37u

static struct {
    volatile LONG64 Slots[KT_SLOTS];
    volatile LONG64 Allocations;
    volatile LONG64 Damaged;
} KtModel;

static UCHAR KtPatternOf(const UCHAR *Block, SIZE_T Bytes)
{
    return (UCHAR)(((ULONG64)Block >> 4) * 37 + Bytes);
}

static void KtFreeOfModel(LONG64 Word)
{
    UCHAR *block = (UCHAR *)(MI_BASE_OF(NONPAGED_POOL) + ((ULONG64)Word & ((1ull << KT_PLACE_BITS) - 1)));
    SIZE_T bytes = (SIZE_T)((ULONG64)Word >> KT_PLACE_BITS);
    SIZE_T step = bytes <= PAGE_SIZE ? 1 : PAGE_SIZE;
    UCHAR  pattern = KtPatternOf(block, bytes);
    bool   isDamaged = block[bytes - 1] != pattern;
    for (SIZE_T i = 0; i < bytes; i += step) {
        isDamaged |= block[i] != pattern;
    }
    if (isDamaged) {
        _InterlockedIncrement64(&KtModel.Damaged);
    }
    ExFreePoolWithTag(block, KT_TAG);
}

static SIZE_T KtModelBytes(ULONG64 *State)
{
    ULONG die = RtlpRandomBelow(State, 1000);
    ULONG limit = die == 0 ? 0x400000 : die < 50 ? PAGE_SIZE : 300;
    return RtlpRandomBelow(State, limit) + 1;
}

static void KtModelWorker(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    ULONG64 state = KT_MODEL_SEED + Index;
    for (ULONG round = 0; round < KT_OPERATIONS / KiProcessorCount; round++) {
        volatile LONG64 *slot = &KtModel.Slots[RtlpRandomBelow(&state, KT_SLOTS)];
        LONG64           old = _InterlockedExchange64(slot, 0);
        if (old == 0) {
            SIZE_T bytes = KtModelBytes(&state);
            UCHAR *block = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, KT_TAG);
            KT_ASSERT_NOT_NULL(block);
            KT_EXPECT_EQ((ULONG64)block % (bytes >= PAGE_SIZE ? PAGE_SIZE : 16), 0);
            _InterlockedIncrement64(&KtModel.Allocations);
            (RtlFillMemory)(block, bytes, KtPatternOf(block, bytes));
            ULONG64 place = (ULONG64)block - MI_BASE_OF(NONPAGED_POOL);
            old = _InterlockedExchange64(slot, (LONG64)(place | (ULONG64)bytes << KT_PLACE_BITS));
        }
        if (old != 0) {
            KtFreeOfModel(old);
        }
    }
}

KTEST(mm_poolcache, model_of_blocks_that_processors_free_for_each_other)
{
    EXP_POOL_USAGE before = ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG);
    (RtlZeroMemory)(&KtModel, sizeof(KtModel));
    KtRunOnEachProcessor(KtModelWorker, NULL);
    for (ULONG i = 0; i < KT_SLOTS; i++) {
        if (KtModel.Slots[i] != 0) {
            KtFreeOfModel(KtModel.Slots[i]);
        }
    }
    EXP_POOL_USAGE after = ExpReadTagUsage(MiPoolNonPagedNx, KT_TAG);
    KT_EXPECT_EQ(KtModel.Damaged, 0);
    KT_EXPECT_EQ(after.Allocations - before.Allocations, (ULONG64)KtModel.Allocations);
    KT_EXPECT_EQ(after.Frees - before.Frees, (ULONG64)KtModel.Allocations);
    KT_EXPECT_EQ(after.Bytes, before.Bytes);
    ExpCheckPool();
}
