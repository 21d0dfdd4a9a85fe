/*
 * PTE regions, on a region of their own inside the system's.
 */
#include "mm/syspte.h"

#include "mm/pfn.h"
#include "tests/lib/ktest.h"

#define KT_PTES 256u

/* A region over KT_PTES reserved entries of the system's. */
typedef struct _KT_REGION {
    MI_PTE_REGION Region;
    MMPTE        *Backing;
} KT_REGION;

static bool KtOpenRegion(KT_REGION *Test)
{
    Test->Backing = MiReservePtes(&MiSystemPteRegion, KT_PTES);
    if (Test->Backing != NULL) {
        MiInitializePteRegion(&Test->Region, MiVaOfPte(Test->Backing), KT_PTES);
    }
    return Test->Backing != NULL;
}

/* Everything has come back: the whole is one tail of zero entries. */
static void KtCloseRegion(KT_REGION *Test)
{
    MiCheckPteRegion(&Test->Region);
    KT_EXPECT_EQ(MiFreePteCount(&Test->Region), KT_PTES);
    KT_EXPECT_EQ(MiLargestFreeRun(&Test->Region), KT_PTES);
    MiReleasePtes(&MiSystemPteRegion, Test->Backing, KT_PTES);
}

KTEST(mm_syspte, region_gives_out_what_it_has_and_no_more)
{
    KT_REGION test;
    KT_ASSERT_TRUE(KtOpenRegion(&test));
    MMPTE *all = MiReservePtes(&test.Region, KT_PTES);
    KT_EXPECT_EQ((ULONG64)all, (ULONG64)test.Backing);
    KT_EXPECT_NULL(MiReservePtes(&test.Region, 1));
    KT_EXPECT_EQ(MiFreePteCount(&test.Region), 0);
    KT_EXPECT_EQ(MiLargestFreeRun(&test.Region), 0);
    MiReleasePtes(&test.Region, all, KT_PTES);
    KT_EXPECT_NULL(MiReservePtes(&test.Region, KT_PTES + 1));
    KT_EXPECT_NULL(MiReservePtes(&test.Region, 0));
    KtCloseRegion(&test);
}

KTEST(mm_syspte, neighbours_merge_in_any_order)
{
    static const UCHAR orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 0, 2, 1, 3 }, { 1, 3, 0, 2 }, { 2, 0, 3, 1 } };
    static const PFN_COUNT lengths[4] = { 1, 2, 3, 17 };
    KT_REGION              test;
    KT_ASSERT_TRUE(KtOpenRegion(&test));
    for (ULONG order = 0; order < ARRAYSIZE(orders); order++) {
        MMPTE *runs[4];
        for (ULONG index = 0; index < 4; index++) {
            runs[index] = MiReservePtes(&test.Region, lengths[index]);
            KT_EXPECT_NOT_NULL(runs[index]);
        }
        MMPTE *fence = MiReservePtes(&test.Region, 1); /* keeps the runs away from the tail */
        for (ULONG index = 0; index < 4; index++) {
            UCHAR run = orders[order][index];
            MiReleasePtes(&test.Region, runs[run], lengths[run]);
            MiCheckPteRegion(&test.Region);
        }
        KT_EXPECT_EQ(test.Region.RunCount, 1);
        KT_EXPECT_EQ(test.Region.FreeCount, 1 + 2 + 3 + 17);
        MiReleasePtes(&test.Region, fence, 1);
    }
    KtCloseRegion(&test);
}

KTEST(mm_syspte, hole_that_fits_is_found_though_small_ones_come_first)
{
    KT_REGION test;
    MMPTE    *runs[KT_PTES / 8];
    KT_ASSERT_TRUE(KtOpenRegion(&test));
    for (ULONG index = 0; index < ARRAYSIZE(runs); index++) {
        runs[index] = MiReservePtes(&test.Region, 8);
    }
    KT_EXPECT_NULL(MiReservePtes(&test.Region, 1));
    /* One hole of 15 in the class of 8 to 15, behind many of 8. */
    MiReleasePtes(&test.Region, runs[1], 8);
    MiReleasePtes(&test.Region, runs[2], 7);
    for (ULONG index = 4; index < ARRAYSIZE(runs); index += 2) {
        MiReleasePtes(&test.Region, runs[index], 8);
    }
    KT_EXPECT_EQ(MiLargestFreeRun(&test.Region), 15);
    KT_EXPECT_EQ((ULONG64)MiReservePtes(&test.Region, 15), (ULONG64)runs[1]);
    KT_EXPECT_NULL(MiReservePtes(&test.Region, 9));
    MiReleasePtes(&test.Region, runs[0], 8 + 16 + 8);
    for (ULONG index = 5; index < ARRAYSIZE(runs); index += 2) {
        MiReleasePtes(&test.Region, runs[index], 8);
    }
    KtCloseRegion(&test);
}

