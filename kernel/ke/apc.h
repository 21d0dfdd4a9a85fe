/*
 * Asynchronous procedure calls: run by a given thread, at APC_LEVEL or PASSIVE_LEVEL, wherever it happens to be.
 */
#pragma once

#include "kernel/ke/thread.h"

/* Not in the driver kit's headers: which of a thread's two APC states a KAPC goes to. */
typedef enum _KAPC_ENVIRONMENT {
    OriginalApcEnvironment, /* of its own process */
    AttachedApcEnvironment, /* of the process that it is attached to */
    CurrentApcEnvironment,  /* whichever is in effect when the APC is initialised */
} KAPC_ENVIRONMENT;

VOID NTAPI    KeInitializeApc(PKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                              PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE ApcMode,
                              PVOID NormalContext);
BOOLEAN NTAPI KeInsertQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
BOOLEAN NTAPI KeRemoveQueueApc(PKAPC Apc);

/* The handler of KI_VECTOR_APC, at APC_LEVEL: delivers the current thread's kernel APCs. */
VOID KiApcInterrupt(KTRAP_FRAME *Frame);

/* Would a kernel APC that waits for the calling thread be delivered at Irql? */
bool KiIsKernelApcDue(const KTHREAD *Thread, KIRQL Irql);

/*
 * Accept no more APCs for the calling thread, which ends: user APCs get their rundown routines.
 *
 * => PASSIVE_LEVEL, no APC disabled.
 */
VOID KiRundownApcs(VOID);

/* What KeLeaveCriticalRegion does, for those who leave one on another's behalf: Thread is the caller's own. */
VOID KiLeaveCriticalRegionThread(KTHREAD *Thread);
