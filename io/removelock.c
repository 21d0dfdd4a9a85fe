/*
 * Remove locks.
 *
 * IoCount is one for the lock itself and one for each holder. Removal turns new holders away, gives up its own hold and
 * the lock's, and waits for the rest; whoever drops the last one signals. The order is what makes it safe: a holder
 * counts itself before it looks at Removed, removal sets Removed before it counts down.
 *
 * A checked driver's lock is longer, for the holders' names; this part uses only what both have.
 *
 * Locking and IRQL. Atomics. <= DISPATCH_LEVEL; the wait PASSIVE_LEVEL.
 */
#include "io/removelock.h"

VOID NTAPI IoInitializeRemoveLockEx(PIO_REMOVE_LOCK Lock, ULONG AllocateTag, ULONG MaxLockedMinutes,
                                    ULONG HighWatermark, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(AllocateTag);
    UNREFERENCED_PARAMETER(MaxLockedMinutes);
    UNREFERENCED_PARAMETER(HighWatermark);
    RtlZeroMemory(Lock, RemlockSize);
    Lock->Common.IoCount = 1;
    KeInitializeEvent(&Lock->Common.RemoveEvent, SynchronizationEvent, FALSE);
}

static void IopDropRemoveLock(IO_REMOVE_LOCK *Lock)
{
    if (_InterlockedDecrement(&Lock->Common.IoCount) == 0) {
        (void)KeSetEvent(&Lock->Common.RemoveEvent, IO_NO_INCREMENT, FALSE);
    }
}

NTSTATUS NTAPI IoAcquireRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, PCSTR File, ULONG Line, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(File);
    UNREFERENCED_PARAMETER(Line);
    UNREFERENCED_PARAMETER(RemlockSize);
    _InterlockedIncrement(&RemoveLock->Common.IoCount);
    if (*(volatile BOOLEAN *)&RemoveLock->Common.Removed) {
        IopDropRemoveLock(RemoveLock);
        return STATUS_DELETE_PENDING;
    }
    return STATUS_SUCCESS;
}

VOID NTAPI IoReleaseRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    IopDropRemoveLock(RemoveLock);
}

/* The caller holds the lock. On return nobody does, and nobody gets it any more. */
VOID NTAPI IoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize)
{
    UNREFERENCED_PARAMETER(Tag);
    UNREFERENCED_PARAMETER(RemlockSize);
    *(volatile BOOLEAN *)&RemoveLock->Common.Removed = TRUE;
    IopDropRemoveLock(RemoveLock); /* the caller's; locked, so it orders the store above */
    if (_InterlockedDecrement(&RemoveLock->Common.IoCount) != 0) {
        (void)KeWaitForSingleObject(&RemoveLock->Common.RemoveEvent, Executive, KernelMode, FALSE, NULL);
    }
}
