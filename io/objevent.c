/*
 * Events by handle, and waiting by handle.
 *
 * The body of most objects that can be waited for begins with its dispatcher header; a file is waited for by its event.
 */
#include "io/objevent.h"

#include "io/namespace.h"
#include "io/object.h"
#include "kernel/ke/lock.h"

PVOID ObpWaitableOf(PVOID Object)
{
    const OBJECT_TYPE *type = ObpHeaderOf(Object)->Type;
    if (type == &ObpFileType) {
        return &((FILE_OBJECT *)Object)->Event;
    }
    bool isWaitable = type == &ObpEventType || type == &ObpThreadType || type == &ObpProcessType ||
                      type == &ObpSemaphoreType || type == &ObpMutantType || type == &ObpTimerType;
    return isWaitable ? Object : NULL;
}

NTSTATUS NTAPI ZwWaitForSingleObject(HANDLE Handle, BOOLEAN Alertable, PLARGE_INTEGER Timeout)
{
    IRQL_MAX(APC_LEVEL);
    PVOID    object;
    NTSTATUS status = ObReferenceObjectByHandle(Handle, SYNCHRONIZE, NULL, KernelMode, &object, NULL);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    PVOID waitable = ObpWaitableOf(object);
    status = waitable == NULL ? STATUS_OBJECT_TYPE_MISMATCH
                              : KeWaitForSingleObject(waitable, UserRequest, KernelMode, Alertable, Timeout);
    ObfDereferenceObject(object);
    return status;
}

/* Make an event under the name of Attributes, or referencing the one there; *Event is referenced. */
static NTSTATUS ObpMakeEvent(PCUNICODE_STRING Name, EVENT_TYPE EventType, BOOLEAN InitialState, PVOID *Event)
{
    NTSTATUS status = ObpCreateObject(&ObpEventType, sizeof(KEVENT), Event);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    KeInitializeEvent(*Event, EventType, InitialState);
    if (Name != NULL && Name->Length != 0) {
        status = ObpInsertName(*Event, Name);
        if (!NT_SUCCESS(status)) {
            ObfDereferenceObject(*Event);
        }
    }
    return status;
}

/* A handle for a new object; the object goes with the handle, or at once when there is none. */
static NTSTATUS ObpGiveHandle(PVOID Object, ACCESS_MASK Access, PHANDLE Handle)
{
    NTSTATUS status = ObpCreateHandle(Object, Access, Handle);
    if (!NT_SUCCESS(status)) {
        ObpRemoveName(Object);
    }
    ObfDereferenceObject(Object);
    return status;
}

NTSTATUS NTAPI ZwCreateEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                             EVENT_TYPE EventType, BOOLEAN InitialState)
{
    IRQL_MAX(APC_LEVEL);
    PVOID            event;
    PCUNICODE_STRING name = ObjectAttributes != NULL ? ObjectAttributes->ObjectName : NULL;
    NTSTATUS         status = ObpMakeEvent(name, EventType, InitialState, &event);
    return NT_SUCCESS(status) ? ObpGiveHandle(event, DesiredAccess, EventHandle) : status;
}

NTSTATUS NTAPI ZwSetEvent(HANDLE EventHandle, PLONG PreviousState)
{
    PVOID    event;
    NTSTATUS status = ObReferenceObjectByHandle(EventHandle, EVENT_MODIFY_STATE, &ObpEventType, KernelMode, &event,
                                                NULL);
    if (NT_SUCCESS(status)) {
        LONG previous = KeSetEvent(event, IO_NO_INCREMENT, FALSE);
        if (PreviousState != NULL) {
            *PreviousState = previous;
        }
        ObfDereferenceObject(event);
    }
    return status;
}
