/*
 * Ownership: what each driver has taken and not given back.
 *
 * A tracked entry (entries.h: VfTrack...) stands between a driver and a bare body. When the body has given
 * something, the entry records it; before the body takes it back, the entry forgets it. In this order another CPU can
 * be given the same address only while no record of it exists. A record of the same kind and address replaces the
 * former, which was given back on a path that drivers do not call.
 *
 * Owner: the driver image that the entry returns into. Where a tail call hides it, the first driver frame on the stack;
 * where there is none, the driver in whose name the thread runs (its DriverEntry, DriverUnload or system thread).
 *
 * Locking and IRQL: VfLock (LOCK_TRACKER) guards everything; callable to DISPATCH_LEVEL. Above it the bare body's own
 * checks are the judge, so nothing is recorded or forgotten. A record that finds no memory is counted as lost.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/rtl/image.h"

typedef enum _VF_KIND {
    VfPoolBlock, /* Detail: tag */
    VfMdl,       /* Address: the MDL; ByteCount: what it describes */
    VfLockedMdl, /* Address: the MDL */
    VfMdlPages,  /* Address: the MDL that MmAllocatePagesForMdl made */
    VfMapping,   /* Address: page-aligned; Detail: the MDL, 0 for device memory */
    VfDevice,
    VfSymbolicLink, /* Address: the link object, referenced by its name */
    VfThread,       /* Address: the thread */
    VfTimer,        /* Detail: period in ms */
    VfWorkItem,
    VfRunningEntry, /* Address: the thread that runs DriverEntry or DriverUnload. Never a leak */
    VF_KIND_COUNT
} VF_KIND;

#define VF_STACK_FRAMES 12u

typedef struct _VF_RECORD {
    LIST_ENTRY        HashLinks;
    LIST_ENTRY        OrderLinks; /* of all records, oldest first; of a list that VfTakeRecords made */
    VF_KIND           Kind;
    ULONG             FrameCount;
    const void       *Address;
    SIZE_T            ByteCount;
    ULONG64           Detail;
    const RTLP_IMAGE *Owner;                   /* NULL: no driver could be found; loaded while the record lives */
    PVOID             Frames[VF_STACK_FRAMES]; /* return addresses, the driver's first */
} VF_RECORD;

/* What is to be recorded. */
typedef struct _VF_RESOURCE {
    VF_KIND     Kind;
    const void *Address;
    SIZE_T      ByteCount;
    ULONG64     Detail;
} VF_RESOURCE;

/* Caller is the tracked entry's return address. */
void VfRecord(const VF_RESOURCE *Resource, const void *Caller);

/* Record in the name of Owner, whoever calls. */
void VfRecordFor(const VF_RESOURCE *Resource, const RTLP_IMAGE *Owner);

/* => false when there was no record. */
bool VfForget(VF_KIND Kind, const void *Address);

/* The resource goes on under another address; nothing happens when there was no record. */
void VfMoveRecord(VF_KIND Kind, const void *From, const void *To);

/* Move Owner's records, in order, to List; running entries stay. NULL: those without an owner. */
void VfTakeRecords(const RTLP_IMAGE *Owner, LIST_ENTRY *List);

/* Give a taken record back to the store. */
void VfFreeRecord(VF_RECORD *Record);

/* How many records found no memory since the last call. */
ULONG VfTakeLostCount(void);
