/*
 * The IRQL routines that the driver kit defines inline, as functions for drivers that import them by name.
 */
#include "kernel/ke/irql.h"

KIRQL NTAPI KiExportKeGetCurrentIrql(VOID)
{
    return KeGetCurrentIrql();
}

VOID NTAPI KiExportKeLowerIrql(KIRQL NewIrql)
{
    KeLowerIrql(NewIrql);
}

KIRQL NTAPI KiExportKfRaiseIrql(KIRQL NewIrql)
{
    return KfRaiseIrql(NewIrql);
}

KIRQL NTAPI KiExportKeRaiseIrqlToDpcLevel(VOID)
{
    return KfRaiseIrql(DISPATCH_LEVEL);
}

KIRQL NTAPI KiExportKeRaiseIrqlToSynchLevel(VOID)
{
    return KfRaiseIrql(KI_SYNCH_LEVEL);
}

ULONG NTAPI KiExportKeGetCurrentProcessorNumber(VOID)
{
    return KeGetCurrentProcessorNumber();
}

struct _KTHREAD *NTAPI KiExportKeGetCurrentThread(VOID)
{
    return KeGetCurrentThread();
}
