/*
 * Caches of system PTEs: that nothing is lost in them, and that no processor reads through what was flushed for reuse.
 */
#include "mm/sysptecache.h"

#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_RUNS 100u

/* The counts go through every class, and beyond them. */
static PFN_COUNT KtRunLength(ULONG Index)
{
    return 1 + Index * 7 % 300;
}

static void KtReserveRuns(MMPTE **Runs)
{
    for (ULONG index = 0; index < KT_RUNS; index++) {
        Runs[index] = MiReserveSystemPtes(KtRunLength(index));
        KT_EXPECT_NOT_NULL(Runs[index]);
        KT_EXPECT_TRUE(MiAreZeroPtes(Runs[index], KtRunLength(index)));
        Runs[index][0] = MiMakeNoAccessPte(MiNoAccessReleased, index + 1);
        Runs[index][KtRunLength(index) - 1] = Runs[index][0];
    }
}

/* Each run still holds its own mark at both ends; then it goes back, flushed or to wait. */
static void KtReleaseRuns(MMPTE **Runs, void (*Release)(MMPTE *First, PFN_COUNT PteCount))
{
    for (ULONG index = 0; index < KT_RUNS; index++) {
        MMPTE *last = Runs[index] + KtRunLength(index) - 1;
        KT_EXPECT_EQ(MiPteFrame(Runs[index][0]), index + 1);
        KT_EXPECT_EQ(MiPteFrame(*last), index + 1);
        *last = (MMPTE){ 0 };
        Runs[index][0] = (MMPTE){ 0 };
        Release(Runs[index], KtRunLength(index));
    }
}

KTEST(mm_sysptecache, drain_returns_every_run_to_the_region)
{
    MMPTE *runs[KT_RUNS];
    MiDrainSystemPtes();
    SIZE_T free = MiFreePteCount(&MiSystemPteRegion);
    KtReserveRuns(runs);
    KtReleaseRuns(runs, MiReleaseSystemPtesNoFlush);
    KT_EXPECT_GT(MiWaitingSystemPteCount(), KT_RUNS);
    KtReserveRuns(runs);
    KtReleaseRuns(runs, MiReleaseSystemPtes);
    KT_EXPECT_LT(MiFreePteCount(&MiSystemPteRegion), free);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    ULONG64 generation = KiReadTlbGeneration();
    MiDrainSystemPtes();
    KT_EXPECT_TRUE(KiIsTlbGenerationOver(generation));
    KT_EXPECT_EQ(MiWaitingSystemPteCount(), 0);
    KT_EXPECT_EQ(MiFreePteCount(&MiSystemPteRegion), free);
    MiCheckPteRegion(&MiSystemPteRegion);
}

KTEST(mm_sysptecache, release_waits_until_a_flush_has_followed)
{
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    MiDrainSystemPtes();
    MMPTE *run = MiReserveSystemPtes(64);
    MiReleaseSystemPtesNoFlush(run, 64);
    SIZE_T waiting = MiWaitingSystemPteCount();
    MMPTE *other = MiReserveSystemPtes(64);
    MiReleaseSystemPtesNoFlush(other, 64);
    MiFlushWaitingSystemPtes();
    MMPTE *third = MiReserveSystemPtes(63); /* class of 64: the release before it has turned no batch */
    MiReleaseSystemPtesNoFlush(third, 63);
    SIZE_T left = MiWaitingSystemPteCount();
    KeLowerIrql(irql);
    KT_EXPECT_EQ(waiting, 64);
    KT_EXPECT_NE((ULONG64)other, (ULONG64)run);
    KT_EXPECT_EQ(left, 64); /* the two have become ready */
}

/* One processor takes what another gives back: it neither piles up there nor is lost. */
typedef struct _KT_HANDOVER {
    MMPTE *volatile Slot;
    volatile LONG TakerCount;
} KT_HANDOVER;

#define KT_HANDOVERS 30000u

