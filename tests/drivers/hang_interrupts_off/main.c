/*
 * hang_interrupts_off: keeps its CPU with interrupts off for ever. No clock, no shootdown, no IPI gets in: the run ends
 * at its time limit, exit status 4, and only a non-maskable interrupt can find out that this CPU is here.
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
    __asm__ volatile("cli" ::: "memory");
    SpinForever(&never);
    __asm__ volatile("sti" ::: "memory");
    return STATUS_UNSUCCESSFUL;
}
