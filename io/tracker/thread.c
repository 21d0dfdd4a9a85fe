/*
 * Tracked entries of what runs a driver's code later: system threads, timers, work items.
 *
 * A thread's record exists before the thread does, under the address of its start block, and moves to the thread's own
 * address when it starts. It goes when the start routine returns or the thread terminates itself.
 *
 * A one-shot timer's record outlives its expiry, since nothing is called then; the report leaves out timers that are
 * no longer in the queue (report.c).
 */
#include "io/tracker/entries.h"

#define VF_THREAD_TAG 'hTfV' /* "VfTh" */

typedef struct _VF_THREAD_START {
    PKSTART_ROUTINE Routine;
    PVOID           Context;
} VF_THREAD_START;

static VOID NTAPI VfStartThread(PVOID StartBlock)
{
    VF_THREAD_START start = *(VF_THREAD_START *)StartBlock;
    VfMoveRecord(VfThread, StartBlock, KeGetCurrentThread());
    ExFreePoolWithTag(StartBlock, VF_THREAD_TAG);
    start.Routine(start.Context);
    VfForget(VfThread, KeGetCurrentThread());
}

NTSTATUS NTAPI VfTrackPsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess,
                                           POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                                           PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    VF_THREAD_START *start = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*start), VF_THREAD_TAG);
    if (start == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *start = (VF_THREAD_START){ .Routine = StartRoutine, .Context = StartContext };
    VfRecord(&(VF_RESOURCE){ .Kind = VfThread, .Address = start }, VF_CALLER());
    NTSTATUS status = PsCreateSystemThread(ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle, ClientId,
                                           VfStartThread, start);
    if (!NT_SUCCESS(status)) {
        VfForget(VfThread, start);
        ExFreePoolWithTag(start, VF_THREAD_TAG);
    }
    return status;
}

NTSTATUS NTAPI VfTrackPsTerminateSystemThread(NTSTATUS ExitStatus)
{
    VfForget(VfThread, KeGetCurrentThread());
    return PsTerminateSystemThread(ExitStatus);
}

/* Recorded first: a short timer may expire, and its DPC cancel or free it, before the call returns. */
static void VfRecordTimer(const KTIMER *Timer, LONG Period, const void *Caller)
{
    VfRecord(&(VF_RESOURCE){ .Kind = VfTimer, .Address = Timer, .ByteCount = sizeof(*Timer), .Detail = (ULONG)Period },
             Caller);
}

BOOLEAN NTAPI VfTrackKeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc)
{
    VfRecordTimer(Timer, 0, VF_CALLER());
    return KeSetTimer(Timer, DueTime, Dpc);
}

BOOLEAN NTAPI VfTrackKeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)
{
    VfRecordTimer(Timer, Period, VF_CALLER());
    return KeSetTimerEx(Timer, DueTime, Period, Dpc);
}

BOOLEAN NTAPI VfTrackKeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay,
                                           PKDPC Dpc)
{
    VfRecordTimer(Timer, (LONG)Period, VF_CALLER());
    return KeSetCoalescableTimer(Timer, DueTime, Period, TolerableDelay, Dpc);
}

BOOLEAN NTAPI VfTrackKeCancelTimer(PKTIMER Timer)
{
    VfForget(VfTimer, Timer);
    return KeCancelTimer(Timer);
}

PIO_WORKITEM NTAPI VfTrackIoAllocateWorkItem(PDEVICE_OBJECT DeviceObject)
{
    PIO_WORKITEM item = IoAllocateWorkItem(DeviceObject);
    if (item != NULL) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfWorkItem, .Address = item }, VF_CALLER());
    }
    return item;
}

VOID NTAPI VfTrackIoFreeWorkItem(PIO_WORKITEM IoWorkItem)
{
    VfForget(VfWorkItem, IoWorkItem);
    IoFreeWorkItem(IoWorkItem);
}
