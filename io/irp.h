/*
 * I/O request packets: their memory, their way down a stack of devices, and the thread that answers for them.
 *
 * Terms. The originator of a packet is who made it; a service is one of the system's own originators (io/request.c).
 * The tail is what the I/O manager keeps behind the last stack location of a packet that it allocated.
 *
 * Invariants.
 *  - CurrentLocation runs from StackCount + 1 (the originator's, which does not exist) down to 1. Completion leaves
 *    StackCount + 2, so a packet that stands there was completed before.
 *  - A packet in a thread's list keeps the thread from ending; the thread alone touches the list, at APC_LEVEL or with
 *    kernel APCs disabled.
 */
#pragma once

#include "kernel/ddk.h"

struct _ETHREAD;

C_ASSERT(sizeof(IRP) == 0xD0 && sizeof(IO_STACK_LOCATION) == 0x48);
C_ASSERT(FIELD_OFFSET(IRP, IoStatus) == 0x30 && FIELD_OFFSET(IRP, CurrentLocation) == 0x43);
C_ASSERT(FIELD_OFFSET(IRP, CancelRoutine) == 0x68 && FIELD_OFFSET(IRP, Tail.Overlay.CurrentStackLocation) == 0xB8);

#define IOP_IRP_TAG 0x20707249u /* "Irp " */

/* IRP.AllocationFlags: the packet came from IoAllocateIrp, so it has a tail. Not one of the driver kit's bits. */
#define IOP_IRP_ALLOCATED 0x40

/* Who completes what a service waits for: the service itself when the driver is done at once, else an APC. */
enum {
    IopWaitInDispatch, /* the driver was called and has not returned */
    IopWaitDeferred,   /* it completed the packet meanwhile, which the service finishes */
    IopWaitBlocked,    /* it returned first: completion finishes the packet and signals Done */
};

/* A service's wait, on its stack. */
typedef struct _IOP_WAIT {
    volatile LONG   State; /* IopWait...; each side moves it on from IopWaitInDispatch by compare and exchange */
    IO_STATUS_BLOCK IoStatus;
    KEVENT          Done;
} IOP_WAIT;

typedef struct _IOP_IRP_TAIL {
    IOP_WAIT *Wait;        /* NULL: nobody waits in the call */
    PVOID     Event;       /* referenced: Irp->UserEvent, when a handle gave it */
    ULONG     OutputBytes; /* room at Irp->UserBuffer for what is copied back */
} IOP_IRP_TAIL;

/* The tail of a packet with IOP_IRP_ALLOCATED. */
static inline IOP_IRP_TAIL *IopTailOf(const IRP *Irp)
{
    return (IOP_IRP_TAIL *)((ULONG_PTR)(Irp + 1) + (ULONG)(UCHAR)Irp->StackCount * sizeof(IO_STACK_LOCATION));
}

/* Enter Irp in the calling thread's list, and take it out again. => IRQL <= APC_LEVEL, on Irp's thread. */
void IopQueueIrpToThread(IRP *Irp);
void IopDequeueIrpFromThread(IRP *Irp);

/*
 * The calling thread ends: cancel what it sent and wait until all of it is complete.
 *
 * => PASSIVE_LEVEL, APCs enabled. A packet that a driver does not complete keeps the thread, and the log says whose.
 */
void IopCancelThreadIrps(struct _ETHREAD *Thread);

/* Answers a major function that the driver did not set. */
NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp);
