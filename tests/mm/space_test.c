/*
 * Address spaces: private pages on demand, protections, ranges, and their end.
 */
#include "mm/space.h"

#include "io/process.h"
#include "mm/probe.h"
#include "mm/virtual.h"
#include "tests/lib/ktest.h"
#include "tests/mm/spacelib.h"

#define KT_PAGES 8u

/* The status of reading or writing one user byte. */
static NTSTATUS KtPeek(const UCHAR *Va, UCHAR *Value)
{
    return MiCopyFromUser(Value, Va, 1);
}

static NTSTATUS KtPoke(UCHAR *Va, UCHAR Value)
{
    return MiCopyToUser(Va, &Value, 1);
}

static NTSTATUS KtProtect(const KT_SPACE *Space, UCHAR *Va, SIZE_T Bytes, ULONG Protect, ULONG *OldProtect)
{
    PVOID base = Va;
    return MiProtectVirtual(Space->Process, &base, &Bytes, Protect, OldProtect);
}

static NTSTATUS KtAllocate(const KT_SPACE *Space, UCHAR *Va, SIZE_T Bytes, ULONG Type, ULONG Protect)
{
    PVOID base = Va;
    return MiAllocateVirtual(Space->Process, &base, &Bytes, Type, Protect);
}

static NTSTATUS KtFree(const KT_SPACE *Space, UCHAR *Va, SIZE_T Bytes, ULONG Type)
{
    PVOID base = Va;
    return MiFreeVirtual(Space->Process, &base, &Bytes, Type);
}

KTEST(mm_space, pages_come_on_demand_zeroed_and_go_with_the_process)
{
    KT_SPACE space;
    UCHAR    value = 0xFF;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    KT_EXPECT_EQ(space.Process->PrivatePages, 0);
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0);
    KT_EXPECT_STATUS(KtPoke(base + 3 * PAGE_SIZE + 5, 0x5A), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPeek(base + 3 * PAGE_SIZE + 5, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0x5A);
    KT_EXPECT_EQ(space.Process->PrivatePages, 2);
    KtLeaveSpace(&space);
}

KTEST(mm_space, processes_do_not_see_each_other)
{
    KT_SPACE first;
    KT_SPACE second;
    UCHAR    value = 0xFF;
    KT_ASSERT_TRUE(KtEnterSpace(&first));
    UCHAR *base = KtCommitPages(&first, 1, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtPoke(base, 0x11), STATUS_SUCCESS);
    if (KtEnterSpace(&second)) {
        KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_ACCESS_VIOLATION);
        KT_EXPECT_EQ((ULONG64)KtCommitPages(&second, 1, PAGE_READWRITE), (ULONG64)base);
        KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_SUCCESS);
        KT_EXPECT_EQ(value, 0);
        KtLeaveSpace(&second);
    }
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0x11);
    KtLeaveSpace(&first);
}

KTEST(mm_space, protection_decides_reading_and_writing)
{
    KT_SPACE space;
    UCHAR    value;
    ULONG    old;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtPoke(base, 0x77), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtProtect(&space, base, 2 * PAGE_SIZE, PAGE_READONLY, &old), STATUS_SUCCESS);
    KT_EXPECT_EQ(old, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtPoke(base, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtPoke(base + PAGE_SIZE, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtPoke(base + 2 * PAGE_SIZE, 1), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtProtect(&space, base, PAGE_SIZE, PAGE_NOACCESS, &old), STATUS_SUCCESS);
    KT_EXPECT_EQ(old, PAGE_READONLY);
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtProtect(&space, base, PAGE_SIZE, PAGE_READWRITE, &old), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0x77);
    KT_EXPECT_STATUS(KtProtect(&space, base, PAGE_SIZE, PAGE_WRITECOPY, &old), STATUS_INVALID_PAGE_PROTECTION);
    KtLeaveSpace(&space);
}

