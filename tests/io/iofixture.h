/*
 * Drivers and devices made of C alone, for the suites of the I/O manager: no image stands behind them.
 */
#pragma once

#include "kernel/ddk.h"

/* A driver whose every major function is Dispatch; NULL: what a driver that sets none has. Failures are the test's. */
DRIVER_OBJECT *KtCreateDriver(PDRIVER_DISPATCH Dispatch);

/* A device of Driver with these DO_... flags, which takes requests; Name may be NULL. NULL: a failure of the test. */
DEVICE_OBJECT *KtCreateDevice(DRIVER_OBJECT *Driver, PCWSTR Name, ULONG Flags);

/* Delete the devices of Driver, and Driver. */
void KtDeleteDriver(DRIVER_OBJECT *Driver);

/* Complete Irp with Status and Information; Status comes back. */
NTSTATUS KtComplete(IRP *Irp, NTSTATUS Status, ULONG_PTR Information);
