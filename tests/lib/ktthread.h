/*
 * Work on all processors at once, for tests of what they do to each other.
 */
#pragma once

#include "kernel/ddk.h"

/*
 * Run Routine once on each processor, in system threads bound to them that start together, and wait for all of them.
 *
 * => PASSIVE_LEVEL; Routine runs at PASSIVE_LEVEL with Index = its processor's number.
 * => a thread that cannot be created is a failure of the running test, and then Routine runs nowhere.
 */
void KtRunOnEachProcessor(void (*Routine)(ULONG Index, void *Context), void *Context);
