/*
 * hang_dispatch: keeps its CPU at DISPATCH_LEVEL for ever. The run ends at its time limit, exit status 4, and the log
 * says that this CPU is here.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

__attribute__((noinline)) static VOID SpinForever(volatile LONG *Never)
{
    while (*Never == 0) {
        YieldProcessor();
    }
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    volatile LONG never = 0;
    KIRQL         irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    SpinForever(&never);
    KeLowerIrql(irql);
    return STATUS_UNSUCCESSFUL;
}
