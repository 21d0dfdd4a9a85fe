/*
 * Locking pages: references, permissions, failure halfway, and what survives what.
 */
#include "mm/mdllock.h"

#include "mm/virtual.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_TAG        0x6B636F4Cu /* "Lock" */
#define KT_PAGES      4u
#define KT_MANY_LOCKS 66000u /* more than 16 bits count */
#define KT_ROUNDS     40u

/* An MDL over as many pages as the suites here need, wherever it stands. */
typedef struct _KT_MDL {
    MDL        Mdl;
    PFN_NUMBER Frames[KT_PAGES + 1];
} KT_MDL;

static void KtTouch(volatile UCHAR *Va, UCHAR Value)
{
    *Va = Value;
}

KTEST(mm_mdllock, each_page_gets_one_reference_and_loses_it)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    MmInitializeMdl(&storage.Mdl, pages + 5, (KT_PAGES - 1) * PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl), MDL_PAGES_LOCKED | MDL_WRITE_OPERATION);
    KT_EXPECT_EQ(storage.Mdl.Process, space.Process);
    KT_EXPECT_EQ(space.Process->LockedPages, KT_PAGES);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KT_EXPECT_EQ(storage.Frames[i], KtFrameOf(pages + i * PAGE_SIZE));
        KT_EXPECT_EQ(KtReferences(storage.Frames[i]), 2);
    }
    MmUnlockPages(&storage.Mdl);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        PFN_NUMBER frame = KtFrameOf(pages + i * PAGE_SIZE);
        KT_EXPECT_EQ(KtReferences(frame), 1);
        KT_EXPECT_TRUE(MiPfn(frame)->Modified);
    }
    KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl) & MDL_PAGES_LOCKED, 0);
    KT_EXPECT_EQ(space.Process->LockedPages, 0);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, read_lock_does_not_mark_pages_modified)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READONLY);
    MmInitializeMdl(&storage.Mdl, pages, PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl), MDL_PAGES_LOCKED);
    MmUnlockPages(&storage.Mdl);
    KT_EXPECT_FALSE(MiPfn(KtFrameOf(pages))->Modified);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, write_to_read_only_pages_is_refused)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READONLY);
    MmInitializeMdl(&storage.Mdl, pages, PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    MmUnlockPages(&storage.Mdl);
    PFN_NUMBER frame = KtFrameOf(pages);

    static const LOCK_OPERATION  writes[] = { IoWriteAccess, IoModifyAccess };
    static const KPROCESSOR_MODE modes[] = { UserMode, KernelMode };
    for (ULONG i = 0; i < 4; i++) {
        KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, modes[i / 2], writes[i % 2]), STATUS_ACCESS_VIOLATION);
        KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl), 0);
        KT_EXPECT_EQ(KtReferences(frame), 1);
    }
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, failure_halfway_leaves_every_count_as_it_was)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KtTouch(pages + i * PAGE_SIZE, 1);
    }
    KtProtectUserPages(&space, pages + (KT_PAGES - 1) * PAGE_SIZE, 1, PAGE_READONLY);
    MmInitializeMdl(&storage.Mdl, pages, KT_PAGES * PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoWriteAccess), STATUS_ACCESS_VIOLATION);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KT_EXPECT_EQ(KtReferences(KtFrameOf(pages + i * PAGE_SIZE)), 1);
    }
    KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl), 0);
    KT_EXPECT_EQ(space.Process->LockedPages, 0);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, addresses_that_cannot_be_had_raise)
{
    static const struct {
        ULONG64         Va;
        ULONG           ByteCount;
        KPROCESSOR_MODE Mode;
    } cases[] = {
        { 0x10000, 1, UserMode }, /* nothing there */
        { 0x10000, 1, KernelMode },
        { 0, 1, KernelMode },
        { MI_USER_END - 1, 2, UserMode }, /* crosses the limit */
        { MI_USER_END, 1, UserMode },
        { MI_SYSTEM_START, 1, UserMode },         /* the kernel's, asked for by a user */
        { MI_SYSTEM_START, 1, KernelMode },       /* the kernel's, and nothing there */
        { 0x0000800000000000ull, 1, KernelMode }, /* not canonical */
        { 0xFFFFFFFFFFFFFFFFull, 2, KernelMode }, /* wraps */
        { 0xFFFFFFFFFFFFFFFFull, 2, UserMode },
    };
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    for (ULONG i = 0; i < RTL_NUMBER_OF(cases); i++) {
        MmInitializeMdl(&storage.Mdl, (void *)cases[i].Va, cases[i].ByteCount);
        KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, cases[i].Mode, IoReadAccess), STATUS_ACCESS_VIOLATION);
        KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl), 0);
    }
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, user_mode_cannot_lock_kernel_memory_that_exists)
{
    KT_MDL storage;
    void  *block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(block);
    MmInitializeMdl(&storage.Mdl, block, PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(KtReferences(KtFrameOf(block)), 1);
    ExFreePoolWithTag(block, KT_TAG);
}

KTEST(mm_mdllock, no_access_pages_are_refused)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READWRITE);
    KtTouch(pages, 1);
    KtProtectUserPages(&space, pages, 1, PAGE_NOACCESS);
    MmInitializeMdl(&storage.Mdl, pages, 1);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, kernel_memory_of_each_kind_locks)
{
    static const POOL_TYPE types[] = { NonPagedPool, NonPagedPoolNx, PagedPool };
    KT_MDL                 storage;
    for (ULONG i = 0; i < RTL_NUMBER_OF(types); i++) {
        UCHAR *block = ExAllocatePoolWithTag(types[i], 2 * PAGE_SIZE, KT_TAG);
        KT_ASSERT_NOT_NULL(block);
        MmInitializeMdl(&storage.Mdl, block + 100, PAGE_SIZE);
        KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, KernelMode, IoModifyAccess), STATUS_SUCCESS);
        KT_EXPECT_NULL(storage.Mdl.Process);
        KT_EXPECT_EQ(storage.Frames[0], KtFrameOf(block));
        KT_EXPECT_EQ(storage.Frames[1], KtFrameOf(block + PAGE_SIZE));
        KT_EXPECT_EQ(KtReferences(storage.Frames[0]), 2);
        MmUnlockPages(&storage.Mdl);
        KT_EXPECT_EQ(KtReferences(KtFrameOf(block)), 1);
        ExFreePoolWithTag(block, KT_TAG);
    }
}

