/*
 * KtRunOnEachProcessor: one bound system thread a processor, all started together.
 *
 * The threads meet twice. First each binds itself to its processor, reports and waits for an event, so that nobody runs
 * while others are being created. Then, awake, they count themselves in and spin until all are there, so that their
 * first instructions overlap as closely as the machine can; that spin is bounded, since on fewer host CPUs than
 * processors it costs time and is only meant to help races along.
 */
#include "tests/lib/ktthread.h"

#include "tests/lib/ktcheck.h"

#define SPINS_MAX (1u << 16)

typedef struct _KT_TEAM {
    void (*Routine)(ULONG Index, void *Context);
    void         *Context;
    ULONG         Count; /* threads that will run; constant once Start is set, 0: run nothing */
    volatile LONG AwakeCount;
    KSEMAPHORE    Bound; /* released once by each thread that sits on its processor */
    KEVENT        Start;
} KT_TEAM;

typedef struct _KT_MEMBER {
    KT_TEAM *Team;
    PKTHREAD Thread; /* referenced */
    ULONG    Index;
} KT_MEMBER;

static void NTAPI KtMember(PVOID Context)
{
    KT_MEMBER *member = Context;
    KT_TEAM   *team = member->Team;

    KeSetSystemAffinityThread((KAFFINITY)1 << member->Index);
    KeReleaseSemaphore(&team->Bound, IO_NO_INCREMENT, 1, FALSE);
    KeWaitForSingleObject(&team->Start, Executive, KernelMode, FALSE, NULL);
    if (team->Count != 0) {
        InterlockedIncrement(&team->AwakeCount);
        for (ULONG spins = 0; spins < SPINS_MAX && (ULONG)team->AwakeCount < team->Count; spins++) {
            YieldProcessor();
        }
        team->Routine(member->Index, team->Context);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS KtStartMember(KT_MEMBER *Member)
{
    HANDLE   handle;
    NTSTATUS status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, KtMember, Member);

    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, *PsThreadType, KernelMode, (PVOID *)&Member->Thread, NULL);
    NT_ASSERT(NT_SUCCESS(status)); /* the handle is ours and new */
    ZwClose(handle);
    return status;
}

void KtRunOnEachProcessor(void (*Routine)(ULONG Index, void *Context), void *Context)
{
    KT_TEAM    team = { .Routine = Routine, .Context = Context };
    ULONG      processorCount = KeQueryActiveProcessorCount(NULL);
    ULONG      startedCount = 0;
    KT_MEMBER *members = ExAllocatePoolWithTag(NonPagedPoolNx, processorCount * sizeof(KT_MEMBER), 'maTK');

    if (members == NULL) {
        KtReport(__FILE__, __LINE__, "memory for %lu threads: got none", processorCount);
        return;
    }
    KeInitializeSemaphore(&team.Bound, 0, (LONG)processorCount);
    KeInitializeEvent(&team.Start, NotificationEvent, FALSE);
    for (; startedCount < processorCount; startedCount++) {
        members[startedCount] = (KT_MEMBER){ .Team = &team, .Index = startedCount };
        NTSTATUS status = KtStartMember(&members[startedCount]);
        if (!NT_SUCCESS(status)) {
            KtReport(__FILE__, __LINE__, "thread for processor %lu: got status 0x%08lX", startedCount, (ULONG)status);
            break;
        }
    }
    for (ULONG i = 0; i < startedCount; i++) {
        KeWaitForSingleObject(&team.Bound, Executive, KernelMode, FALSE, NULL);
    }
    team.Count = startedCount == processorCount ? startedCount : 0;
    KeSetEvent(&team.Start, IO_NO_INCREMENT, FALSE);
    for (ULONG i = 0; i < startedCount; i++) {
        KeWaitForSingleObject(members[i].Thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(members[i].Thread);
    }
    ExFreePoolWithTag(members, 'maTK');
}