static void KtHandRunsOver(ULONG Index, void *Context)
{
    KT_HANDOVER *handover = Context;
    if (Index > 1) {
        return;
    }
    for (ULONG round = 0; round < KT_HANDOVERS; round++) {
        MMPTE *run = NULL;
        if (Index == 0) {
            run = MiReserveSystemPtes(64);
            KT_EXPECT_NOT_NULL(run);
            while (_InterlockedCompareExchangePointer((void *volatile *)&handover->Slot, run, NULL) != NULL) {
                YieldProcessor();
            }
            continue;
        }
        while ((run = InterlockedExchangePointer((void *volatile *)&handover->Slot, NULL)) == NULL) {
            YieldProcessor();
        }
        MiReleaseSystemPtesNoFlush(run, 64);
    }
}

KTEST(mm_sysptecache, runs_released_elsewhere_come_back)
{
    KT_HANDOVER handover = { 0 };
    if (KeQueryActiveProcessorCount(NULL) < 2) {
        KT_SKIP("one processor");
    }
    SIZE_T free = MiFreeSystemPteCount();
    KtRunOnEachProcessor(KtHandRunsOver, &handover);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    MiDrainSystemPtes();
    KT_EXPECT_EQ(MiFreePteCount(&MiSystemPteRegion), free);
    MiCheckPteRegion(&MiSystemPteRegion);
}

/* Every processor maps its own pages and must read its own pattern, whatever was at the address before. */
#define KT_STRESS_PAGES  20u
#define KT_STRESS_ROUNDS 25000u /* of one processor; strict, a hundredth */

static void KtMapAndRead(ULONG Index, void *Context)
{
    ULONG   roundCount = *(const ULONG *)Context;
    ULONG64 state = 0x9E3779B97F4A7C15ull * (Index + 1);
    MDL    *mdl = KtAllocateMarkedPages(KT_STRESS_PAGES, (UCHAR)(Index * KT_STRESS_PAGES));
    for (ULONG round = 0; mdl != NULL && round < roundCount; round++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        ULONG guards = (state >> 60) == 0 ? MdlMappingWithGuardPtes : 0;
        mdl->ByteCount = (1 + (ULONG)(state >> 40) % KT_STRESS_PAGES) * PAGE_SIZE;
        volatile UCHAR *va = MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE,
                                                          NormalPagePriority | MdlMappingNoExecute | guards);
        KT_EXPECT_NOT_NULL((void *)va);
        for (ULONG page = 0; va != NULL && page < mdl->ByteCount / PAGE_SIZE; page++) {
            if (va[page * PAGE_SIZE] != (UCHAR)(Index * KT_STRESS_PAGES + page)) {
                KT_EXPECT_EQ(va[page * PAGE_SIZE], (UCHAR)(Index * KT_STRESS_PAGES + page));
            }
        }
        MmUnmapLockedPages((void *)va, mdl);
    }
    if (mdl != NULL) {
        mdl->ByteCount = KT_STRESS_PAGES * PAGE_SIZE;
        KtFreeMarkedPages(mdl);
    }
}

static void KtStress(KI_TLB_MODE Mode, ULONG RoundCount)
{
    KI_TLB_MODE     mode = KiOptions.TlbMode;
    SIZE_T          free = MiFreeSystemPteCount();
    KI_TLB_COUNTERS before = KiReadTlbCounters();
    KiOptions.TlbMode = Mode;
    KtRunOnEachProcessor(KtMapAndRead, &RoundCount);
    KiOptions.TlbMode = mode;
    KI_TLB_COUNTERS after = KiReadTlbCounters();
    ULONG64         targets = (after.Requests - before.Requests) * (KeQueryActiveProcessorCount(NULL) - 1);
    KT_EXPECT_LE(after.Interrupts - before.Interrupts, targets);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    MiDrainSystemPtes();
    KT_EXPECT_EQ(MiFreePteCount(&MiSystemPteRegion), free);
    MiCheckPteRegion(&MiSystemPteRegion);
}

KTEST(mm_sysptecache, deferred_stress_reads_its_own_pages)
{
    KtStress(KiTlbDeferred, KT_STRESS_ROUNDS);
}

KTEST(mm_sysptecache, strict_stress_reads_its_own_pages)
{
    KtStress(KiTlbStrict, KT_STRESS_ROUNDS / 100);
}
