/*
 * The store of ownership records: a hash table of records cut from slabs; record.h states the contract.
 *
 * The first slab is static; the others come from nonpaged pool by its bare body and are kept: the number of records at
 * one time is what the drivers under test hold at most.
 */
#include "io/tracker/record.h"

#include "kernel/ke/lock.h"
#include "mm/layout.h"

#define VF_POOL_TAG     'rTfV' /* "VfTr" */
#define VF_BUCKETS      1024u
#define VF_SLAB_RECORDS 24u /* with 160 bytes each, a slab is just under a page */
#define VF_SKIP_FRAMES  4u  /* of ours at most, between the driver and the capture */

/* Guarded by VfLock; a bucket whose links are NULL has not been used. */
static KI_LOCK    VfLock = KI_LOCK_INIT(LOCK_TRACKER);
static LIST_ENTRY VfBuckets[VF_BUCKETS];
static LIST_ENTRY VfOrder = { &VfOrder, &VfOrder };
static LIST_ENTRY VfFreeRecords = { &VfFreeRecords, &VfFreeRecords }; /* by OrderLinks */
static ULONG      VfLostCount;
static VF_RECORD  VfFirstSlab[VF_SLAB_RECORDS];
static bool       VfFirstSlabUsed;

C_ASSERT(VF_SLAB_RECORDS * sizeof(VF_RECORD) <= PAGE_SIZE);

static LIST_ENTRY *VfBucketLocked(VF_KIND Kind, const void *Address)
{
    ULONG64     hash = ((ULONG_PTR)Address >> 4) * 0x9E3779B97F4A7C15ull + (ULONG64)Kind * 0x100000001ull;
    LIST_ENTRY *bucket = &VfBuckets[(hash >> 32) % VF_BUCKETS];
    if (bucket->Flink == NULL) {
        InitializeListHead(bucket);
    }
    return bucket;
}

static VF_RECORD *VfFindLocked(VF_KIND Kind, const void *Address)
{
    const LIST_ENTRY *bucket = VfBucketLocked(Kind, Address);
    for (LIST_ENTRY *link = bucket->Flink; link != bucket; link = link->Flink) {
        VF_RECORD *record = CONTAINING_RECORD(link, VF_RECORD, HashLinks);
        if (record->Address == Address && record->Kind == Kind) {
            return record;
        }
    }
    return NULL;
}

static void VfRefillLocked(void)
{
    VF_RECORD *slab = VfFirstSlab;
    if (VfFirstSlabUsed) {
        slab = ExAllocatePoolWithTag(NonPagedPoolNx, VF_SLAB_RECORDS * sizeof(*slab), VF_POOL_TAG);
    }
    VfFirstSlabUsed = true;
    for (ULONG index = 0; slab != NULL && index < VF_SLAB_RECORDS; index++) {
        InsertTailList(&VfFreeRecords, &slab[index].OrderLinks);
    }
}

/* A record for the resource, in the table: the one that exists, or a new one; NULL when memory is out. */
static VF_RECORD *VfEnterLocked(const VF_RESOURCE *Resource)
{
    VF_RECORD *record = VfFindLocked(Resource->Kind, Resource->Address);
    if (record != NULL) {
        RemoveEntryList(&record->HashLinks);
        RemoveEntryList(&record->OrderLinks);
    } else {
        if (IsListEmpty(&VfFreeRecords)) {
            VfRefillLocked();
        }
        if (IsListEmpty(&VfFreeRecords)) {
            return NULL;
        }
        record = CONTAINING_RECORD(RemoveHeadList(&VfFreeRecords), VF_RECORD, OrderLinks);
    }
    *record = (VF_RECORD){
        .Kind = Resource->Kind,
        .Address = Resource->Address,
        .ByteCount = Resource->ByteCount,
        .Detail = Resource->Detail,
    };
    InsertTailList(VfBucketLocked(Resource->Kind, Resource->Address), &record->HashLinks);
    InsertTailList(&VfOrder, &record->OrderLinks);
    return record;
}

static void VfStore(const VF_RESOURCE *Resource, const RTLP_IMAGE *Owner, PVOID const *Frames, ULONG FrameCount)
{
    KIRQL      irql = KiAcquireLock(&VfLock);
    VF_RECORD *record = VfEnterLocked(Resource);
    if (record != NULL) {
        record->Owner = Owner;
        record->FrameCount = FrameCount;
        RtlCopyMemory(record->Frames, Frames, FrameCount * sizeof(*Frames));
    } else {
        VfLostCount++;
    }
    KiReleaseLock(&VfLock, irql);
}

