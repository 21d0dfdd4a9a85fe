/*
 * Interlocked operations under a driver's spin lock. They come from any IRQL, so the lock is held with interrupts
 * off; between two tries they are as the caller had them, so a waiting CPU serves shootdowns.
 */
#include "kernel/ke/interlocked.h"

#include "kernel/ke/irql.h"
#include "kernel/ke/spinlock.h"

#define KI_SLIST_DEPTH_MASK 0xFFFFull

extern const UCHAR ExpInterlockedPopEntrySListResume[];
extern const UCHAR ExpInterlockedPopEntrySListFault[];
extern const UCHAR ExpInterlockedPopEntrySListEnd[];

bool ExpResumeSListPop(KTRAP_FRAME *Frame)
{
    if (Frame->Rip != (ULONG64)ExpInterlockedPopEntrySListFault) {
        return false;
    }
    const volatile SLIST_HEADER *header = (const volatile SLIST_HEADER *)Frame->R8;
    if (header->Alignment == Frame->Rax) {
        return false; /* no push and no pop since: depth and sequence are what they were */
    }
    Frame->Rip = (ULONG64)ExpInterlockedPopEntrySListResume;
    return true;
}

/* Acquire Lock with interrupts off; what KiUnlockInterlocked needs comes back. */
static bool KiLockInterlocked(KSPIN_LOCK *Lock)
{
    bool interruptsOn = KiDisableInterrupts();
    while (!KiTrySpinLock(Lock)) {
        KiRestoreInterrupts(interruptsOn);
        KiWaitUntilSpinLockFree(Lock);
        _disable();
    }
    return interruptsOn;
}

static VOID KiUnlockInterlocked(KSPIN_LOCK *Lock, bool InterruptsOn)
{
    KiReleaseSpinLockNoIrql(Lock);
    KiRestoreInterrupts(InterruptsOn);
}

LARGE_INTEGER NTAPI ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment, PKSPIN_LOCK Lock)
{
    bool          interruptsOn = KiLockInterlocked(Lock);
    LARGE_INTEGER before = *Addend;
    Addend->QuadPart = (LONGLONG)((ULONGLONG)before.QuadPart + (ULONGLONG)Increment.QuadPart);
    KiUnlockInterlocked(Lock, interruptsOn);
    return before;
}

ULONG FASTCALL ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock)
{
    bool  interruptsOn = KiLockInterlocked(Lock);
    ULONG before = *Addend;
    *Addend = before + Increment;
    KiUnlockInterlocked(Lock, interruptsOn);
    return before;
}

/* => the entry that was first (head) or last (tail) before, or NULL when the list was empty. */
PLIST_ENTRY FASTCALL ExInterlockedInsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock)
{
    bool        interruptsOn = KiLockInterlocked(Lock);
    LIST_ENTRY *first = IsListEmpty(ListHead) ? NULL : ListHead->Flink;
    InsertHeadList(ListHead, ListEntry);
    KiUnlockInterlocked(Lock, interruptsOn);
    return first;
}

PLIST_ENTRY FASTCALL ExInterlockedInsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry, PKSPIN_LOCK Lock)
{
    bool        interruptsOn = KiLockInterlocked(Lock);
    LIST_ENTRY *last = IsListEmpty(ListHead) ? NULL : ListHead->Blink;
    InsertTailList(ListHead, ListEntry);
    KiUnlockInterlocked(Lock, interruptsOn);
    return last;
}

PLIST_ENTRY FASTCALL ExInterlockedRemoveHeadList(PLIST_ENTRY ListHead, PKSPIN_LOCK Lock)
{
    bool        interruptsOn = KiLockInterlocked(Lock);
    LIST_ENTRY *first = IsListEmpty(ListHead) ? NULL : RemoveHeadList(ListHead);
    KiUnlockInterlocked(Lock, interruptsOn);
    return first;
}

PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY ListHead, PSINGLE_LIST_ENTRY ListEntry,
                                                       PKSPIN_LOCK Lock)
{
    bool               interruptsOn = KiLockInterlocked(Lock);
    SINGLE_LIST_ENTRY *first = ListHead->Next;
    ListEntry->Next = first;
    ListHead->Next = ListEntry;
    KiUnlockInterlocked(Lock, interruptsOn);
    return first;
}

PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY ListHead, PKSPIN_LOCK Lock)
{
    bool               interruptsOn = KiLockInterlocked(Lock);
    SINGLE_LIST_ENTRY *first = ListHead->Next;
    if (first != NULL) {
        ListHead->Next = first->Next;
    }
    KiUnlockInterlocked(Lock, interruptsOn);
    return first;
}

/* => a header that is not 16-aligned raises STATUS_DATATYPE_MISALIGNMENT. */
VOID InitializeSListHead(PSLIST_HEADER SListHead)
{
    if (((ULONG_PTR)SListHead & (MEMORY_ALLOCATION_ALIGNMENT - 1)) != 0) {
        ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
    }
    RtlZeroMemory(SListHead, sizeof(*SListHead));
}

USHORT ExQueryDepthSList(PSLIST_HEADER ListHead)
{
    return (USHORT)(*(volatile ULONGLONG *)&ListHead->Alignment & KI_SLIST_DEPTH_MASK);
}