KTEST(mm_space, guard_page_trips_once)
{
    KT_SPACE space;
    UCHAR    value;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, 3, PAGE_READWRITE | PAGE_GUARD);
    KT_EXPECT_STATUS(KtPoke(base + PAGE_SIZE, 1), STATUS_GUARD_PAGE_VIOLATION);
    KT_EXPECT_STATUS(KtPoke(base + PAGE_SIZE, 1), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_GUARD_PAGE_VIOLATION);
    KT_EXPECT_STATUS(KtPeek(base + 2 * PAGE_SIZE, &value), STATUS_GUARD_PAGE_VIOLATION);
    KtLeaveSpace(&space);
}

KTEST(mm_space, reserved_and_decommitted_pages_are_not_there)
{
    KT_SPACE space;
    PVOID    base = NULL;
    SIZE_T   bytes = KT_PAGES * PAGE_SIZE;
    UCHAR    value;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_EXPECT_STATUS(MiAllocateVirtual(space.Process, &base, &bytes, MEM_RESERVE, PAGE_READWRITE), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPeek(base, &value), STATUS_ACCESS_VIOLATION);
    PVOID page = (UCHAR *)base + PAGE_SIZE + 1;
    bytes = 1;
    KT_EXPECT_STATUS(MiAllocateVirtual(space.Process, &page, &bytes, MEM_COMMIT, PAGE_READWRITE), STATUS_SUCCESS);
    KT_EXPECT_EQ(bytes, PAGE_SIZE);
    KT_EXPECT_STATUS(KtPoke(page, 9), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPeek((UCHAR *)page + PAGE_SIZE, &value), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtFree(&space, page, PAGE_SIZE, MEM_DECOMMIT), STATUS_SUCCESS);
    KT_EXPECT_EQ(space.Process->PrivatePages, 0);
    KT_EXPECT_STATUS(KtPeek(page, &value), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtFree(&space, page, 0, MEM_RELEASE), STATUS_FREE_VM_NOT_AT_BASE);
    KT_EXPECT_STATUS(KtFree(&space, base, 0, MEM_RELEASE), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtFree(&space, base, 0, MEM_RELEASE), STATUS_MEMORY_NOT_ALLOCATED);
    KtLeaveSpace(&space);
}

KTEST(mm_space, middle_of_a_reservation_can_be_released)
{
    KT_SPACE space;
    UCHAR    value;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    for (ULONG page = 0; page < KT_PAGES; page++) {
        KT_EXPECT_STATUS(KtPoke(base + page * PAGE_SIZE, (UCHAR)page), STATUS_SUCCESS);
    }
    KT_EXPECT_STATUS(KtFree(&space, base + 2 * PAGE_SIZE, 3 * PAGE_SIZE, MEM_RELEASE), STATUS_SUCCESS);
    KT_EXPECT_EQ(space.Process->PrivatePages, KT_PAGES - 3);
    KT_EXPECT_STATUS(KtPeek(base + 2 * PAGE_SIZE, &value), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtPeek(base + 5 * PAGE_SIZE, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 5);
    KT_EXPECT_STATUS(KtFree(&space, base + 5 * PAGE_SIZE, 0, MEM_RELEASE), STATUS_SUCCESS);
    KtLeaveSpace(&space);
}

KTEST(mm_space, bad_requests_are_refused)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *taken = KtCommitPages(&space, 1, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtAllocate(&space, taken, PAGE_SIZE, MEM_RESERVE, PAGE_READWRITE), STATUS_CONFLICTING_ADDRESSES);
    KT_EXPECT_STATUS(KtAllocate(&space, taken, PAGE_SIZE, 0, PAGE_READWRITE), STATUS_INVALID_PARAMETER_5);
    KT_EXPECT_STATUS(KtAllocate(&space, taken, PAGE_SIZE, MEM_RESERVE, 0), STATUS_INVALID_PAGE_PROTECTION);
    KT_EXPECT_STATUS(KtAllocate(&space, (UCHAR *)MI_SYSTEM_START, PAGE_SIZE, MEM_RESERVE, PAGE_READWRITE),
                     STATUS_INVALID_PARAMETER_2);
    KT_EXPECT_STATUS(KtAllocate(&space, NULL, 0, MEM_RESERVE, PAGE_READWRITE), STATUS_INVALID_PARAMETER_4);
    KT_EXPECT_STATUS(KtFree(&space, (UCHAR *)MI_USER_SHARED, PAGE_SIZE, MEM_RELEASE), STATUS_UNABLE_TO_FREE_VM);
    KtLeaveSpace(&space);
}