/* The driver in whose name the current thread runs, or NULL. */
static const RTLP_IMAGE *VfThreadOwner(void)
{
    KIRQL            irql = KiAcquireLock(&VfLock);
    const VF_RECORD *record = VfFindLocked(VfRunningEntry, KeGetCurrentThread());
    if (record == NULL) {
        record = VfFindLocked(VfThread, KeGetCurrentThread());
    }
    const RTLP_IMAGE *owner = record == NULL ? NULL : record->Owner;
    KiReleaseLock(&VfLock, irql);
    return owner;
}

static const RTLP_IMAGE *VfFindOwner(const void *Caller, PVOID const *Frames, ULONG FrameCount)
{
    if (MiIsInRegion(Caller, MI_REGION_DRIVER_IMAGES)) {
        return RtlpFindImage(Caller);
    }
    for (ULONG index = 0; index < FrameCount; index++) {
        if (MiIsInRegion(Frames[index], MI_REGION_DRIVER_IMAGES)) {
            return RtlpFindImage(Frames[index]);
        }
    }
    return VfThreadOwner();
}

void VfRecord(const VF_RESOURCE *Resource, const void *Caller)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL) {
        return;
    }
    PVOID frames[VF_STACK_FRAMES + VF_SKIP_FRAMES];
    ULONG captured = RtlCaptureStackBackTrace(0, VF_STACK_FRAMES + VF_SKIP_FRAMES, frames, NULL);
    ULONG first = 0;
    while (first < captured && frames[first] != Caller) {
        first++;
    }
    if (first == captured) {
        first = 0; /* the walk did not pass the caller: keep what it saw */
    }
    ULONG count = captured - first < VF_STACK_FRAMES ? captured - first : VF_STACK_FRAMES;
    VfStore(Resource, VfFindOwner(Caller, frames + first, count), frames + first, count);
}

void VfRecordFor(const VF_RESOURCE *Resource, const RTLP_IMAGE *Owner)
{
    VfStore(Resource, Owner, NULL, 0);
}

bool VfForget(VF_KIND Kind, const void *Address)
{
    if (KeGetCurrentIrql() > DISPATCH_LEVEL) {
        return false;
    }
    KIRQL      irql = KiAcquireLock(&VfLock);
    VF_RECORD *record = VfFindLocked(Kind, Address);
    if (record != NULL) {
        RemoveEntryList(&record->HashLinks);
        RemoveEntryList(&record->OrderLinks);
        InsertTailList(&VfFreeRecords, &record->OrderLinks);
    }
    KiReleaseLock(&VfLock, irql);
    return record != NULL;
}

void VfMoveRecord(VF_KIND Kind, const void *From, const void *To)
{
    KIRQL      irql = KiAcquireLock(&VfLock);
    VF_RECORD *record = VfFindLocked(Kind, From);
    if (record != NULL) {
        RemoveEntryList(&record->HashLinks);
        record->Address = To;
        InsertTailList(VfBucketLocked(Kind, To), &record->HashLinks);
    }
    KiReleaseLock(&VfLock, irql);
}

void VfTakeRecords(const RTLP_IMAGE *Owner, LIST_ENTRY *List)
{
    InitializeListHead(List);
    KIRQL irql = KiAcquireLock(&VfLock);
    for (LIST_ENTRY *link = VfOrder.Flink; link != &VfOrder;) {
        VF_RECORD *record = CONTAINING_RECORD(link, VF_RECORD, OrderLinks);
        link = link->Flink;
        if (record->Owner == Owner && record->Kind != VfRunningEntry) {
            RemoveEntryList(&record->HashLinks);
            RemoveEntryList(&record->OrderLinks);
            InsertTailList(List, &record->OrderLinks);
        }
    }
    KiReleaseLock(&VfLock, irql);
}

void VfFreeRecord(VF_RECORD *Record)
{
    KIRQL irql = KiAcquireLock(&VfLock);
    InsertTailList(&VfFreeRecords, &Record->OrderLinks);
    KiReleaseLock(&VfLock, irql);
}

ULONG VfTakeLostCount(void)
{
    KIRQL irql = KiAcquireLock(&VfLock);
    ULONG count = VfLostCount;
    VfLostCount = 0;
    KiReleaseLock(&VfLock, irql);
    return count;
}
