/*
 * File objects: devices as they are opened, and the handles to them.
 *
 * Invariants.
 *  - A file object refers to the device that was named; requests go to the top of that device's stack.
 *  - The last handle's close sends cleanup, the last reference's going sends close; both only after a create that
 *    succeeded.
 *  - DEVICE_OBJECT.ReferenceCount counts the opens of a device (IopClaimDevice).
 */
#pragma once

#include "io/irp.h"

/* How a file is to be opened: the parameters of ZwCreateFile that a device sees. */
typedef struct _IOP_OPEN {
    ACCESS_MASK DesiredAccess;
    ULONG       FileAttributes;
    ULONG       ShareAccess;
    ULONG       CreateDisposition;
    ULONG       CreateOptions;
} IOP_OPEN;

/* The file type's routines. Once, at boot, after ObpInitialize. */
void IopInitializeFiles(void);

/*
 * Open what Attributes names and have its driver agree. *File is referenced; no handle refers to it.
 *
 * => PASSIVE_LEVEL; Attributes and its name are kernel memory.
 * => the driver's status, and before that STATUS_OBJECT_..., STATUS_NO_SUCH_DEVICE, STATUS_ACCESS_DENIED,
 *    STATUS_INVALID_PARAMETER, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS IopOpenFile(const OBJECT_ATTRIBUTES *Attributes, const IOP_OPEN *Open, IO_STATUS_BLOCK *IoStatus,
                     FILE_OBJECT **File);

/*
 * Send Irp, which a thread's service made, to Device and wait until it is complete. It is gone then, and with it the
 * reference to its OriginalFileObject.
 *
 * => PASSIVE_LEVEL, APCs enabled. The driver's status.
 */
NTSTATUS IopSendAndWait(DEVICE_OBJECT *Device, IRP *Irp, IO_STATUS_BLOCK *IoStatus);