KTEST(mm_mdllock, kernel_code_locks_for_reading_alone)
{
    KT_MDL storage;
    MmInitializeMdl(&storage.Mdl, (void *)(ULONG_PTR)MmProbeAndLockPages, 16);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, KernelMode, IoWriteAccess), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, KernelMode, IoReadAccess), STATUS_SUCCESS);
    MmUnlockPages(&storage.Mdl);
}

KTEST(mm_mdllock, resident_memory_locks_at_dispatch_level)
{
    KT_MDL   storage;
    KIRQL    irql;
    UCHAR   *block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    NTSTATUS status;
    KT_ASSERT_NOT_NULL(block);
    MmInitializeMdl(&storage.Mdl, block, PAGE_SIZE);
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    status = KtLockPages(&storage.Mdl, KernelMode, IoWriteAccess);
    MmUnlockPages(&storage.Mdl);
    KeLowerIrql(irql);
    KT_EXPECT_STATUS(status, STATUS_SUCCESS);
    ExFreePoolWithTag(block, KT_TAG);
}

KTEST(mm_mdllock, two_mdls_hold_one_page_until_the_last_lets_go)
{
    KT_SPACE space;
    KT_MDL   first;
    KT_MDL   second;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READWRITE);
    MmInitializeMdl(&first.Mdl, pages, PAGE_SIZE);
    MmInitializeMdl(&second.Mdl, pages + 1, 10);
    KT_EXPECT_STATUS(KtLockPages(&first.Mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtLockPages(&second.Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    PFN_NUMBER frame = first.Frames[0];
    KT_EXPECT_EQ(second.Frames[0], frame);
    KT_EXPECT_EQ(KtReferences(frame), 3);
    MmUnlockPages(&first.Mdl);
    KT_EXPECT_EQ(KtReferences(frame), 2);
    MmUnlockPages(&second.Mdl);
    KT_EXPECT_EQ(KtReferences(frame), 1);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, one_page_is_locked_more_often_than_16_bits_count)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READWRITE);
    for (ULONG i = 0; i < KT_MANY_LOCKS; i++) {
        MmInitializeMdl(&storage.Mdl, pages, 1);
        MmProbeAndLockPages(&storage.Mdl, UserMode, IoWriteAccess);
    }
    MDL        locked = storage.Mdl;
    PFN_NUMBER frame = storage.Frames[0];
    KT_EXPECT_EQ(KtReferences(frame), KT_MANY_LOCKS + 1);
    for (ULONG i = 0; i < KT_MANY_LOCKS; i++) {
        storage.Mdl = locked;
        storage.Frames[0] = frame;
        MmUnlockPages(&storage.Mdl);
    }
    KT_EXPECT_EQ(KtReferences(frame), 1);
    KT_EXPECT_EQ(space.Process->LockedPages, 0);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, frame_outlives_its_address_until_the_unlock)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 1, PAGE_READWRITE);
    KtTouch(pages, 0x77);
    MmInitializeMdl(&storage.Mdl, pages, PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
    PFN_NUMBER frame = storage.Frames[0];
    KtFreeUserPages(&space, pages);
    KT_EXPECT_EQ(KtFrameOf(pages), MI_PFN_NONE);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnTransition);
    KT_EXPECT_EQ(KtReferences(frame), 1);
    KT_EXPECT_EQ(KtReadFrameByte(frame, 0), 0x77);
    MmUnlockPages(&storage.Mdl);
    KT_EXPECT_EQ(MiPfn(frame)->State, MiPfnFree);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, unlock_works_from_another_address_space)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 2, PAGE_READWRITE);
    MmInitializeMdl(&storage.Mdl, pages, 2 * PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    KeUnstackDetachProcess(&space.ApcState);
    MmUnlockPages(&storage.Mdl);
    KT_EXPECT_EQ(space.Process->LockedPages, 0);
    KeStackAttachProcess(&space.Process->Pcb, &space.ApcState);
    KT_EXPECT_EQ(KtReferences(KtFrameOf(pages)), 1);
    KtLeaveSpace(&space);
}

