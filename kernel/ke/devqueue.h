/*
 * Device queues: entries that wait for a device, in the order of arrival or of a key. The prototypes are the driver
 * kit's, but for one.
 */
#pragma once

#include "kernel/ddk.h"

/* The first entry whose key is not below SortKey, or else the first of all; NULL, and the device idle: none. */
PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueueIfBusy(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey);
