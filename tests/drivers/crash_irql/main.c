/*
 * crash_irql: reads an invalid address at DISPATCH_LEVEL. Bug check 0xD1, blaming the driver.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

__attribute__((noinline)) static ULONG ReadThrough(const volatile ULONG *Address)
{
    return *Address;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    ULONG value = ReadThrough((const volatile ULONG *)0xFFFFF8A0DEAD0000);
    KeLowerIrql(irql);
    DbgPrint("crash_irql: %lu\n", value);
    return STATUS_SUCCESS;
}
