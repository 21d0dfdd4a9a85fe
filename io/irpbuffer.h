/*
 * How a request's data reaches the driver: copied (buffered), locked and described by an MDL (direct), or as the
 * caller's own pointers (neither).
 */
#pragma once

#include "io/irp.h"

/* The caller's memory; user addresses when RequestorMode of the packet says so. */
typedef struct _IOP_BUFFERS {
    const void *Input; /* what the driver reads */
    ULONG       InputBytes;
    void       *Output; /* what the driver writes */
    ULONG       OutputBytes;
} IOP_BUFFERS;

/*
 * Attach the data of a read (only output) or write (only input) as Flags, the device's, say; or of a device control as
 * the method of IoControlCode says. Irp came from IoAllocateIrp; its RequestorMode is set.
 *
 * => IRQL <= APC_LEVEL; <= DISPATCH_LEVEL for resident kernel memory.
 * => STATUS_INSUFFICIENT_RESOURCES, or the exception of memory that the caller may not use that way. Nothing is
 *    attached then.
 */
NTSTATUS IopAttachTransfer(IRP *Irp, ULONG DeviceFlags, const IOP_BUFFERS *Buffers);
NTSTATUS IopAttachControl(IRP *Irp, ULONG IoControlCode, const IOP_BUFFERS *Buffers);

/* Unlock the pages of the packet's MDLs; free the MDLs. => IRQL <= DISPATCH_LEVEL. */
void IopUnlockMdls(const IRP *Irp);
void IopFreeMdls(IRP *Irp);

/* Give back all that was attached, the pages locked. */
void IopDetachBuffers(IRP *Irp);

/*
 * Copy what a buffered request put out to the caller, and free the copy.
 *
 * => in the caller's address space, IRQL <= APC_LEVEL. The exception of the caller's memory.
 */
NTSTATUS IopFinishBuffers(IRP *Irp);
