/*
 * Packets made to order: how their data reach the driver and come back, and who is told.
 */
#include "io/irpbuffer.h"

#include "io/psthread.h"
#include "mm/pool.h"
#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_TAG   0x646C4249u /* "IBld" */
#define KT_BYTES 64u
#define KT_FILL  0x5Au

#define KT_CODE(Method) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, Method, FILE_ANY_ACCESS)

/* What the driver below saw of the last request, and how it is to answer. */
typedef struct _KT_REQUEST {
    UCHAR      MajorFunction;
    ULONG      Flags;
    void      *SystemBuffer;
    void      *UserBuffer;
    void      *Type3InputBuffer;
    ULONG      MdlFlags; /* 0: no MDL */
    ULONG      MdlBytes;
    LONG       References; /* of the MDL's first page */
    PFN_NUMBER Frame;
    UCHAR      FirstByte; /* of the copied input */
    LONGLONG   Offset;
    NTSTATUS   Status;
    ULONG_PTR  Information;
} KT_REQUEST;

static KT_REQUEST KtRequest;

static NTSTATUS NTAPI KtRecord(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    const IO_STACK_LOCATION *location = IoGetCurrentIrpStackLocation(Irp);
    KtRequest.MajorFunction = location->MajorFunction;
    KtRequest.Flags = Irp->Flags;
    KtRequest.SystemBuffer = Irp->AssociatedIrp.SystemBuffer;
    KtRequest.UserBuffer = Irp->UserBuffer;
    if (location->MajorFunction == IRP_MJ_DEVICE_CONTROL || location->MajorFunction == IRP_MJ_INTERNAL_DEVICE_CONTROL) {
        KtRequest.Type3InputBuffer = location->Parameters.DeviceIoControl.Type3InputBuffer;
    } else {
        KtRequest.Offset = location->Parameters.Read.ByteOffset.QuadPart;
    }
    if (Irp->MdlAddress != NULL) {
        KtRequest.MdlFlags = MiMdlFlags(Irp->MdlAddress);
        KtRequest.MdlBytes = MmGetMdlByteCount(Irp->MdlAddress);
        KtRequest.Frame = MiMdlFrames(Irp->MdlAddress)[0];
        KtRequest.References = KtReferences(KtRequest.Frame);
    }
    if (KtRequest.SystemBuffer != NULL) {
        KtRequest.FirstByte = *(const UCHAR *)KtRequest.SystemBuffer;
        RtlFillMemory(KtRequest.SystemBuffer, KT_BYTES, KT_FILL);
    }
    return KtComplete(Irp, KtRequest.Status, KtRequest.Information);
}

typedef struct _KT_TARGET {
    DRIVER_OBJECT  *Driver;
    DEVICE_OBJECT  *Device;
    KEVENT          Event;
    IO_STATUS_BLOCK Block;
    UCHAR          *Buffer; /* a page of pool */
} KT_TARGET;

static bool KtMakeTarget(KT_TARGET *Target, ULONG DeviceFlags)
{
    Target->Driver = KtCreateDriver(KtRecord);
    Target->Device = KtCreateDevice(Target->Driver, NULL, DeviceFlags);
    Target->Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    Target->Block = (IO_STATUS_BLOCK){ .Status = STATUS_PENDING };
    KeInitializeEvent(&Target->Event, NotificationEvent, FALSE);
    KtRequest = (KT_REQUEST){ .Status = STATUS_SUCCESS, .Information = KT_BYTES };
    if (Target->Buffer != NULL) {
        RtlFillMemory(Target->Buffer, PAGE_SIZE, 0x11);
    }
    return Target->Device != NULL && Target->Buffer != NULL;
}

static void KtDropTarget(const KT_TARGET *Target)
{
    ExFreePoolWithTag(Target->Buffer, KT_TAG);
    KtDeleteDriver(Target->Driver);
}

/* Send a synchronous request of KT_BYTES; what the call returned. */
static NTSTATUS KtSend(KT_TARGET *Target, ULONG MajorFunction)
{
    LARGE_INTEGER offset = { .QuadPart = 0x123456789 };
    IRP          *irp = IoBuildSynchronousFsdRequest(MajorFunction, Target->Device, Target->Buffer, KT_BYTES, &offset,
                                                     &Target->Event, &Target->Block);
    KT_EXPECT_NOT_NULL(irp);
    return irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : IoCallDriver(Target->Device, irp);
}

