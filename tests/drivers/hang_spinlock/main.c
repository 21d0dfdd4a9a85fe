/*
 * hang_spinlock: one thread takes a spin lock and never gives it back, DriverEntry waits for it on another CPU. The
 * kernel itself ends the run after ten seconds, exit status 4: it names the lock, who holds it and where every CPU is.
 * Needs two CPUs. A lock that its own CPU holds already is bug check 0xF at once, which is not this.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

static KSPIN_LOCK    Lock;
static volatile LONG IsTaken;
static volatile LONG Never;

__attribute__((noinline)) static VOID SpinForever(void)
{
    while (Never == 0) {
        YieldProcessor();
    }
}

static KSTART_ROUTINE HoldLock;
static VOID NTAPI     HoldLock(PVOID StartContext)
{
    KIRQL irql;
    UNREFERENCED_PARAMETER(StartContext);
    KeAcquireSpinLock(&Lock, &irql);
    IsTaken = 1;
    SpinForever();
    KeReleaseSpinLock(&Lock, irql);
}

__attribute__((noinline)) static VOID WaitForLock(void)
{
    KIRQL irql;
    KeAcquireSpinLock(&Lock, &irql);
    KeReleaseSpinLock(&Lock, irql);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    HANDLE thread;
    KeInitializeSpinLock(&Lock);
    if (!NT_SUCCESS(PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, HoldLock, NULL))) {
        return STATUS_UNSUCCESSFUL;
    }
    while (IsTaken == 0) {
        YieldProcessor();
    }
    WaitForLock();
    ZwClose(thread);
    return STATUS_UNSUCCESSFUL;
}
