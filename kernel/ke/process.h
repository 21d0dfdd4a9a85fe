/*
 * KPROCESS: what the kernel layer knows of a process. EPROCESS (mm/space.h) begins with it.
 */
#pragma once

#include "kernel/ddk.h"

typedef struct _KPROCESS {
    DISPATCHER_HEADER Header;             /* signalled when the process has ended */
    ULONG64           DirectoryTableBase; /* CR3 */
    volatile LONG64   ActiveProcessors;   /* CPUs whose CR3 may be this one: own bit set before CR3 is loaded */
    LIST_ENTRY        ThreadListHead;     /* KTHREAD.ThreadListEntry; guarded by LOCK_DISPATCHER */
} KPROCESS;

extern KPROCESS *KiSystemProcess; /* PsInitialSystemProcess */

/* Make Process's address space this CPU's. IRQL >= DISPATCH_LEVEL. Own bit first, then CR3: see kernel/ke/tlb.c. */
void KiSwapProcess(KPROCESS *To, KPROCESS *From);
