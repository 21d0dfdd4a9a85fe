/*
 * Work items: routines that system threads call at PASSIVE_LEVEL for those who cannot, or should not, do it themselves.
 */
#pragma once

#include "kernel/ddk.h"

/* Start the threads. PASSIVE_LEVEL, once; items may be queued before. */
VOID ExpInitializeWorkers(VOID);

/* Wait until nothing is queued and no routine runs. PASSIVE_LEVEL, not from a work item. */
VOID ExpWaitForWorkers(VOID);