KTEST(mm_mdllock, unlock_takes_the_system_mapping_away)
{
    KT_SPACE space;
    KT_MDL   storage;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *pages = KtCommitPages(&space, 2, PAGE_READWRITE);
    SIZE_T free = MiFreeSystemPteCount();
    MmInitializeMdl(&storage.Mdl, pages, 2 * PAGE_SIZE);
    KT_EXPECT_STATUS(KtLockPages(&storage.Mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    UCHAR *mapped = MmGetSystemAddressForMdlSafe(&storage.Mdl, NormalPagePriority);
    KT_ASSERT_NOT_NULL(mapped);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free - 2);
    MmUnlockPages(&storage.Mdl);
    KT_EXPECT_FALSE(MiPteIsValid(MiReadPte(MiPteOf(mapped))));
    KT_EXPECT_FALSE(MiPteIsValid(MiReadPte(MiPteOf(mapped + PAGE_SIZE))));
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KT_EXPECT_EQ(MiMdlFlags(&storage.Mdl) & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), 0);
    KtLeaveSpace(&space);
}

/* CPUs that lock and unlock while CPU 0 takes the pages away and brings new ones. */
typedef struct _KT_RACE {
    KT_SPACE     *Space;
    UCHAR        *Pages;
    volatile LONG IsOver;
    volatile LONG LockCount;
} KT_RACE;

static void KtRaceLocks(KT_RACE *Race)
{
    KT_MDL storage;
    while (!Race->IsOver) {
        MmInitializeMdl(&storage.Mdl, Race->Pages, KT_PAGES * PAGE_SIZE);
        if (NT_SUCCESS(KtLockPages(&storage.Mdl, UserMode, IoWriteAccess))) {
            InterlockedIncrement(&Race->LockCount);
            MmUnlockPages(&storage.Mdl);
        }
    }
}

static void KtRaceRemovals(KT_RACE *Race)
{
    bool mustSeeLocks = KeQueryActiveProcessorCount(NULL) > 1;
    for (ULONG round = 0; round < KT_ROUNDS || (mustSeeLocks && Race->LockCount == 0); round++) {
        PVOID  base = Race->Pages;
        SIZE_T bytes = KT_PAGES * PAGE_SIZE;
        KT_EXPECT_STATUS(MiFreeVirtual(Race->Space->Process, &base, &bytes, MEM_DECOMMIT), STATUS_SUCCESS);
        KT_EXPECT_STATUS(MiAllocateVirtual(Race->Space->Process, &base, &bytes, MEM_COMMIT, PAGE_READWRITE),
                         STATUS_SUCCESS);
    }
    InterlockedExchange(&Race->IsOver, 1);
}

static void KtRace(ULONG Index, void *Context)
{
    KT_RACE   *race = Context;
    KAPC_STATE outside;
    KeStackAttachProcess(&race->Space->Process->Pcb, &outside);
    if (Index == 0) {
        KtRaceRemovals(race);
    } else {
        KtRaceLocks(race);
    }
    KeUnstackDetachProcess(&outside);
}

KTEST(mm_mdllock, locks_race_with_removal_and_no_frame_is_lost)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_RACE race = { .Space = &space, .Pages = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE) };
    KtRunOnEachProcessor(KtRace, &race);
    KT_EXPECT_EQ(race.LockCount != 0, KeQueryActiveProcessorCount(NULL) > 1);
    KT_EXPECT_EQ(space.Process->LockedPages, 0);
    MiCheckPfnDatabase();
    KtLeaveSpace(&space);
}
