/*
 * StartIo.
 *
 * DEVICE_OBJECT.CurrentIrp is the packet that the driver's StartIo routine works on; packets that come meanwhile wait
 * in DEVICE_OBJECT.DeviceQueue. A packet that may be cancelled is moved between the two with the cancel lock held, so
 * its cancel routine sees it in one place or the other. The lock is released before StartIo is called.
 *
 * IRQL. <= DISPATCH_LEVEL to start a packet; StartIo is called at DISPATCH_LEVEL. IoStartNextPacket is for
 * DISPATCH_LEVEL.
 */
#include "io/startio.h"

#include "kernel/ke/devqueue.h"

/* The packet could not start at once: call its cancel routine if it was cancelled before that was set. */
static void IopCancelQueuedPacket(DEVICE_OBJECT *DeviceObject, IRP *Irp, KIRQL CancelIrql)
{
    PDRIVER_CANCEL routine = Irp->Cancel ? IoSetCancelRoutine(Irp, NULL) : NULL;
    if (routine != NULL) {
        Irp->CancelIrql = CancelIrql;
        routine(DeviceObject, Irp); /* releases the lock */
    } else {
        IoReleaseCancelSpinLock(CancelIrql);
    }
}

VOID NTAPI IoStartPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp, PULONG Key, PDRIVER_CANCEL CancelFunction)
{
    KIRQL                cancelIrql = DISPATCH_LEVEL;
    KIRQL                irql = KfRaiseIrql(DISPATCH_LEVEL);
    KDEVICE_QUEUE_ENTRY *entry = &Irp->Tail.Overlay.DeviceQueueEntry;
    if (CancelFunction != NULL) {
        IoAcquireCancelSpinLock(&cancelIrql);
        IoSetCancelRoutine(Irp, CancelFunction);
    }
    BOOLEAN queued = Key != NULL ? KeInsertByKeyDeviceQueue(&DeviceObject->DeviceQueue, entry, *Key)
                                 : KeInsertDeviceQueue(&DeviceObject->DeviceQueue, entry);
    if (!queued) {
        DeviceObject->CurrentIrp = Irp;
    }
    if (CancelFunction != NULL && queued) {
        IopCancelQueuedPacket(DeviceObject, Irp, cancelIrql);
    } else if (CancelFunction != NULL) {
        IoReleaseCancelSpinLock(cancelIrql);
    }
    if (!queued) {
        DeviceObject->DriverObject->DriverStartIo(DeviceObject, Irp);
    }
    KeLowerIrql(irql);
}

VOID NTAPI IoStartNextPacketByKey(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable, ULONG Key)
{
    KIRQL cancelIrql = DISPATCH_LEVEL;
    if (Cancelable) {
        IoAcquireCancelSpinLock(&cancelIrql);
    }
    DeviceObject->CurrentIrp = NULL;
    KDEVICE_QUEUE_ENTRY *entry = KeRemoveByKeyDeviceQueue(&DeviceObject->DeviceQueue, Key);
    IRP                 *irp = entry != NULL ? CONTAINING_RECORD(entry, IRP, Tail.Overlay.DeviceQueueEntry) : NULL;
    if (irp != NULL) {
        DeviceObject->CurrentIrp = irp;
    }
    if (Cancelable) {
        IoReleaseCancelSpinLock(cancelIrql);
    }
    if (irp != NULL) {
        DeviceObject->DriverObject->DriverStartIo(DeviceObject, irp);
    }
}

VOID NTAPI IoStartNextPacket(PDEVICE_OBJECT DeviceObject, BOOLEAN Cancelable)
{
    IoStartNextPacketByKey(DeviceObject, Cancelable, 0);
}
