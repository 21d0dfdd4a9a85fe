/*
 * crash_stack: recurses until the stack is used up. Bug check 0x7F, first parameter 8, a double fault.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

#pragma clang diagnostic ignored "-Winfinite-recursion"

/* The block on each frame is touched, and the result used after the call, so that no compiler makes this a loop. */
__attribute__((noinline)) static ULONG Recurse(ULONG Depth)
{
    volatile UCHAR block[256];
    block[Depth % sizeof(block)] = (UCHAR)Depth;
    return Recurse(Depth + 1) + block[Depth % sizeof(block)];
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    DbgPrint("crash_stack: %lu\n", Recurse(1));
    return STATUS_SUCCESS;
}
