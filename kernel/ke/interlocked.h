/*
 * The ExInterlocked family: lists and sums under a driver's spin lock, and sequenced lists without one
 * (kernel/amd64/slist.asm).
 */
#pragma once

#include "kernel/ke/trapframe.h"

/*
 * A page fault that a list pop takes on an entry which another CPU has popped and freed: have the pop start over.
 *
 * => any IRQL, interrupts off. False, and nothing changed, for every other fault, also for one on an entry that is
 *    still first on its list: that is a real one.
 */
bool ExpResumeSListPop(KTRAP_FRAME *Frame);
