/*
 * Threads as objects. kernel/ke/thread.h is what runs; here are its memory, its stack, its id and its handle.
 */
#pragma once

#include "kernel/ke/thread.h"

typedef struct _ETHREAD {
    KTHREAD          Tcb;     /* first: KTHREAD and ETHREAD are one address */
    CLIENT_ID        Cid;     /* constant */
    PVOID            Process; /* the EPROCESS it belongs to, referenced; constant */
    volatile BOOLEAN Terminating;
    NTSTATUS         ExitStatus;  /* once it is signalled */
    LIST_ENTRY       IrpListHead; /* IRP.ThreadListEntry: sent and not complete; own, kernel APCs off */
} ETHREAD;

C_ASSERT(FIELD_OFFSET(ETHREAD, Tcb) == 0);

/* The thread and process types, the reaper. Once, at boot, after ObpInitialize and KiInitializeScheduler. */
VOID PspInitialize(VOID);

/*
 * Start a thread of the system process. *Thread is referenced for the caller, who may wait for it and dereferences it.
 *
 * => IRQL <= APC_LEVEL. STATUS_INSUFFICIENT_RESOURCES leaves nothing behind.
 */
NTSTATUS PspStartSystemThread(PKSTART_ROUTINE StartRoutine, PVOID StartContext, PETHREAD *Thread);

KPROCESSOR_MODE NTAPI ExGetPreviousMode(VOID);
PETHREAD NTAPI        KiExportPsGetCurrentThread(VOID);