/* A reservation of the random walk. */
typedef struct _KT_RUN {
    MMPTE    *First; /* NULL: free slot */
    PFN_COUNT PteCount;
} KT_RUN;

static ULONG KtNextRandom(ULONG64 *State)
{
    *State = *State * 6364136223846793005ull + 1442695040888963407ull;
    return (ULONG)(*State >> 33);
}

/* Reserve or release one slot; a new run holds only zero entries and is marked as somebody's until its release. */
static void KtStepRandomly(MI_PTE_REGION *Region, KT_RUN *Run, ULONG64 *State)
{
    if (Run->First != NULL) {
        RtlZeroMemory(Run->First, Run->PteCount * sizeof(MMPTE));
        MiReleasePtes(Region, Run->First, Run->PteCount);
        Run->First = NULL;
        return;
    }
    Run->PteCount = 1 + KtNextRandom(State) % 24;
    Run->First = MiReservePtes(Region, Run->PteCount);
    for (PFN_COUNT index = 0; Run->First != NULL && index < Run->PteCount; index++) {
        KT_EXPECT_EQ(Run->First[index].Value, 0);
        Run->First[index] = MiMakeNoAccessPte(MiNoAccessReleased, 1);
    }
}

KTEST(mm_syspte, random_walk_keeps_the_invariants)
{
    KT_REGION test;
    KT_RUN    runs[24] = { 0 };
    ULONG64   state = 0x9E3779B97F4A7C15ull;
    KT_ASSERT_TRUE(KtOpenRegion(&test));
    for (ULONG step = 0; step < 4000; step++) {
        KtStepRandomly(&test.Region, &runs[KtNextRandom(&state) % ARRAYSIZE(runs)], &state);
        if (step % 16 == 0) {
            MiCheckPteRegion(&test.Region);
        }
    }
    for (ULONG index = 0; index < ARRAYSIZE(runs); index++) {
        if (runs[index].First != NULL) {
            KtStepRandomly(&test.Region, &runs[index], &state);
        }
    }
    KtCloseRegion(&test);
}

KTEST(mm_syspte, long_run_of_the_systems_region)
{
    const PFN_COUNT pteCount = 0x40000; /* 1 GiB: a length that needs more than 16 bits */
    if (MiLargestFreeRun(&MiSystemPteRegion) < 2 * (SIZE_T)pteCount || MiFreeFrameCount() < 2048) {
        KT_SKIP("too few system PTEs or frames");
    }
    MMPTE *first = MiReservePtes(&MiSystemPteRegion, pteCount);
    MMPTE *fence = MiReservePtes(&MiSystemPteRegion, 1);
    KT_ASSERT_NOT_NULL(first);
    KT_ASSERT_NOT_NULL(fence);
    KT_EXPECT_TRUE(MiTablesExist(MiVaOfPte(first + pteCount - 1)));
    MiReleasePtes(&MiSystemPteRegion, first, pteCount);
    KT_EXPECT_GE(MiLargestFreeRun(&MiSystemPteRegion), pteCount);
    MiReleasePtes(&MiSystemPteRegion, fence, 1);
}

static void KtChurnPtes(ULONG Index, void *Context)
{
    MI_PTE_REGION *region = Context;
    for (ULONG round = 0; round < 200; round++) {
        PFN_COUNT pteCount = 1 + (round + Index) % 7;
        MMPTE    *first = MiReservePtes(region, pteCount);
        for (PFN_COUNT index = 0; first != NULL && index < pteCount; index++) {
            KT_EXPECT_EQ(first[index].Value, 0);
            first[index] = MiMakeNoAccessPte(MiNoAccessReleased, Index + 1);
        }
        for (PFN_COUNT index = 0; first != NULL && index < pteCount; index++) {
            KT_EXPECT_EQ(MiPteFrame(first[index]), Index + 1);
            first[index].Value = 0;
        }
        if (first != NULL) {
            MiReleasePtes(region, first, pteCount);
        }
    }
}

KTEST(mm_syspte, all_processors_reserve_and_release)
{
    KT_REGION test;
    KT_ASSERT_TRUE(KtOpenRegion(&test));
    KtRunOnEachProcessor(KtChurnPtes, &test.Region);
    KtCloseRegion(&test);
}
