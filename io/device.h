/*
 * Device objects, their stacks, and the symbolic links that name them. The prototypes are the driver kit's.
 *
 * Locking: IopDeviceLock (LOCK_DRIVER) guards each driver's list of devices and all AttachedDevice and AttachedTo
 * links. Names are io/namespace.h, so whatever makes or removes one runs at PASSIVE_LEVEL.
 */
#pragma once

#include "kernel/ddk.h"

/* What lies behind DEVICE_OBJECT.DeviceObjectExtension. The driver kit shows the first three fields. */
typedef struct _IOP_DEVICE_EXTENSION {
    DEVOBJ_EXTENSION Public;
    DEVICE_OBJECT   *AttachedTo; /* the device below, or NULL; guarded by IopDeviceLock */
} IOP_DEVICE_EXTENSION;

/* The driver's DriverEntry has succeeded: its devices take requests from now on. */
void IopFinishDeviceInitialization(DRIVER_OBJECT *DriverObject);

/* The symbolic link object of that name, referenced, or NULL. PASSIVE_LEVEL. */
PVOID IopReferenceSymbolicLink(PCUNICODE_STRING SymbolicLinkName);

/*
 * Count one more open of the device: STATUS_NO_SUCH_DEVICE while it is being initialised, STATUS_ACCESS_DENIED when it
 * is exclusive and open. IRQL <= DISPATCH_LEVEL.
 */
NTSTATUS IopClaimDevice(DEVICE_OBJECT *DeviceObject);
void     IopReleaseDevice(DEVICE_OBJECT *DeviceObject);
