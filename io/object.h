/*
 * Objects: reference-counted bodies with a type, and handles to them. Names are io/namespace.h.
 *
 * Representation. A header lies in front of each body; a pointer to an object is a pointer to its body. Handles are
 * the system's: multiples of 4 with the upper bits set, as NT's kernel handles are.
 *
 * Invariants.
 *  - PointerCount counts pointers: one for each handle and one for a name among them. At 0 the type's delete routine
 *    runs and the memory goes; nobody can find the object any more by then. A count that falls below 0, or rises from
 *    0, is bug check 0x18, REFERENCE_BY_POINTER.
 *  - The system process is an object whose body lies elsewhere (mm/space.c); it is never deleted.
 *
 * Locking and IRQL: counts are atomic. ObpHandleLock (LOCK_OBJECT) guards the handle table. The delete routine always
 * runs at PASSIVE_LEVEL without locks: from a work item, when the last reference goes at a higher IRQL.
 */
#pragma once

#include "kernel/ddk.h"

struct _OBP_NAME;

/*
 * TypeList is an empty list, so that its first word is the type's own address: clang with mingw-w64's headers reads
 * *PsThreadType through the import once more than Microsoft's compiler does, and gets the same value.
 */
typedef struct _OBJECT_TYPE {
    LIST_ENTRY  TypeList;
    const char *Name;
    void (*Delete)(PVOID Object); /* may be NULL; lets go of what the body refers to, not of the body */
    void (*Close)(PVOID Object);  /* may be NULL; the last handle is closed. PASSIVE_LEVEL */
    volatile LONG ObjectCount;
} OBJECT_TYPE;

/* Define a type where its delete routine stands. */
#define OBP_TYPE(Variable, NameOf, DeleteOf)                                             \
    OBJECT_TYPE Variable = { .TypeList = { &(Variable).TypeList, &(Variable).TypeList }, \
                             .Name = (NameOf),                                           \
                             .Delete = (DeleteOf) }

typedef struct _OBJECT_HEADER {
    volatile LONG64        PointerCount;
    volatile LONG          HandleCount;
    ULONG                  Reserved;
    OBJECT_TYPE           *Type;
    struct _OBP_NAME      *Name;         /* guarded by the name space's lock */
    struct _OBJECT_HEADER *NextDeferred; /* while it waits for deletion at PASSIVE_LEVEL */
    ULONG64                Reserved2;
} OBJECT_HEADER;

C_ASSERT(sizeof(OBJECT_HEADER) % MEMORY_ALLOCATION_ALIGNMENT == 0);

extern OBJECT_TYPE ObpDirectoryType;    /* io/namespace.c */
extern OBJECT_TYPE ObpSymbolicLinkType; /* io/namespace.c */
extern OBJECT_TYPE ObpDriverType;       /* io/driver.c */
extern OBJECT_TYPE ObpDeviceType;       /* io/device.c */
extern OBJECT_TYPE ObpThreadType;       /* Delete of these two is set by whoever makes threads and processes */
extern OBJECT_TYPE ObpProcessType;
extern OBJECT_TYPE ObpFileType; /* Delete and Close are set by io/file.c */
extern OBJECT_TYPE ObpEventType;
extern OBJECT_TYPE ObpSemaphoreType;
extern OBJECT_TYPE ObpMutantType;
extern OBJECT_TYPE ObpTimerType;

/* Prepare handles and names. Once, at boot, after pool. */
void ObpInitialize(void);

/*
 * Make the header of a body that lies in memory of its own, sizeof(OBJECT_HEADER) bytes in front of it: with one
 * reference, which nobody gives up. For what exists before the pool.
 */
void ObpDescribeEmbedded(PVOID Object, OBJECT_TYPE *Type);

/* The header of an object. Any IRQL. */
OBJECT_HEADER *ObpHeaderOf(const void *Object);

/*
 * Make an object of BodyBytes zeroed bytes in nonpaged pool, 16-aligned, with one reference, the caller's.
 *
 * => IRQL <= DISPATCH_LEVEL; STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS ObpCreateObject(POBJECT_TYPE Type, SIZE_T BodyBytes, PVOID *Object);

/* Make a handle, which holds a reference of its own. => IRQL <= DISPATCH_LEVEL; STATUS_INSUFFICIENT_RESOURCES. */
NTSTATUS ObpCreateHandle(PVOID Object, ACCESS_MASK Access, PHANDLE Handle);

/* mingw-w64's headers lack this one. (nf-ntifs-obclosehandle.md) */
NTSTATUS NTAPI ObCloseHandle(HANDLE Handle, KPROCESSOR_MODE PreviousMode);