KTEST(io_irpbuild, a_buffered_read_comes_back_as_far_as_information_says)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_BUFFERED_IO));
    KtRequest.Information = 10;
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_READ), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateEvent(&target.Event), 1);
    KT_EXPECT_STATUS(target.Block.Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(target.Block.Information, 10);
    KT_EXPECT_NE((ULONG_PTR)KtRequest.SystemBuffer, (ULONG_PTR)target.Buffer);
    KT_EXPECT_EQ(KtRequest.Offset, 0x123456789);
    KT_EXPECT_EQ(target.Buffer[9], KT_FILL);
    KT_EXPECT_EQ(target.Buffer[10], 0x11);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, a_buffered_write_is_copied_in_and_not_back)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_BUFFERED_IO));
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_WRITE), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtRequest.FirstByte, 0x11);
    KT_EXPECT_EQ(target.Buffer[0], 0x11);
    KT_EXPECT_EQ(target.Block.Information, KT_BYTES);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, a_request_that_fails_in_the_call_leaves_block_and_event_alone)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_BUFFERED_IO));
    KtRequest.Status = STATUS_DEVICE_NOT_READY;
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_READ), STATUS_DEVICE_NOT_READY);
    KT_EXPECT_EQ(KeReadStateEvent(&target.Event), 0);
    KT_EXPECT_STATUS(target.Block.Status, STATUS_PENDING);
    KT_EXPECT_EQ(target.Buffer[0], 0x11); /* an error gives no data */
    KtRequest.Status = STATUS_BUFFER_OVERFLOW;
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_READ), STATUS_BUFFER_OVERFLOW);
    KT_EXPECT_STATUS(target.Block.Status, STATUS_BUFFER_OVERFLOW);
    KT_EXPECT_EQ(target.Buffer[0], KT_FILL); /* a warning does */
    KtDropTarget(&target);
}

KTEST(io_irpbuild, too_much_information_does_not_overrun_the_caller)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_BUFFERED_IO));
    KtRequest.Information = 4 * KT_BYTES;
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_READ), STATUS_SUCCESS);
    KT_EXPECT_EQ(target.Block.Information, 4 * KT_BYTES);
    KT_EXPECT_EQ(target.Buffer[KT_BYTES - 1], KT_FILL);
    KT_EXPECT_EQ(target.Buffer[KT_BYTES], 0x11);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, direct_io_locks_the_pages_until_completion)
{
    KT_TARGET target;
    for (ULONG major = IRP_MJ_READ; major <= IRP_MJ_WRITE; major++) {
        KT_ASSERT_TRUE(KtMakeTarget(&target, DO_DIRECT_IO));
        PFN_NUMBER frame = KtFrameOf(target.Buffer);
        LONG       before = KtReferences(frame);
        KT_EXPECT_STATUS(KtSend(&target, major), STATUS_SUCCESS);
        KT_EXPECT_EQ(KtRequest.Frame, frame);
        KT_EXPECT_EQ(KtRequest.References, before + 1);
        KT_EXPECT_EQ(KtRequest.MdlBytes, KT_BYTES);
        KT_EXPECT_EQ(KtRequest.MdlFlags & MDL_PAGES_LOCKED, MDL_PAGES_LOCKED);
        KT_EXPECT_EQ((KtRequest.MdlFlags & MDL_WRITE_OPERATION) != 0, major == IRP_MJ_READ);
        KT_EXPECT_NULL(KtRequest.SystemBuffer);
        KT_EXPECT_EQ(KtReferences(frame), before);
        KtDropTarget(&target);
    }
}

KTEST(io_irpbuild, neither_passes_the_callers_address)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, 0));
    KT_EXPECT_STATUS(KtSend(&target, IRP_MJ_READ), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)KtRequest.UserBuffer, (ULONG_PTR)target.Buffer);
    KT_EXPECT_NULL(KtRequest.SystemBuffer);
    KT_EXPECT_EQ(KtRequest.MdlFlags, 0);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, memory_that_cannot_be_locked_makes_no_packet)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_DIRECT_IO));
    IRP *irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, target.Device, (PVOID)0x10000, KT_BYTES, NULL, &target.Event,
                                            &target.Block);
    KT_EXPECT_NULL(irp);
    KT_EXPECT_TRUE(IsListEmpty(&PsGetCurrentThread()->IrpListHead));
    KtDropTarget(&target);
}

