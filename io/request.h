/*
 * Requests through files: read, write, device control.
 */
#pragma once

#include "io/irpbuffer.h"

/* What the system services have in common. Pointers of a user-mode request are user addresses. */
typedef struct _IOP_REQUEST {
    HANDLE           FileHandle;
    HANDLE           Event; /* NULL: none */
    PIO_APC_ROUTINE  ApcRoutine;
    PVOID            ApcContext;
    IO_STATUS_BLOCK *IoStatusBlock;
    KPROCESSOR_MODE  Mode;
    UCHAR            MajorFunction; /* IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL */
    ACCESS_MASK      Access;        /* that the handle must grant a user */
    IOP_BUFFERS      Buffers;
    ULONG            IoControlCode;
    ULONG            Key;
    LARGE_INTEGER   *ByteOffset; /* captured; NULL: the file's own position */
} IOP_REQUEST;

/*
 * Carry out Request: when the file is synchronous, to its end; else STATUS_PENDING may come back, and the status block,
 * the event or the file, and the APC routine tell the end.
 *
 * => PASSIVE_LEVEL. The driver's status, or what stopped the request before.
 */
NTSTATUS IopRequest(const IOP_REQUEST *Request);
