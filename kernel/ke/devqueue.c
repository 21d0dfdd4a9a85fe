/*
 * Device queues.
 *
 * A queue is busy while its device works on something. Insertion into a queue that is not busy inserts nothing: it
 * makes the queue busy and tells the caller to start. Removal from an empty queue makes it idle.
 *
 * Locking and IRQL. The queue's own spin lock; <= DISPATCH_LEVEL. It is the driver's structure, so it ranks nowhere.
 */
#include "kernel/ke/devqueue.h"

#include "kernel/ke/spinlock.h"

VOID NTAPI KeInitializeDeviceQueue(PKDEVICE_QUEUE DeviceQueue)
{
    RtlZeroMemory(DeviceQueue, sizeof(*DeviceQueue));
    DeviceQueue->Type = IO_TYPE_DEVICE_QUEUE;
    DeviceQueue->Size = sizeof(*DeviceQueue);
    InitializeListHead(&DeviceQueue->DeviceListHead);
}

/* Insert before Next, unless the device is idle. */
static BOOLEAN KiInsertIfBusy(KDEVICE_QUEUE *Queue, KDEVICE_QUEUE_ENTRY *Entry, LIST_ENTRY *Next)
{
    BOOLEAN isBusy = Queue->Busy;
    Entry->Inserted = isBusy;
    if (isBusy) {
        InsertTailList(Next, &Entry->DeviceListEntry);
    }
    Queue->Busy = TRUE;
    return isBusy;
}

BOOLEAN NTAPI KeInsertDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry)
{
    KIRQL   irql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    BOOLEAN inserted = KiInsertIfBusy(DeviceQueue, DeviceQueueEntry, &DeviceQueue->DeviceListHead);
    KeReleaseSpinLock(&DeviceQueue->Lock, irql);
    return inserted;
}

static KDEVICE_QUEUE_ENTRY *KiQueueEntryOf(LIST_ENTRY *Link)
{
    return CONTAINING_RECORD(Link, KDEVICE_QUEUE_ENTRY, DeviceListEntry);
}

/* Behind all entries of the same key. */
BOOLEAN NTAPI KeInsertByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry, ULONG SortKey)
{
    KIRQL       irql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    LIST_ENTRY *head = &DeviceQueue->DeviceListHead;
    LIST_ENTRY *next = head->Flink;
    while (next != head && KiQueueEntryOf(next)->SortKey <= SortKey) {
        next = next->Flink;
    }
    DeviceQueueEntry->SortKey = SortKey;
    BOOLEAN inserted = KiInsertIfBusy(DeviceQueue, DeviceQueueEntry, next);
    KeReleaseSpinLock(&DeviceQueue->Lock, irql);
    return inserted;
}

/* Take the first entry whose key is at least SortKey, or else the first. */
static KDEVICE_QUEUE_ENTRY *KiTakeEntry(KDEVICE_QUEUE *Queue, ULONG SortKey)
{
    LIST_ENTRY *head = &Queue->DeviceListHead;
    if (IsListEmpty(head)) {
        Queue->Busy = FALSE;
        return NULL;
    }
    LIST_ENTRY *link = head->Flink;
    while (link != head && KiQueueEntryOf(link)->SortKey < SortKey) {
        link = link->Flink;
    }
    KDEVICE_QUEUE_ENTRY *entry = KiQueueEntryOf(link == head ? head->Flink : link);
    RemoveEntryList(&entry->DeviceListEntry);
    entry->Inserted = FALSE;
    return entry;
}

PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueue(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey)
{
    KIRQL                irql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    KDEVICE_QUEUE_ENTRY *entry = KiTakeEntry(DeviceQueue, SortKey);
    KeReleaseSpinLock(&DeviceQueue->Lock, irql);
    return entry;
}

PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveDeviceQueue(PKDEVICE_QUEUE DeviceQueue)
{
    return KeRemoveByKeyDeviceQueue(DeviceQueue, 0); /* no key is below 0: the first */
}

PKDEVICE_QUEUE_ENTRY NTAPI KeRemoveByKeyDeviceQueueIfBusy(PKDEVICE_QUEUE DeviceQueue, ULONG SortKey)
{
    return KeRemoveByKeyDeviceQueue(DeviceQueue, SortKey);
}

/* => FALSE: it was not queued. */
BOOLEAN NTAPI KeRemoveEntryDeviceQueue(PKDEVICE_QUEUE DeviceQueue, PKDEVICE_QUEUE_ENTRY DeviceQueueEntry)
{
    KIRQL   irql = KeAcquireSpinLockRaiseToDpc(&DeviceQueue->Lock);
    BOOLEAN removed = DeviceQueueEntry->Inserted;
    if (removed) {
        RemoveEntryList(&DeviceQueueEntry->DeviceListEntry);
        DeviceQueueEntry->Inserted = FALSE;
    }
    KeReleaseSpinLock(&DeviceQueue->Lock, irql);
    return removed;
}