/* Send a control request with input at Buffer and output behind it. */
static void KtControl(KT_TARGET *Target, ULONG Code, BOOLEAN Internal)
{
    IRP *irp = IoBuildDeviceIoControlRequest(Code, Target->Device, Target->Buffer, KT_BYTES, Target->Buffer + KT_BYTES,
                                             KT_BYTES, Internal, &Target->Event, &Target->Block);
    KT_ASSERT_NOT_NULL(irp);
    KT_EXPECT_STATUS(IoCallDriver(Target->Device, irp), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateEvent(&Target->Event), 1);
}

KTEST(io_irpbuild, buffered_control_shares_one_buffer)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, 0));
    KtControl(&target, KT_CODE(METHOD_BUFFERED), FALSE);
    KT_EXPECT_EQ(KtRequest.MajorFunction, IRP_MJ_DEVICE_CONTROL);
    KT_EXPECT_EQ(KtRequest.FirstByte, 0x11);
    KT_EXPECT_EQ(target.Buffer[0], 0x11);
    KT_EXPECT_EQ(target.Buffer[KT_BYTES], KT_FILL);
    KT_EXPECT_EQ(target.Buffer[2 * KT_BYTES - 1], KT_FILL);
    KT_EXPECT_EQ(target.Buffer[2 * KT_BYTES], 0x11);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, direct_controls_copy_the_input_and_lock_the_output)
{
    KT_TARGET target;
    for (ULONG method = METHOD_IN_DIRECT; method <= METHOD_OUT_DIRECT; method++) {
        KT_ASSERT_TRUE(KtMakeTarget(&target, 0));
        KtControl(&target, KT_CODE(method), TRUE);
        KT_EXPECT_EQ(KtRequest.MajorFunction, IRP_MJ_INTERNAL_DEVICE_CONTROL);
        KT_EXPECT_EQ(KtRequest.FirstByte, 0x11);
        KT_EXPECT_EQ(KtRequest.Frame, KtFrameOf(target.Buffer));
        KT_EXPECT_EQ((KtRequest.MdlFlags & MDL_WRITE_OPERATION) != 0, method == METHOD_OUT_DIRECT);
        KT_EXPECT_EQ(target.Buffer[KT_BYTES], 0x11); /* the driver's write went to the input's copy */
        KtDropTarget(&target);
    }
}

KTEST(io_irpbuild, neither_control_passes_both_addresses)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, 0));
    KtControl(&target, KT_CODE(METHOD_NEITHER), FALSE);
    KT_EXPECT_EQ((ULONG_PTR)KtRequest.Type3InputBuffer, (ULONG_PTR)target.Buffer);
    KT_EXPECT_EQ((ULONG_PTR)KtRequest.UserBuffer, (ULONG_PTR)(target.Buffer + KT_BYTES));
    KtDropTarget(&target);
}

KTEST(io_irpbuild, no_memory_at_any_point_leaves_nothing_behind)
{
    KT_TARGET target;
    IRP      *irp = NULL;
    KT_ASSERT_TRUE(KtMakeTarget(&target, 0));
    for (ULONG nth = 1; irp == NULL && nth < 10; nth++) {
        ExpFailAllocation(nth);
        irp = IoBuildDeviceIoControlRequest(KT_CODE(METHOD_OUT_DIRECT), target.Device, target.Buffer, KT_BYTES,
                                            target.Buffer, KT_BYTES, FALSE, &target.Event, &target.Block);
    }
    ExpFailAllocation(0);
    KT_ASSERT_NOT_NULL(irp);
    IoCallDriver(target.Device, irp);
    KtDropTarget(&target);
}

KTEST(io_irpbuild, an_asynchronous_packet_is_on_no_list)
{
    KT_TARGET target;
    KT_ASSERT_TRUE(KtMakeTarget(&target, DO_BUFFERED_IO));
    IRP *irp = IoBuildAsynchronousFsdRequest(IRP_MJ_READ, target.Device, target.Buffer, KT_BYTES, NULL, &target.Block);
    KT_ASSERT_NOT_NULL(irp);
    KT_EXPECT_TRUE(IsListEmpty(&irp->ThreadListEntry));
    KT_EXPECT_EQ((ULONG_PTR)irp->Tail.Overlay.Thread, (ULONG_PTR)PsGetCurrentThread());
    KT_EXPECT_STATUS(IoCallDriver(target.Device, irp), STATUS_SUCCESS);
    KT_EXPECT_EQ(target.Buffer[0], KT_FILL);
    KtDropTarget(&target);
}
