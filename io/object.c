/*
 * Object headers, reference counts, types and the system's handle table; object.h states the contract.
 */
#include "io/object.h"

#include "io/namespace.h"
#include "kernel/ke/lock.h"
#include "mm/space.h"

#define OBP_POOL_TAG          'jbOP' /* "PObj" */
#define OBP_HANDLES_PER_CHUNK 256u
#define OBP_CHUNKS            64u
#define OBP_INITIAL_CHUNKS    4u /* made at boot: most runs never grow the table */
#define OBP_MAX_HANDLES       (OBP_HANDLES_PER_CHUNK * OBP_CHUNKS)
#define OBP_HANDLE_BITS       0xFFFFFFFF80000000ull /* in every handle, as in NT's kernel handles */
#define OBP_NO_ENTRY          MAXULONG

OBP_TYPE(ObpThreadType, "Thread", NULL);
OBP_TYPE(ObpProcessType, "Process", NULL);
OBP_TYPE(ObpFileType, "File", NULL);
OBP_TYPE(ObpEventType, "Event", NULL);
OBP_TYPE(ObpSemaphoreType, "Semaphore", NULL);
OBP_TYPE(ObpMutantType, "Mutant", NULL);
OBP_TYPE(ObpTimerType, "Timer", NULL);

/*
 * What drivers import: the export PsThreadType is the variable ObpThreadTypeExport, and so on (io/exports.def). The
 * kernel's own references go through the driver kit's declarations, which see the variable by its address.
 */
POBJECT_TYPE ObpThreadTypeExport = &ObpThreadType;
POBJECT_TYPE ObpProcessTypeExport = &ObpProcessType;
POBJECT_TYPE ObpDriverTypeExport = &ObpDriverType;
POBJECT_TYPE ObpDeviceTypeExport = &ObpDeviceType;
POBJECT_TYPE ObpFileTypeExport = &ObpFileType;
POBJECT_TYPE ObpEventTypeExport = &ObpEventType;
POBJECT_TYPE ObpSemaphoreTypeExport = &ObpSemaphoreType;

POBJECT_TYPE *PsThreadType = &ObpThreadTypeExport;
POBJECT_TYPE *PsProcessType = &ObpProcessTypeExport;
POBJECT_TYPE *IoFileObjectType = &ObpFileTypeExport;
POBJECT_TYPE *ExEventObjectType = &ObpEventTypeExport;
POBJECT_TYPE *ExSemaphoreObjectType = &ObpSemaphoreTypeExport;

typedef struct _OBP_HANDLE_ENTRY {
    PVOID       Object; /* NULL: free */
    ACCESS_MASK Access;
    ULONG       NextFree;
} OBP_HANDLE_ENTRY;

/* Guarded by ObpHandleLock. */
static KI_LOCK           ObpHandleLock = KI_LOCK_INIT(LOCK_OBJECT);
static OBP_HANDLE_ENTRY *ObpHandleChunks[OBP_CHUNKS];
static ULONG             ObpFirstFreeHandle = OBP_NO_ENTRY;
static ULONG             ObpHandleChunkCount;

static OBJECT_HEADER ObpSystemProcessHeader = { .PointerCount = 1, .Type = &ObpProcessType };

/* Objects to delete at PASSIVE_LEVEL: pushed by anyone, taken whole by the work item. */
static OBJECT_HEADER *volatile ObpDeferred;
static WORK_QUEUE_ITEM ObpDeferredWork;

OBJECT_HEADER *ObpHeaderOf(const void *Object)
{
    if (Object == &MiSystemProcess) {
        return &ObpSystemProcessHeader;
    }
    return (OBJECT_HEADER *)(ULONG_PTR)Object - 1;
}

void ObpDescribeEmbedded(PVOID Object, OBJECT_TYPE *Type)
{
    *ObpHeaderOf(Object) = (OBJECT_HEADER){ .PointerCount = 1, .Type = Type };
}

static PVOID ObpBodyOf(OBJECT_HEADER *Header)
{
    return Header + 1;
}

