/*
 * Fast mutexes and guarded mutexes.
 */
#pragma once

#include "kernel/ddk.h"

/* The export behind a name that the driver kit defines inline. */
VOID NTAPI KiExportExInitializeFastMutex(PFAST_MUTEX FastMutex);
