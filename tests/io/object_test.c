/*
 * Objects: counts, deferred deletion, handles.
 */
#include "io/object.h"

#include "tests/lib/ktest.h"

#define OT_HANDLES 600u /* more than two chunks of the handle table, fewer than it has at boot */

static volatile LONG  OtDeletedCount;
static volatile KIRQL OtDeleteIrql;
static PKTHREAD       OtDeleteThread;
static KEVENT         OtDeleted;

static void OtDelete(PVOID Object)
{
    UNREFERENCED_PARAMETER(Object);
    OtDeleteIrql = KeGetCurrentIrql();
    OtDeleteThread = KeGetCurrentThread();
    OtDeletedCount++;
    KeSetEvent(&OtDeleted, IO_NO_INCREMENT, FALSE);
}

static OBP_TYPE(OtType, "Test", OtDelete);

static ULONG64 *OtCreate(void)
{
    ULONG64 *object = NULL;
    KeInitializeEvent(&OtDeleted, SynchronizationEvent, FALSE);
    OtDeletedCount = 0;
    KT_EXPECT_STATUS(ObpCreateObject(&OtType, sizeof(*object), (PVOID *)&object), STATUS_SUCCESS);
    return object;
}

KTEST(io_object, body_is_zero_and_aligned)
{
    ULONG64 *object = OtCreate();
    KT_ASSERT_NOT_NULL(object);
    KT_EXPECT_EQ(*object, 0);
    KT_EXPECT_EQ((ULONG_PTR)object % MEMORY_ALLOCATION_ALIGNMENT, 0);
    KT_EXPECT_EQ(OtType.ObjectCount, 1);
    ObDereferenceObject(object);
    KT_EXPECT_EQ(OtType.ObjectCount, 0);
}

KTEST(io_object, last_reference_deletes)
{
    PVOID object = OtCreate();
    KT_ASSERT_NOT_NULL(object);
    KT_EXPECT_EQ(ObReferenceObject(object), 2);
    KT_EXPECT_EQ(ObDereferenceObject(object), 1);
    KT_EXPECT_EQ(OtDeletedCount, 0);
    KT_EXPECT_EQ(ObDereferenceObject(object), 0);
    KT_EXPECT_EQ(OtDeletedCount, 1);
}

KTEST(io_object, deletion_waits_for_passive_level)
{
    LARGE_INTEGER limit = { .QuadPart = -300000000 }; /* 30 s: a hang */
    PVOID         object = OtCreate();
    KT_ASSERT_NOT_NULL(object);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    ObDereferenceObject(object);
    KeLowerIrql(irql);
    KT_ASSERT_STATUS(KeWaitForSingleObject(&OtDeleted, Executive, KernelMode, FALSE, &limit), STATUS_SUCCESS);
    KT_EXPECT_EQ(OtDeleteIrql, PASSIVE_LEVEL);
    KT_EXPECT_NE((ULONG_PTR)OtDeleteThread, (ULONG_PTR)KeGetCurrentThread());
}

KTEST(io_object, handle_holds_a_reference)
{
    PVOID                     object = OtCreate();
    HANDLE                    handle;
    PVOID                     found;
    OBJECT_HANDLE_INFORMATION information;
    KT_ASSERT_NOT_NULL(object);
    KT_ASSERT_STATUS(ObpCreateHandle(object, GENERIC_READ, &handle), STATUS_SUCCESS);
    ObDereferenceObject(object);
    KT_EXPECT_EQ(OtDeletedCount, 0);
    KT_EXPECT_EQ((ULONG_PTR)handle % 4, 0);
    KT_ASSERT_STATUS(ObReferenceObjectByHandle(handle, 0, &OtType, KernelMode, &found, &information), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)object);
    KT_EXPECT_EQ(information.GrantedAccess, GENERIC_READ);
    ObDereferenceObject(found);
    KT_EXPECT_STATUS(ZwClose(handle), STATUS_SUCCESS);
    KT_EXPECT_EQ(OtDeletedCount, 1);
}

KTEST(io_object, wrong_handles_are_refused)
{
    PVOID  object = OtCreate();
    PVOID  found;
    HANDLE handle;
    KT_ASSERT_NOT_NULL(object);
    KT_ASSERT_STATUS(ObpCreateHandle(object, 0, &handle), STATUS_SUCCESS);
    KT_EXPECT_STATUS(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &found, NULL),
                     STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_NULL(found);
    KT_EXPECT_STATUS(ZwClose(handle), STATUS_SUCCESS);
    KT_EXPECT_STATUS(ZwClose(handle), STATUS_INVALID_HANDLE);
    KT_EXPECT_STATUS(ZwClose(NULL), STATUS_INVALID_HANDLE);
    KT_EXPECT_STATUS(ZwClose((HANDLE)(ULONG_PTR)0x1234), STATUS_INVALID_HANDLE);
    KT_EXPECT_STATUS(ObReferenceObjectByHandle(handle, 0, NULL, KernelMode, &found, NULL), STATUS_INVALID_HANDLE);
    ObDereferenceObject(object);
}

KTEST(io_object, pseudo_handles_are_the_caller)
{
    PVOID thread;
    PVOID process;
    KT_ASSERT_STATUS(ObReferenceObjectByHandle(NtCurrentThread(), 0, *PsThreadType, KernelMode, &thread, NULL),
                     STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)thread, (ULONG_PTR)KeGetCurrentThread());
    ObDereferenceObject(thread);
    KT_ASSERT_STATUS(ObReferenceObjectByHandle(NtCurrentProcess(), 0, *PsProcessType, KernelMode, &process, NULL),
                     STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)process, (ULONG_PTR)IoGetCurrentProcess());
    ObDereferenceObject(process);
    KT_EXPECT_STATUS(ZwClose(NtCurrentThread()), STATUS_SUCCESS);
}

KTEST(io_object, many_handles_are_all_different)
{
    static HANDLE handles[OT_HANDLES];
    PVOID         object = OtCreate();
    ULONG         count = 0;
    KT_ASSERT_NOT_NULL(object);
    while (count < OT_HANDLES && NT_SUCCESS(ObpCreateHandle(object, 0, &handles[count]))) {
        count++;
    }
    KT_EXPECT_EQ(count, OT_HANDLES);
    KT_EXPECT_EQ(ObReferenceObject(object), (LONG_PTR)count + 2);
    ObDereferenceObject(object);
    for (ULONG index = 0; index < count; index++) {
        KT_EXPECT_NE((ULONG_PTR)handles[index], index == 0 ? 0 : (ULONG_PTR)handles[index - 1]);
        KT_EXPECT_STATUS(ZwClose(handles[index]), STATUS_SUCCESS);
    }
    KT_EXPECT_EQ(OtDeletedCount, 0);
    ObDereferenceObject(object);
    KT_EXPECT_EQ(OtDeletedCount, 1);
}

static ULONG_PTR NTAPI OtReferenceCurrentThread(ULONG_PTR Context)
{
    PKTHREAD thread = KeGetCurrentThread();
    ObfReferenceObject(thread);
    ULONG_PTR isThread = ObpHeaderOf(thread)->Type == &ObpThreadType;
    ObfDereferenceObject(thread);
    if (isThread == 0) {
        _InterlockedIncrement((volatile LONG *)Context);
    }
    return 0;
}

/* Idle threads too: a DPC or an interrupt finds them current on an idle CPU. */
KTEST(io_object, current_thread_is_an_object_on_every_processor)
{
    volatile LONG wrong = 0;
    KeIpiGenericCall(OtReferenceCurrentThread, (ULONG_PTR)&wrong);
    KT_EXPECT_EQ(wrong, 0);
}
