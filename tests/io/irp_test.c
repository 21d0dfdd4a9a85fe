/*
 * I/O request packets: their fields, their way down and up, and who keeps them.
 */
#include "io/irp.h"

#include "io/psthread.h"
#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"

#define KT_STACK 3

/* What the drivers and routines of a test saw; one test runs at a time. */
typedef struct _KT_SEEN {
    ULONG          DispatchCount;
    DEVICE_OBJECT *DispatchDevice[KT_STACK];
    CHAR           Location[KT_STACK];
    ULONG          RoutineCount;
    DEVICE_OBJECT *RoutineDevice;
    BOOLEAN        PendingReturned;
    NTSTATUS       FinalStatus; /* to complete with */
    BOOLEAN        Pend;        /* mark pending before */
} KT_SEEN;

static KT_SEEN        KtSeen;
static DEVICE_OBJECT *KtLower; /* where KtPassOn sends packets */

static NTSTATUS NTAPI KtFinish(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KtSeen.DispatchDevice[KtSeen.DispatchCount] = DeviceObject;
    KtSeen.Location[KtSeen.DispatchCount++] = Irp->CurrentLocation;
    if (KtSeen.Pend) {
        IoMarkIrpPending(Irp);
        KtComplete(Irp, KtSeen.FinalStatus, 0);
        return STATUS_PENDING;
    }
    return KtComplete(Irp, KtSeen.FinalStatus, 0);
}

static NTSTATUS NTAPI KtPassOn(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KtSeen.DispatchDevice[KtSeen.DispatchCount] = DeviceObject;
    KtSeen.Location[KtSeen.DispatchCount++] = Irp->CurrentLocation;
    IoCopyCurrentIrpStackLocationToNext(Irp);
    return IoCallDriver(KtLower, Irp);
}

static NTSTATUS NTAPI KtCount(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KtSeen.RoutineCount++;
    KtSeen.RoutineDevice = DeviceObject;
    KtSeen.PendingReturned = Irp->PendingReturned;
    return STATUS_CONTINUE_COMPLETION;
}

