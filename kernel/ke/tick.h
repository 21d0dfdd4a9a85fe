/*
 * The clock interrupt.
 */
#pragma once

#include "kernel/ddk.h"

/* Begin the 64 Hz interrupt on this CPU; on the boot CPU first, which keeps the time for all. */
void KiStartTicking(void);