NTSTATUS ObpCreateObject(POBJECT_TYPE Type, SIZE_T BodyBytes, PVOID *Object)
{
    OBJECT_HEADER *header = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*header) + BodyBytes, OBP_POOL_TAG);
    if (header == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(header, sizeof(*header) + BodyBytes);
    header->PointerCount = 1;
    header->Type = Type;
    _InterlockedIncrement(&Type->ObjectCount);
    *Object = ObpBodyOf(header);
    return STATUS_SUCCESS;
}

static void ObpDeleteObject(OBJECT_HEADER *Header)
{
    OBJECT_TYPE *type = Header->Type;
    if (type->Delete != NULL) {
        type->Delete(ObpBodyOf(Header));
    }
    _InterlockedDecrement(&type->ObjectCount);
    ExFreePoolWithTag(Header, OBP_POOL_TAG);
}

static VOID NTAPI ObpDeleteDeferred(PVOID Parameter)
{
    UNREFERENCED_PARAMETER(Parameter);
    OBJECT_HEADER *header = _InterlockedExchangePointer((PVOID volatile *)&ObpDeferred, NULL);
    while (header != NULL) {
        OBJECT_HEADER *next = header->NextDeferred;
        ObpDeleteObject(header);
        header = next;
    }
}

/* Whoever makes the list non-empty queues the work item: its previous run had emptied the list, so it is idle. */
static void ObpDeferDeletion(OBJECT_HEADER *Header)
{
    OBJECT_HEADER *first;
    do {
        first = ObpDeferred;
        Header->NextDeferred = first;
    } while (_InterlockedCompareExchangePointer((PVOID volatile *)&ObpDeferred, Header, first) != first);
    if (first == NULL) {
        ExQueueWorkItem(&ObpDeferredWork, DelayedWorkQueue);
    }
}

LONG_PTR FASTCALL ObfReferenceObject(PVOID Object)
{
    OBJECT_HEADER *header = ObpHeaderOf(Object);
    LONG64         count = _InterlockedIncrement64(&header->PointerCount);
    if (count <= 1) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)count);
    }
    return (LONG_PTR)count;
}

LONG_PTR FASTCALL ObfDereferenceObject(PVOID Object)
{
    OBJECT_HEADER *header = ObpHeaderOf(Object);
    LONG64         count = _InterlockedDecrement64(&header->PointerCount);
    if (count < 0 || (count == 0 && header->HandleCount != 0)) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)count);
    }
    if (count == 0) {
        if (KeGetCurrentIrql() == PASSIVE_LEVEL) {
            ObpDeleteObject(header);
        } else {
            ObpDeferDeletion(header);
        }
    }
    return (LONG_PTR)count;
}

VOID NTAPI ObDereferenceObjectDeferDelete(PVOID Object)
{
    OBJECT_HEADER *header = ObpHeaderOf(Object);
    LONG64         count = _InterlockedDecrement64(&header->PointerCount);
    if (count < 0) {
        KeBugCheckEx(REFERENCE_BY_POINTER, (ULONG_PTR)header->Type, (ULONG_PTR)Object, 0, (ULONG_PTR)count);
    }
    if (count == 0) {
        ObpDeferDeletion(header);
    }
}

/* A kernel-mode caller may leave ObjectType NULL: any type will do. */
static bool ObpTypeMatches(const void *Object, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode)
{
    return ObjectType == NULL ? AccessMode == KernelMode : ObpHeaderOf(Object)->Type == ObjectType;
}

NTSTATUS NTAPI ObReferenceObjectByPointer(PVOID Object, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                          KPROCESSOR_MODE AccessMode)
{
    UNREFERENCED_PARAMETER(DesiredAccess);
    if (!ObpTypeMatches(Object, ObjectType, AccessMode)) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ObfReferenceObject(Object);
    return STATUS_SUCCESS;
}

