/*
 * Shootdown: after a change of page tables no processor acts on what they said before.
 *
 * Each test has every processor use a translation, so that it has it, and then changes the entry behind it. Nothing
 * that would drop the translation by the way stands between: the processors spin, they do not wait.
 */
#include "kernel/ke/tlb.h"

#include "kernel/rtl/cmdline.h"
#include "mm/probe.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_MANY_PAGES (KI_FULL_FLUSH_PAGES + 1)

/* User memory that every processor writes, and how one of them takes it away. */
typedef struct _KT_CHANGE {
    KT_SPACE *Space;
    MDL      *Mdl; /* mapped at Va, or NULL */
    UCHAR    *Va;
    void (*Change)(struct _KT_CHANGE *Change);
    volatile LONG WarmCount; /* processors that have the translation */
    volatile LONG IsDone;    /* the change has returned */
} KT_CHANGE;

static NTSTATUS KtPoke(UCHAR *Va)
{
    UCHAR value = 1;
    return MiCopyToUser(Va, &value, sizeof(value));
}

static void KtWriteAcrossChange(ULONG Index, void *Context)
{
    KT_CHANGE *change = Context;
    KAPC_STATE apcState;
    KeStackAttachProcess(&change->Space->Process->Pcb, &apcState);
    KT_EXPECT_STATUS(KtPoke(change->Va), STATUS_SUCCESS);
    InterlockedIncrement(&change->WarmCount);
    if (Index == 0) {
        while (change->WarmCount != KeNumberProcessors) {
            YieldProcessor();
        }
        change->Change(change);
        InterlockedExchange(&change->IsDone, 1);
    }
    while (change->IsDone == 0) {
        YieldProcessor();
    }
    KT_EXPECT_STATUS(KtPoke(change->Va), STATUS_ACCESS_VIOLATION);
    KeUnstackDetachProcess(&apcState);
}

static void KtMakeReadOnly(KT_CHANGE *Change)
{
    KtProtectUserPages(Change->Space, Change->Va, 1, PAGE_READONLY);
}

static void KtRelease(KT_CHANGE *Change)
{
    KtFreeUserPages(Change->Space, Change->Va);
}

static void KtUnmap(KT_CHANGE *Change)
{
    MmUnmapLockedPages(Change->Va, Change->Mdl);
}

KTEST(ke_tlb, user_page_made_read_only_is_so_on_every_processor)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *va = KtCommitPages(&space, 1, PAGE_READWRITE);
    KtRunOnEachProcessor(KtWriteAcrossChange, &(KT_CHANGE){ .Space = &space, .Va = va, .Change = KtMakeReadOnly });
    KtLeaveSpace(&space);
}

KTEST(ke_tlb, released_user_page_is_gone_on_every_processor)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *va = KtCommitPages(&space, 1, PAGE_READWRITE);
    KtRunOnEachProcessor(KtWriteAcrossChange, &(KT_CHANGE){ .Space = &space, .Va = va, .Change = KtRelease });
    KtLeaveSpace(&space);
}

KTEST(ke_tlb, user_mapping_of_an_mdl_is_gone_on_every_processor)
{
    KT_SPACE space;
    MDL     *mdl = KtAllocateMarkedPages(1, 0);
    KT_ASSERT_NOT_NULL(mdl);
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *va = MmMapLockedPagesSpecifyCache(mdl, UserMode, MmCached, NULL, FALSE, NormalPagePriority);
    KtRunOnEachProcessor(KtWriteAcrossChange, &(KT_CHANGE){ .Space = &space, .Mdl = mdl, .Va = va, .Change = KtUnmap });
    KtLeaveSpace(&space);
    KtFreeMarkedPages(mdl);
}

/* A kernel mapping that every processor reads, and the one that takes its place. */
typedef struct _KT_REMAP {
    MDL           *Before; /* byte 0 of page i is KT_SEED_BEFORE + i; mapped at Va */
    MDL           *After;  /* the same with KT_SEED_AFTER */
    PFN_COUNT      PageCount;
    const UCHAR   *Va;
    const UCHAR   *AfterVa; /* where After came to be mapped */
    volatile LONG  WarmCount;
    volatile LONG  IsDone;
    volatile ULONG WrongCount; /* bytes that some processor read wrong */
} KT_REMAP;

#define KT_SEED_BEFORE 0x10
#define KT_SEED_AFTER  0x90

static const UCHAR *KtMap(MDL *Mdl)
{
    return MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
}

static void KtReadAll(KT_REMAP *Remap, UCHAR Seed)
{
    for (PFN_COUNT page = 0; page < Remap->PageCount; page++) {
        if (((const volatile UCHAR *)Remap->Va)[(SIZE_T)page * PAGE_SIZE] != (UCHAR)(Seed + page)) {
            InterlockedIncrement((volatile LONG *)&Remap->WrongCount);
        }
    }
}

static void KtReadAcrossRemap(ULONG Index, void *Context)
{
    KT_REMAP *remap = Context;
    KtReadAll(remap, KT_SEED_BEFORE);
    InterlockedIncrement(&remap->WarmCount);
    if (Index == 0) {
        while (remap->WarmCount != KeNumberProcessors) {
            YieldProcessor();
        }
        MmUnmapLockedPages((PVOID)remap->Va, remap->Before);
        remap->AfterVa = KtMap(remap->After);
        InterlockedExchange(&remap->IsDone, 1);
    }
    while (remap->IsDone == 0) {
        YieldProcessor();
    }
    KtReadAll(remap, KT_SEED_AFTER);
}

static void KtRemapOnEachProcessor(PFN_COUNT PageCount)
{
    KT_REMAP remap = {
        .Before = KtAllocateMarkedPages(PageCount, KT_SEED_BEFORE),
        .After = KtAllocateMarkedPages(PageCount, KT_SEED_AFTER),
        .PageCount = PageCount,
    };
    KT_ASSERT_TRUE(remap.Before != NULL && remap.After != NULL);
    remap.Va = KtMap(remap.Before);
    KT_ASSERT_NOT_NULL(remap.Va);
    KI_TLB_MODE mode = KiOptions.TlbMode;
    KiOptions.TlbMode = KiTlbStrict; /* the address comes back at once */
    KtRunOnEachProcessor(KtReadAcrossRemap, &remap);
    KiOptions.TlbMode = mode;
    KT_EXPECT_EQ(remap.AfterVa, remap.Va);
    KT_EXPECT_EQ(remap.WrongCount, 0);
    MmUnmapLockedPages((PVOID)remap.AfterVa, remap.After);
    KtFreeMarkedPages(remap.Before);
    KtFreeMarkedPages(remap.After);
}

KTEST(ke_tlb, unmapped_page_is_gone_on_every_processor)
{
    KtRemapOnEachProcessor(1);
}

KTEST(ke_tlb, more_pages_than_are_flushed_singly_are_gone_on_every_processor)
{
    KtRemapOnEachProcessor(KT_MANY_PAGES);
}
