/*
 * Processes: the object around an address space, process ids, and the virtual-memory services for kernel callers.
 *
 * All processes are on one list, the system's first; ids are multiples of 4 and never used twice. The list holds no
 * references: who finds a process takes one unless the last is already gone, and the delete routine unlinks it.
 *
 * Locking and IRQL. PspProcessLock (LOCK_OBJECT) guards the list.
 */
#include "io/process.h"

#include "io/object.h"
#include "mm/virtual.h"

#define PSP_ID_STEP 4

PEPROCESS PsInitialSystemProcess = &MiSystemProcess;

static KI_LOCK    PspProcessLock = KI_LOCK_INIT(LOCK_OBJECT);
static LIST_ENTRY PspProcessListHead
    __attribute__((guarded_by(PspProcessLock))) = { &PspProcessListHead, &PspProcessListHead };
static ULONG_PTR PspLastId __attribute__((guarded_by(PspProcessLock)));

static void PspInsertProcess(EPROCESS *Process)
{
    KIRQL oldIrql = KiAcquireLock(&PspProcessLock);
    PspLastId += PSP_ID_STEP;
    Process->UniqueProcessId = (HANDLE)PspLastId;
    InsertTailList(&PspProcessListHead, &Process->ProcessLinks);
    KiReleaseLock(&PspProcessLock, oldIrql);
}

/* A process that never got an address space was not on the list either. */
static void PspDeleteProcess(PVOID Object)
{
    EPROCESS *process = Object;
    if (process->RootFrame == 0) {
        return;
    }
    KIRQL oldIrql = KiAcquireLock(&PspProcessLock);
    RemoveEntryList(&process->ProcessLinks);
    KiReleaseLock(&PspProcessLock, oldIrql);
    MiDeleteAddressSpace(process);
}

void PspInitializeProcesses(void)
{
    ObpProcessType.Delete = PspDeleteProcess;
    RtlCopyMemory(MiSystemProcess.ImageFileName, "System", sizeof("System"));
    PspInsertProcess(&MiSystemProcess);
    NT_ASSERT(MiSystemProcess.UniqueProcessId == (HANDLE)PSP_SYSTEM_PROCESS_ID);
}

NTSTATUS PspCreateProcess(EPROCESS **Process)
{
    PVOID    object;
    NTSTATUS status = ObpCreateObject(&ObpProcessType, sizeof(EPROCESS), &object);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = MiInitializeAddressSpace(object);
    if (!NT_SUCCESS(status)) {
        ObDereferenceObject(object);
        return status;
    }
    PspInsertProcess(object);
    *Process = object;
    return STATUS_SUCCESS;
}

/* Take a reference, unless the last one is gone and the process only waits to be unlinked. */
static bool PspReferenceLivingProcess(EPROCESS *Process)
{
    volatile LONG64 *count = &ObpHeaderOf(Process)->PointerCount;
    for (LONG64 seen = *count; seen > 0;) {
        LONG64 found = _InterlockedCompareExchange64(count, seen + 1, seen);
        if (found == seen) {
            return true;
        }
        seen = found;
    }
    return false;
}

NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS *Process)
{
    EPROCESS *found = NULL;
    KIRQL     oldIrql = KiAcquireLock(&PspProcessLock);
    for (LIST_ENTRY *links = PspProcessListHead.Flink; links != &PspProcessListHead; links = links->Flink) {
        EPROCESS *process = CONTAINING_RECORD(links, EPROCESS, ProcessLinks);
        if (process->UniqueProcessId == ProcessId && PspReferenceLivingProcess(process)) {
            found = process;
        }
    }
    KiReleaseLock(&PspProcessLock, oldIrql);
    if (found == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    *Process = found;
    return STATUS_SUCCESS;
}

HANDLE NTAPI PsGetProcessId(PEPROCESS Process)
{
    return Process->UniqueProcessId;
}

HANDLE NTAPI PsGetCurrentProcessId(VOID)
{
    return MiCurrentProcess()->UniqueProcessId;
}

PEPROCESS NTAPI IoGetCurrentProcess(VOID)
{
    return MiCurrentProcess();
}

static NTSTATUS PspReferenceProcessHandle(HANDLE ProcessHandle, EPROCESS **Process)
{
    PVOID    object;
    NTSTATUS status = ObReferenceObjectByHandle(ProcessHandle, 0, *PsProcessType, KernelMode, &object, NULL);
    if (NT_SUCCESS(status)) {
        *Process = object;
    }
    return status;
}

NTSTATUS NTAPI ZwAllocateVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, ULONG_PTR ZeroBits, PSIZE_T RegionSize,
                                       ULONG AllocationType, ULONG Protect)
{
    EPROCESS *process;
    if (ZeroBits != 0) {
        return STATUS_INVALID_PARAMETER_3;
    }
    NTSTATUS status = PspReferenceProcessHandle(ProcessHandle, &process);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = MiAllocateVirtual(process, BaseAddress, RegionSize, AllocationType, Protect);
    ObDereferenceObject(process);
    return status;
}

NTSTATUS NTAPI ZwFreeVirtualMemory(HANDLE ProcessHandle, PVOID *BaseAddress, PSIZE_T RegionSize, ULONG FreeType)
{
    EPROCESS *process;
    NTSTATUS  status = PspReferenceProcessHandle(ProcessHandle, &process);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = MiFreeVirtual(process, BaseAddress, RegionSize, FreeType);
    ObDereferenceObject(process);
    return status;
}