/* Add a chunk of free entries. */
static NTSTATUS ObpGrowHandleTableLocked(void)
{
    if (ObpHandleChunkCount == OBP_CHUNKS) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    SIZE_T            byteCount = OBP_HANDLES_PER_CHUNK * sizeof(OBP_HANDLE_ENTRY);
    OBP_HANDLE_ENTRY *chunk = ExAllocatePoolWithTag(NonPagedPoolNx, byteCount, OBP_POOL_TAG);
    if (chunk == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(chunk, byteCount);
    ULONG first = ObpHandleChunkCount * OBP_HANDLES_PER_CHUNK;
    for (ULONG index = 0; index < OBP_HANDLES_PER_CHUNK; index++) {
        chunk[index].NextFree = index + 1 < OBP_HANDLES_PER_CHUNK ? first + index + 1 : ObpFirstFreeHandle;
    }
    ObpHandleChunks[ObpHandleChunkCount++] = chunk;
    ObpFirstFreeHandle = first;
    return STATUS_SUCCESS;
}

static OBP_HANDLE_ENTRY *ObpHandleEntryLocked(ULONG Index)
{
    return &ObpHandleChunks[Index / OBP_HANDLES_PER_CHUNK][Index % OBP_HANDLES_PER_CHUNK];
}

NTSTATUS ObpCreateHandle(PVOID Object, ACCESS_MASK Access, PHANDLE Handle)
{
    KIRQL    irql = KiAcquireLock(&ObpHandleLock);
    NTSTATUS status = ObpFirstFreeHandle == OBP_NO_ENTRY ? ObpGrowHandleTableLocked() : STATUS_SUCCESS;
    if (NT_SUCCESS(status)) {
        ULONG             index = ObpFirstFreeHandle;
        OBP_HANDLE_ENTRY *entry = ObpHandleEntryLocked(index);
        ObpFirstFreeHandle = entry->NextFree;
        *entry = (OBP_HANDLE_ENTRY){ .Object = Object, .Access = Access };
        ObfReferenceObject(Object);
        _InterlockedIncrement(&ObpHeaderOf(Object)->HandleCount);
        *Handle = (HANDLE)(OBP_HANDLE_BITS | ((ULONG64)(index + 1) << 2));
    }
    KiReleaseLock(&ObpHandleLock, irql);
    return status;
}

/* The entry in use of a handle, or NULL. The two lowest bits of a handle are the caller's to use. */
static OBP_HANDLE_ENTRY *ObpFindHandleLocked(HANDLE Handle, ULONG *Index)
{
    ULONG64 number = ((ULONG64)Handle & ~OBP_HANDLE_BITS) >> 2;
    if (((ULONG64)Handle & OBP_HANDLE_BITS) != OBP_HANDLE_BITS || number == 0 ||
        number > (ULONG64)ObpHandleChunkCount * OBP_HANDLES_PER_CHUNK) {
        return NULL;
    }
    *Index = (ULONG)number - 1;
    OBP_HANDLE_ENTRY *entry = ObpHandleEntryLocked(*Index);
    return entry->Object == NULL ? NULL : entry;
}

/* Reference what a handle stands for, the pseudo-handles of the current process and thread included. */
static NTSTATUS ObpReferenceHandle(HANDLE Handle, OBJECT_HANDLE_INFORMATION *Information, PVOID *Object)
{
    *Information = (OBJECT_HANDLE_INFORMATION){ .GrantedAccess = GENERIC_ALL };
    if (Handle == NtCurrentProcess() || Handle == NtCurrentThread()) {
        *Object = Handle == NtCurrentThread() ? (PVOID)KeGetCurrentThread() : (PVOID)MiCurrentProcess();
        ObfReferenceObject(*Object);
        return STATUS_SUCCESS;
    }
    ULONG                   index;
    KIRQL                   irql = KiAcquireLock(&ObpHandleLock);
    const OBP_HANDLE_ENTRY *entry = ObpFindHandleLocked(Handle, &index);
    if (entry != NULL) {
        *Object = entry->Object;
        Information->GrantedAccess = entry->Access;
        ObfReferenceObject(entry->Object);
    }
    KiReleaseLock(&ObpHandleLock, irql);
    return entry != NULL ? STATUS_SUCCESS : STATUS_INVALID_HANDLE;
}

NTSTATUS NTAPI ObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                         KPROCESSOR_MODE AccessMode, PVOID *Object,
                                         POBJECT_HANDLE_INFORMATION HandleInformation)
{
    OBJECT_HANDLE_INFORMATION information;
    PVOID                     object;
    *Object = NULL;
    NTSTATUS status = ObpReferenceHandle(Handle, &information, &object);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (ObjectType != NULL && ObpHeaderOf(object)->Type != ObjectType) {
        status = STATUS_OBJECT_TYPE_MISMATCH;
    } else if (AccessMode != KernelMode && (DesiredAccess & ~information.GrantedAccess) != 0 &&
               information.GrantedAccess != GENERIC_ALL) {
        status = STATUS_ACCESS_DENIED;
    }
    if (!NT_SUCCESS(status)) {
        ObfDereferenceObject(object);
        return status;
    }
    if (HandleInformation != NULL) {
        *HandleInformation = information;
    }
    *Object = object;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI ObReferenceObjectByHandleWithTag(HANDLE Handle, ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType,
                                                KPROCESSOR_MODE AccessMode, ULONG Tag, PVOID *Object,
                                                POBJECT_HANDLE_INFORMATION HandleInformation)
{
    UNREFERENCED_PARAMETER(Tag);
    return ObReferenceObjectByHandle(Handle, DesiredAccess, ObjectType, AccessMode, Object, HandleInformation);
}

NTSTATUS NTAPI ObOpenObjectByPointer(PVOID Object, ULONG HandleAttributes, PACCESS_STATE PassedAccessState,
                                     ACCESS_MASK DesiredAccess, POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                     PHANDLE Handle)
{
    UNREFERENCED_PARAMETER(HandleAttributes);
    UNREFERENCED_PARAMETER(PassedAccessState);
    if (!ObpTypeMatches(Object, ObjectType, AccessMode)) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    return ObpCreateHandle(Object, DesiredAccess, Handle);
}

NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode)
{
    UNREFERENCED_PARAMETER(PreviousMode);
    if (Handle == NtCurrentProcess() || Handle == NtCurrentThread()) {
        return STATUS_SUCCESS;
    }
    ULONG             index;
    PVOID             object = NULL;
    bool              isLast = false;
    KIRQL             irql = KiAcquireLock(&ObpHandleLock);
    OBP_HANDLE_ENTRY *entry = ObpFindHandleLocked(Handle, &index);
    if (entry != NULL) {
        object = entry->Object;
        *entry = (OBP_HANDLE_ENTRY){ .NextFree = ObpFirstFreeHandle };
        ObpFirstFreeHandle = index;
        isLast = _InterlockedDecrement(&ObpHeaderOf(object)->HandleCount) == 0;
    }
    KiReleaseLock(&ObpHandleLock, irql);
    if (object == NULL) {
        return STATUS_INVALID_HANDLE;
    }
    const OBJECT_TYPE *type = ObpHeaderOf(object)->Type;
    if (isLast && type->Close != NULL) {
        type->Close(object);
    }
    ObfDereferenceObject(object);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI ZwClose(HANDLE Handle)
{
    return ObCloseHandle(Handle, KernelMode);
}

NTSTATUS NTAPI NtClose(HANDLE Handle)
{
    return ObCloseHandle(Handle, ExGetPreviousMode());
}

void ObpInitialize(void)
{
    ObpEventType.Close = ObpRemoveName; /* an event's name lasts as long as its handles */
    ExInitializeWorkItem(&ObpDeferredWork, ObpDeleteDeferred, NULL);
    KIRQL    irql = KiAcquireLock(&ObpHandleLock);
    NTSTATUS status = STATUS_SUCCESS;
    while (NT_SUCCESS(status) && ObpHandleChunkCount < OBP_INITIAL_CHUNKS) {
        status = ObpGrowHandleTableLocked();
    }
    KiReleaseLock(&ObpHandleLock, irql);
    if (!NT_SUCCESS(status)) {
        KeBugCheckEx(OBJECT_INITIALIZATION_FAILED, (ULONG_PTR)status, 0, 0, 0);
    }
    ObpInitializeNames();
}
