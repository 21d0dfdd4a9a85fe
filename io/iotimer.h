/*
 * The one-second timer of a device. The prototypes that drivers use are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"

/* Stop the device's timer, wait for its routine, free it. PASSIVE_LEVEL; nothing happens without a timer. */
void IopDeleteDeviceTimer(DEVICE_OBJECT *DeviceObject);
