/*
 * Drivers' last words: routines that a bug check calls. The prototypes that drivers use are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"

/* Call each registered routine. At HIGH_LEVEL, by the CPU that owns the end of the run, after its report. */
void KiRunBugCheckCallbacks(void);
