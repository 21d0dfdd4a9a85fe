/*
 * Remove locks: counting who uses a device, so that its removal can wait. The prototypes are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"
