/*
 * User addresses: probes raise, the kernel's own copies return a status.
 *
 * The one kernel file with __try. The compiler gives a scope to calls only, so each access that may fault stands in a
 * function of its own that is not inlined. Thread code below DISPATCH_LEVEL runs with EFLAGS.AC set, so SMAP lets these
 * accesses through; at DISPATCH_LEVEL and above none is made.
 */
#include "mm/probe.h"

#include "kernel/ke/lock.h"

PVOID   MmHighestUserAddress = (PVOID)(MI_USER_END - 1);
PVOID   MmSystemRangeStart = (PVOID)MI_SYSTEM_START;
ULONG64 MmUserProbeAddress = MI_USER_END;

bool MiIsUserRange(const VOID *UserVa, SIZE_T ByteCount)
{
    return (ULONG64)UserVa <= MI_USER_END && ByteCount <= MI_USER_END - (ULONG64)UserVa;
}

/* What both probes ask without touching the pages; Length is not 0. */
static NTSTATUS MiCheckProbe(const VOID *Address, SIZE_T Length, ULONG Alignment)
{
    if (((ULONG_PTR)Address & (Alignment - 1)) != 0) {
        return STATUS_DATATYPE_MISALIGNMENT;
    }
    return MiIsUserRange(Address, Length) ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
}

VOID NTAPI ProbeForRead(const VOID *Address, SIZE_T Length, ULONG Alignment)
{
    IRQL_MAX(APC_LEVEL);
    NTSTATUS status = Length != 0 ? MiCheckProbe(Address, Length, Alignment) : STATUS_SUCCESS;
    if (!NT_SUCCESS(status)) {
        ExRaiseStatus(status);
    }
}

/* Write back what is there: the pages come in and must permit writing. A fault goes up to the driver as it is. */
static DECLSPEC_NOINLINE void MiTouchPages(volatile UCHAR *First, SIZE_T ByteCount)
{
    volatile UCHAR *last = First + ByteCount - 1;
    for (volatile UCHAR *byte = First; byte <= last; byte = (volatile UCHAR *)PAGE_ALIGN(byte) + PAGE_SIZE) {
        *byte = *byte;
    }
}

VOID NTAPI ProbeForWrite(PVOID Address, SIZE_T Length, ULONG Alignment)
{
    IRQL_MAX(APC_LEVEL);
    NTSTATUS status = Length != 0 ? MiCheckProbe(Address, Length, Alignment) : STATUS_SUCCESS;
    if (!NT_SUCCESS(status)) {
        ExRaiseStatus(status);
    }
    if (Length != 0) {
        MiTouchPages(Address, Length);
    }
}

static DECLSPEC_NOINLINE void MiCopyBytes(VOID *To, const VOID *From, SIZE_T ByteCount)
{
    __movsb(To, From, ByteCount);
}

static NTSTATUS MiGuardedCopy(VOID *To, const VOID *From, SIZE_T ByteCount)
{
    IRQL_MAX(APC_LEVEL);
    NTSTATUS status = STATUS_SUCCESS;
    __try {
        MiCopyBytes(To, From, ByteCount);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (NTSTATUS)GetExceptionCode();
    }
    return status;
}

NTSTATUS MiCopyFromUser(VOID *To, const VOID *UserFrom, SIZE_T ByteCount)
{
    return MiIsUserRange(UserFrom, ByteCount) ? MiGuardedCopy(To, UserFrom, ByteCount) : STATUS_ACCESS_VIOLATION;
}

NTSTATUS MiCopyToUser(VOID *UserTo, const VOID *From, SIZE_T ByteCount)
{
    return MiIsUserRange(UserTo, ByteCount) ? MiGuardedCopy(UserTo, From, ByteCount) : STATUS_ACCESS_VIOLATION;
}
