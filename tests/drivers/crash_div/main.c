/*
 * crash_div: divides by zero. Bug check 0x7E, STATUS_INTEGER_DIVIDE_BY_ZERO.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

__attribute__((noinline)) static ULONG Divide(ULONG Dividend, ULONG Divisor)
{
    __asm__ volatile("" : "+r"(Divisor)); /* the compiler does not know that it is 0 */
    return Dividend / Divisor;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("crash_div: %lu\n", Divide(100, 0));
    return STATUS_SUCCESS;
}
