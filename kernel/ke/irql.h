/*
 * IRQL: CR8 and nothing else. Drivers change it inline, so no work ever depends on a routine here being called; the
 * exported forms exist for drivers that import them by name.
 */
#pragma once

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/ddk.h"

/* What SYNCH_LEVEL is on this architecture: above all devices, below the clock. */
#define KI_SYNCH_LEVEL 12

/* Turn interrupts off on this CPU; whether they were on comes back, for KiRestoreInterrupts. */
static inline bool KiDisableInterrupts(void)
{
    return (KiReadFlagsAndDisable() & X86_EFLAGS_IF) != 0;
}

static inline void KiRestoreInterrupts(bool WereOn)
{
    if (WereOn) {
        _enable();
    }
}

/* The exports behind the names that the driver kit defines inline. */
KIRQL NTAPI            KiExportKeGetCurrentIrql(VOID);
VOID NTAPI             KiExportKeLowerIrql(KIRQL NewIrql);
KIRQL NTAPI            KiExportKfRaiseIrql(KIRQL NewIrql);
KIRQL NTAPI            KiExportKeRaiseIrqlToDpcLevel(VOID);
KIRQL NTAPI            KiExportKeRaiseIrqlToSynchLevel(VOID);
ULONG NTAPI            KiExportKeGetCurrentProcessorNumber(VOID);
struct _KTHREAD *NTAPI KiExportKeGetCurrentThread(VOID);
