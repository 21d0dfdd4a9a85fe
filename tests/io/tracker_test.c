/*
 * Ownership records: what the tracked entries write down and forget. The caller is the kernel here, so no record has an
 * owner.
 */
#include "io/tracker/entries.h"

#include "tests/lib/ktest.h"

#define TT_TAG 'kcrT'

/* Take the records without an owner and count those of Kind; the last of them comes back in Record. */
static ULONG TtTake(VF_KIND Kind, VF_RECORD *Record)
{
    LIST_ENTRY list;
    ULONG      count = 0;
    VfTakeRecords(NULL, &list);
    while (!IsListEmpty(&list)) {
        VF_RECORD *record = CONTAINING_RECORD(RemoveHeadList(&list), VF_RECORD, OrderLinks);
        if (record->Kind == Kind) {
            *Record = *record;
            count++;
        }
        VfFreeRecord(record);
    }
    return count;
}

static ULONG TtCount(VF_KIND Kind)
{
    VF_RECORD record;
    return TtTake(Kind, &record);
}

KTEST(io_tracker, a_block_is_recorded_until_it_is_freed)
{
    VF_RECORD record;
    TtCount(VfPoolBlock);
    PVOID kept = VfTrackExAllocatePoolWithTag(NonPagedPoolNx, 100, TT_TAG);
    PVOID freed = VfTrackExAllocatePoolWithTag(NonPagedPoolNx, 50, TT_TAG);
    VfTrackExFreePoolWithTag(freed, TT_TAG);
    KT_ASSERT_EQ(TtTake(VfPoolBlock, &record), 1);
    KT_EXPECT_EQ((ULONG_PTR)record.Address, (ULONG_PTR)kept);
    KT_EXPECT_EQ(record.ByteCount, 100);
    KT_EXPECT_EQ(record.Detail, TT_TAG);
    KT_EXPECT_NULL(record.Owner);
    KT_EXPECT_GT(record.FrameCount, 0);
    VfTrackExFreePool(kept);
}

KTEST(io_tracker, the_first_frame_is_the_caller)
{
    VF_RECORD record;
    TtCount(VfPoolBlock);
    PVOID        block = VfTrackExAllocatePool(NonPagedPoolNx, 8);
    const UCHAR *here = (const UCHAR *)(ULONG_PTR)KtTest_io_tracker_the_first_frame_is_the_caller;
    KT_ASSERT_EQ(TtTake(VfPoolBlock, &record), 1);
    KT_ASSERT_GT(record.FrameCount, 0);
    KT_EXPECT_LT((ULONG_PTR)record.Frames[0] - (ULONG_PTR)here, PAGE_SIZE);
    VfTrackExFreePool(block);
}

KTEST(io_tracker, unlocking_forgets_the_mapping_too)
{
    PVOID buffer = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TT_TAG);
    KT_ASSERT_NOT_NULL(buffer);
    TtCount(VfMdl);
    MDL *mdl = VfTrackIoAllocateMdl(buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    VfTrackMmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
    KT_EXPECT_NOT_NULL(VfTrackMmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority));
    VfTrackMmUnlockPages(mdl);
    VF_RECORD record;
    KT_EXPECT_EQ(TtTake(VfMdl, &record), 1); /* and nothing else: */
    KT_EXPECT_FALSE(VfForget(VfMapping, PAGE_ALIGN(mdl->MappedSystemVa)));
    VfTrackIoFreeMdl(mdl);
    ExFreePoolWithTag(buffer, TT_TAG);
}

KTEST(io_tracker, pages_of_an_mdl_are_recorded)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    TtCount(VfMdlPages);
    MDL *mdl = VfTrackMmAllocatePagesForMdlEx(low, high, low, 2 * PAGE_SIZE, MmCached, 0);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_NOT_NULL(VfTrackMmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority));
    VfTrackMmFreePagesFromMdl(mdl);
    KT_EXPECT_FALSE(VfForget(VfMdlPages, mdl));
    KT_EXPECT_EQ(TtCount(VfMapping), 0);
    VfTrackExFreePool(mdl);
}

static VOID NTAPI TtReturn(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
}

static VOID NTAPI TtTerminate(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    VfTrackPsTerminateSystemThread(STATUS_SUCCESS);
}

KTEST(io_tracker, a_thread_is_forgotten_when_it_ends)
{
    static const PKSTART_ROUTINE routines[] = { TtReturn, TtTerminate };
    for (ULONG index = 0; index < RTL_NUMBER_OF(routines); index++) {
        HANDLE handle;
        TtCount(VfThread);
        KT_ASSERT_STATUS(
            VfTrackPsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, routines[index], NULL),
            STATUS_SUCCESS);
        PVOID thread;
        KT_ASSERT_STATUS(ObReferenceObjectByHandle(handle, SYNCHRONIZE, *PsThreadType, KernelMode, &thread, NULL),
                         STATUS_SUCCESS);
        KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
        KT_EXPECT_EQ(TtCount(VfThread), 0);
        ObDereferenceObject(thread);
        ZwClose(handle);
    }
}

KTEST(io_tracker, a_string_buffer_is_a_block)
{
    UNICODE_STRING string;
    VF_RECORD      record;
    TtCount(VfPoolBlock);
    KT_ASSERT_TRUE(VfTrackRtlCreateUnicodeString(&string, L"string"));
    KT_ASSERT_EQ(TtTake(VfPoolBlock, &record), 1);
    KT_EXPECT_EQ((ULONG_PTR)record.Address, (ULONG_PTR)string.Buffer);
    VfTrackRtlFreeUnicodeString(&string);
}

KTEST(io_tracker, records_are_kept_apart_by_kind)
{
    VfRecord(&(VF_RESOURCE){ .Kind = VfMdl, .Address = &VfRecord }, NULL);
    VfRecord(&(VF_RESOURCE){ .Kind = VfLockedMdl, .Address = &VfRecord }, NULL);
    VfRecord(&(VF_RESOURCE){ .Kind = VfMdl, .Address = &VfRecord, .ByteCount = 1 }, NULL); /* replaces the first */
    KT_EXPECT_TRUE(VfForget(VfLockedMdl, &VfRecord));
    KT_EXPECT_TRUE(VfForget(VfMdl, &VfRecord));
    KT_EXPECT_FALSE(VfForget(VfMdl, &VfRecord));
}