/* The originator's routine: it keeps the packet. */
static NTSTATUS NTAPI KtKeep(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    KtCount(DeviceObject, Irp, Context);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Upper passes on to Lower; both of a test's own. */
typedef struct _KT_PAIR {
    DRIVER_OBJECT *UpperDriver;
    DRIVER_OBJECT *LowerDriver;
    DEVICE_OBJECT *Upper;
    DEVICE_OBJECT *Lower;
} KT_PAIR;

static KT_PAIR KtMakePair(PDRIVER_DISPATCH UpperDispatch)
{
    KT_PAIR pair = { .UpperDriver = KtCreateDriver(UpperDispatch), .LowerDriver = KtCreateDriver(KtFinish) };
    pair.Upper = KtCreateDevice(pair.UpperDriver, NULL, 0);
    pair.Lower = KtCreateDevice(pair.LowerDriver, NULL, 0);
    IoAttachDeviceToDeviceStack(pair.Upper, pair.Lower);
    KtLower = pair.Lower;
    KtSeen = (KT_SEEN){ .FinalStatus = STATUS_SUCCESS };
    return pair;
}

static void KtDropPair(const KT_PAIR *Pair)
{
    IoDetachDevice(Pair->Lower);
    KtDeleteDriver(Pair->UpperDriver);
    KtDeleteDriver(Pair->LowerDriver);
}

KTEST(io_irp, a_new_packet_is_as_documented)
{
    IRP *irp = IoAllocateIrp(KT_STACK, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    KT_EXPECT_EQ(irp->Type, IO_TYPE_IRP);
    KT_EXPECT_EQ(irp->Size, 208 + KT_STACK * 72);
    KT_EXPECT_EQ(irp->StackCount, KT_STACK);
    KT_EXPECT_EQ(irp->CurrentLocation, KT_STACK + 1);
    KT_EXPECT_EQ(IoGetCurrentIrpStackLocation(irp), (IO_STACK_LOCATION *)(irp + 1) + KT_STACK);
    KT_EXPECT_TRUE(IsListEmpty(&irp->ThreadListEntry));
    KT_EXPECT_NULL(irp->MdlAddress);
    KT_EXPECT_NULL(irp->Tail.Overlay.Thread);
    KT_EXPECT_EQ(irp->RequestorMode, KernelMode);
    IoFreeIrp(irp);
    KT_EXPECT_NULL(IoAllocateIrp(-1, FALSE));
}

KTEST(io_irp, a_packet_in_a_drivers_memory_is_formatted)
{
    UCHAR memory[IoSizeOfIrp(2)] __attribute__((aligned(16)));
    IRP  *irp = (IRP *)memory;
    RtlFillMemory(memory, sizeof(memory), 0xCC);
    IoInitializeIrp(irp, sizeof(memory), 2);
    KT_EXPECT_EQ(irp->Type, IO_TYPE_IRP);
    KT_EXPECT_EQ(irp->Size, sizeof(memory));
    KT_EXPECT_EQ(irp->CurrentLocation, 3);
    KT_EXPECT_EQ(irp->AllocationFlags, 0);
    KT_EXPECT_EQ(IoGetNextIrpStackLocation(irp)->Control, 0);
    KT_EXPECT_EQ((ULONG_PTR)(IoGetCurrentIrpStackLocation(irp)), (ULONG_PTR)(memory + sizeof(memory)));
}

KTEST(io_irp, a_reused_packet_keeps_how_it_was_allocated)
{
    IRP *irp = IoAllocateIrp(1, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    UCHAR flags = irp->AllocationFlags;
    irp->CurrentLocation = 1;
    irp->Cancel = TRUE;
    irp->IoStatus.Information = 5;
    IoReuseIrp(irp, STATUS_NOT_SUPPORTED);
    KT_EXPECT_EQ(irp->AllocationFlags, flags);
    KT_EXPECT_EQ(irp->CurrentLocation, 2);
    KT_EXPECT_EQ(irp->Cancel, FALSE);
    KT_EXPECT_STATUS(irp->IoStatus.Status, STATUS_NOT_SUPPORTED);
    KT_EXPECT_EQ(irp->IoStatus.Information, 0);
    IoFreeIrp(irp);
}

KTEST(io_irp, each_driver_has_its_own_location_and_device)
{
    KT_PAIR pair = KtMakePair(KtPassOn);
    IRP    *irp = IoAllocateIrp(pair.Upper->StackSize, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_FLUSH_BUFFERS;
    IoSetCompletionRoutine(irp, KtKeep, NULL, TRUE, TRUE, TRUE);
    KT_EXPECT_STATUS(IoCallDriver(pair.Upper, irp), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtSeen.DispatchCount, 2);
    KT_EXPECT_EQ(KtSeen.DispatchDevice[0], pair.Upper);
    KT_EXPECT_EQ(KtSeen.DispatchDevice[1], pair.Lower);
    KT_EXPECT_EQ(KtSeen.Location[0], 2);
    KT_EXPECT_EQ(KtSeen.Location[1], 1);
    KT_EXPECT_EQ(KtSeen.RoutineCount, 1);
    KT_EXPECT_NULL(KtSeen.RoutineDevice); /* the originator has no device */
    KT_EXPECT_EQ(irp->CurrentLocation, 3);
    IoFreeIrp(irp);
    KtDropPair(&pair);
}

static NTSTATUS NTAPI KtPassOnWithRoutine(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, KtCount, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(KtLower, Irp);
}

KTEST(io_irp, a_drivers_routine_gets_its_own_device)
{
    KT_PAIR pair = KtMakePair(KtPassOnWithRoutine);
    IRP    *irp = IoAllocateIrp(pair.Upper->StackSize, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    IoSetCompletionRoutine(irp, KtKeep, NULL, FALSE, TRUE, FALSE); /* not on success */
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    KT_EXPECT_STATUS(IoCallDriver(pair.Upper, irp), STATUS_SUCCESS); /* completion frees it */
    KT_EXPECT_EQ(KtSeen.RoutineCount, 1);
    KT_EXPECT_EQ(KtSeen.RoutineDevice, pair.Upper);
    KtDropPair(&pair);
}

/* Send one packet with a routine invoked as Control says; was it? */
static bool KtIsRoutineCalled(const KT_PAIR *Pair, UCHAR Control, NTSTATUS Status, BOOLEAN Cancel)
{
    IRP *irp = IoAllocateIrp(Pair->Lower->StackSize, FALSE);
    KtSeen = (KT_SEEN){ .FinalStatus = Status };
    if (irp == NULL) {
        return false;
    }
    IoSetCompletionRoutine(irp, KtKeep, NULL, TRUE, TRUE, TRUE);
    IoGetNextIrpStackLocation(irp)->Control = Control;
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    irp->Cancel = Cancel;
    IoCallDriver(Pair->Lower, irp);
    if (KtSeen.RoutineCount != 0) {
        IoFreeIrp(irp);
    }
    return KtSeen.RoutineCount != 0;
}

KTEST(io_irp, control_bits_say_when_the_routine_is_called)
{
    static const NTSTATUS statuses[] = { STATUS_SUCCESS, STATUS_BUFFER_OVERFLOW, STATUS_UNSUCCESSFUL,
                                         STATUS_CANCELLED };
    KT_PAIR               pair = KtMakePair(KtPassOn);
    for (ULONG bits = 0; bits < 8; bits++) {
        UCHAR control = (UCHAR)(((bits & 1) != 0 ? SL_INVOKE_ON_SUCCESS : 0) |
                                ((bits & 2) != 0 ? SL_INVOKE_ON_ERROR : 0) |
                                ((bits & 4) != 0 ? SL_INVOKE_ON_CANCEL : 0));
        for (ULONG index = 0; index < 2 * RTL_NUMBER_OF(statuses); index++) {
            NTSTATUS status = statuses[index / 2];
            BOOLEAN  cancel = index % 2 != 0;
            bool     wanted = (bits & (NT_SUCCESS(status) ? 1u : 2u)) != 0 || (cancel && (bits & 4) != 0);
            KT_EXPECT_EQ(KtIsRoutineCalled(&pair, control, status, cancel), wanted);
        }
    }
    KtDropPair(&pair);
}

KTEST(io_irp, pending_mark_moves_up_past_drivers_without_a_routine)
{
    KT_PAIR pair = KtMakePair(KtPassOn);
    for (ULONG pend = 0; pend <= 1; pend++) {
        IRP *irp = IoAllocateIrp(pair.Upper->StackSize, FALSE);
        KT_ASSERT_NOT_NULL(irp);
        KtSeen = (KT_SEEN){ .FinalStatus = STATUS_SUCCESS, .Pend = (BOOLEAN)pend };
        IoSetCompletionRoutine(irp, KtKeep, NULL, TRUE, TRUE, TRUE);
        KT_EXPECT_STATUS(IoCallDriver(pair.Upper, irp), pend ? STATUS_PENDING : STATUS_SUCCESS);
        KT_EXPECT_EQ(KtSeen.PendingReturned, pend);
        IoFreeIrp(irp);
    }
    KtDropPair(&pair);
}

KTEST(io_irp, the_mark_stops_at_a_routine_that_does_not_pass_it_on)
{
    KT_PAIR pair = KtMakePair(KtPassOnWithRoutine);
    IRP    *irp = IoAllocateIrp(pair.Upper->StackSize, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    KtSeen.Pend = TRUE;
    IoSetCompletionRoutine(irp, KtKeep, NULL, TRUE, TRUE, TRUE);
    IoCallDriver(pair.Upper, irp);
    KT_EXPECT_EQ(KtSeen.RoutineCount, 2);
    KT_EXPECT_EQ(KtSeen.PendingReturned, FALSE); /* KtCount did not call IoMarkIrpPending */
    IoFreeIrp(irp);
    KtDropPair(&pair);
}

KTEST(io_irp, an_unset_major_function_is_an_invalid_request)
{
    DRIVER_OBJECT  *driver = KtCreateDriver(NULL);
    DEVICE_OBJECT  *device = KtCreateDevice(driver, NULL, 0);
    IO_STATUS_BLOCK block = { .Information = 7 };
    KEVENT          event;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    IRP *irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, device, NULL, 0, NULL, &event, &block);
    KT_ASSERT_NOT_NULL(irp);
    KT_EXPECT_STATUS(IoCallDriver(device, irp), STATUS_INVALID_DEVICE_REQUEST);
    KT_EXPECT_TRUE(IsListEmpty(&PsGetCurrentThread()->IrpListHead)); /* completed and freed */
    KtDeleteDriver(driver);
}

/* Takes one more part of a master's work and completes it. */
KTEST(io_irp, the_last_associated_packet_completes_the_master)
{
    KT_PAIR pair = KtMakePair(KtPassOn);
    IRP    *master = IoAllocateIrp(1, FALSE);
    KT_ASSERT_NOT_NULL(master);
    IoSetCompletionRoutine(master, KtKeep, NULL, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(master); /* as if a driver had it */
    master->AssociatedIrp.IrpCount = 2;
    for (ULONG part = 0; part < 2; part++) {
        IRP *irp = IoMakeAssociatedIrp(master, pair.Lower->StackSize);
        KT_ASSERT_NOT_NULL(irp);
        KT_EXPECT_EQ(irp->Flags & IRP_ASSOCIATED_IRP, IRP_ASSOCIATED_IRP);
        KT_EXPECT_EQ(KtSeen.RoutineCount, 0);
        IoCallDriver(pair.Lower, irp);
    }
    KT_EXPECT_EQ(KtSeen.RoutineCount, 1);
    IoFreeIrp(master);
    KtDropPair(&pair);
}
