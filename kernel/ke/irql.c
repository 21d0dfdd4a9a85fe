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
