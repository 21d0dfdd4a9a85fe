/*
 * Events by handle and name, and waiting by handle. The prototypes are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"

/* What a wait on Object waits for, or NULL: it is nothing to wait for. Any IRQL. */
PVOID ObpWaitableOf(PVOID Object);