KTEST(mm_space, top_down_takes_the_highest_place)
{
    KT_SPACE space;
    PVOID    base = NULL;
    SIZE_T   bytes = 0x10000;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_EXPECT_STATUS(MiAllocateVirtual(space.Process, &base, &bytes, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE),
                     STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)base, MI_USER_END - 0x10000);
    KtLeaveSpace(&space);
}

KTEST(mm_space, shared_data_is_readable_and_not_writable)
{
    KT_SPACE space;
    ULONG64  kernelValue = *(const volatile ULONG64 *)MI_BASE_OF(SHARED_DATA);
    ULONG64  userValue = ~kernelValue;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_EXPECT_STATUS(MiCopyFromUser(&userValue, (const void *)MI_USER_SHARED, sizeof(userValue)), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtPoke((UCHAR *)MI_USER_SHARED, 0), STATUS_ACCESS_VIOLATION);
    MMPTE user = MiReadPte(MiPteOf((const void *)MI_USER_SHARED));
    KT_EXPECT_EQ(MiPteFrame(user), MiPteFrame(MiReadPte(MiPteOf((const void *)MI_BASE_OF(SHARED_DATA)))));
    KtLeaveSpace(&space);
}

KTEST(mm_space, memory_of_another_process_is_freed_from_outside)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE);
    KT_EXPECT_STATUS(KtPoke(base, 1), STATUS_SUCCESS);
    KeUnstackDetachProcess(&space.ApcState);
    KT_EXPECT_STATUS(KtFree(&space, base, 0, MEM_RELEASE), STATUS_SUCCESS);
    KT_EXPECT_EQ(space.Process->PrivatePages, 0);
    ObDereferenceObject(space.Process);
}

/* Each processor touches every page of one space: whoever is first gives the page, all see it. */
static void KtTouchShared(ULONG Index, void *Context)
{
    KT_SPACE  *space = Context;
    KAPC_STATE apcState;
    UCHAR     *base = (UCHAR *)MI_LOWEST_USER;
    KeStackAttachProcess(&space->Process->Pcb, &apcState);
    for (ULONG page = 0; page < KT_PAGES; page++) {
        KT_EXPECT_STATUS(KtPoke(base + page * PAGE_SIZE + Index, (UCHAR)(Index + 1)), STATUS_SUCCESS);
    }
    KeUnstackDetachProcess(&apcState);
}

KTEST(mm_space, processors_fault_on_one_page_together)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    KT_ASSERT_EQ((ULONG64)KtCommitPages(&space, KT_PAGES, PAGE_READWRITE), MI_LOWEST_USER);
    KtRunOnEachProcessor(KtTouchShared, &space);
    KT_EXPECT_EQ(space.Process->PrivatePages, KT_PAGES);
    for (ULONG page = 0; page < KT_PAGES; page++) {
        for (ULONG index = 0; index < (ULONG)KeNumberProcessors; index++) {
            UCHAR value = 0;
            KT_EXPECT_STATUS(KtPeek((UCHAR *)MI_LOWEST_USER + page * PAGE_SIZE + index, &value), STATUS_SUCCESS);
            KT_EXPECT_EQ(value, index + 1);
        }
    }
    KtLeaveSpace(&space);
}

KTEST(mm_space, process_is_found_by_its_id)
{
    EPROCESS *process;
    PEPROCESS found;
    KT_ASSERT_STATUS(PspCreateProcess(&process), STATUS_SUCCESS);
    HANDLE id = PsGetProcessId(process);
    KT_EXPECT_STATUS(PsLookupProcessByProcessId(id, &found), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)found, (ULONG64)process);
    ObDereferenceObject(found);
    ObDereferenceObject(process);
    KT_EXPECT_STATUS(PsLookupProcessByProcessId(id, &found), STATUS_INVALID_PARAMETER);
}
