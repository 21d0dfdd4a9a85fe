/*
 * Threads and moments for the tests of the execution model.
 */
#pragma once

#include "io/psthread.h"

#define KT_MAX_PROCESSORS 64

/* The longest that a test waits for what must come: long enough for eight virtual CPUs on two slow ones. */
#define KT_PATIENCE_MS 30000

/* Start a thread; NULL is a failure of the running test. PASSIVE_LEVEL. */
PETHREAD KtStart(PKSTART_ROUTINE Routine, PVOID Context);

/* Wait until it has ended, however long that takes, and drop the reference. NULL is ignored. */
VOID KtJoin(PETHREAD Thread);

/* Wait until it waits for something; false, and a failure, when it does not in KT_PATIENCE_MS. */
bool KtUntilWaiting(PETHREAD Thread);

/* Keep the CPU until *Flag is not 0; false when that takes longer than KT_PATIENCE_MS. Any IRQL below CLOCK_LEVEL. */
bool KtSpinUntil(volatile LONG *Flag);

/* A time limit that is relative. */
LARGE_INTEGER KtMilliseconds(ULONG Milliseconds);

/* Wait for Object with a limit of KT_PATIENCE_MS. */
NTSTATUS KtWait(PVOID Object);

/* Run the rest of the thread on this CPU alone, at Priority. */
VOID KtBind(ULONG Processor, KPRIORITY Priority);

/* Keep the CPU for that long by the TSC. Any IRQL. */
VOID KtStall(ULONG Milliseconds);
