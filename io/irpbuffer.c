/*
 * The data of a request; irpbuffer.h states the contract.
 *
 * What completion does about it stands in IRP.Flags: IRP_DEALLOCATE_BUFFER, the copy is pool to be freed;
 * IRP_INPUT_OPERATION, its first IoStatus.Information bytes go back to UserBuffer. A driver that claims more than the
 * caller has room for gets as much as there is, and a line in the log.
 */
#include "io/irpbuffer.h"

#include "io/mdl.h"
#include "mm/mdllock.h"
#include "mm/probe.h"

#define IOP_BUFFER_TAG 0x20206F49u /* "Io  " */

static NTSTATUS IopCopyIn(const IRP *Irp, void *To, const void *From, ULONG ByteCount)
{
    if (Irp->RequestorMode != KernelMode) {
        return MiCopyFromUser(To, From, ByteCount);
    }
    RtlCopyMemory(To, From, ByteCount);
    return STATUS_SUCCESS;
}

static NTSTATUS IopCopyOut(const IRP *Irp, void *To, const void *From, SIZE_T ByteCount)
{
    if (Irp->RequestorMode != KernelMode) {
        return MiCopyToUser(To, From, ByteCount);
    }
    RtlCopyMemory(To, From, ByteCount);
    return STATUS_SUCCESS;
}

/* Give the packet a copy of the input, long enough for the output as well. */
static NTSTATUS IopAttachCopy(IRP *Irp, const IOP_BUFFERS *Buffers)
{
    ULONG byteCount = max(Buffers->InputBytes, Buffers->OutputBytes);
    if (byteCount == 0) {
        return STATUS_SUCCESS;
    }
    void *copy = ExAllocatePoolWithTag(NonPagedPoolNx, byteCount, IOP_BUFFER_TAG);
    if (copy == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS status = IopCopyIn(Irp, copy, Buffers->Input, Buffers->InputBytes);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(copy, IOP_BUFFER_TAG);
        return status;
    }
    /* what the driver leaves unwritten and yet reports must not be what the pool held before */
    RtlZeroMemory((UCHAR *)copy + Buffers->InputBytes, byteCount - Buffers->InputBytes);
    Irp->AssociatedIrp.SystemBuffer = copy;
    Irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    if (Buffers->OutputBytes != 0) {
        Irp->Flags |= IRP_INPUT_OPERATION;
        Irp->UserBuffer = Buffers->Output;
        IopTailOf(Irp)->OutputBytes = Buffers->OutputBytes;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS IopAttachMdl(IRP *Irp, const void *Va, ULONG ByteCount, LOCK_OPERATION Operation)
{
    if (ByteCount == 0) {
        return STATUS_SUCCESS;
    }
    MDL *mdl = IoAllocateMdl((PVOID)(ULONG_PTR)Va, ByteCount, FALSE, FALSE, Irp);
    if (mdl == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    NTSTATUS status = MiProbeAndLock(mdl, Irp->RequestorMode, Operation);
    if (!NT_SUCCESS(status)) {
        IoFreeMdl(mdl);
        Irp->MdlAddress = NULL;
    }
    return status;
}

NTSTATUS IopAttachTransfer(IRP *Irp, ULONG DeviceFlags, const IOP_BUFFERS *Buffers)
{
    bool        isWrite = Buffers->InputBytes != 0;
    const void *va = isWrite ? Buffers->Input : Buffers->Output;
    ULONG       byteCount = isWrite ? Buffers->InputBytes : Buffers->OutputBytes;
    if ((DeviceFlags & DO_BUFFERED_IO) != 0) {
        return IopAttachCopy(Irp, Buffers);
    }
    if ((DeviceFlags & DO_DIRECT_IO) != 0) {
        return IopAttachMdl(Irp, va, byteCount, isWrite ? IoReadAccess : IoWriteAccess);
    }
    Irp->UserBuffer = (PVOID)(ULONG_PTR)va;
    return STATUS_SUCCESS;
}

/* The input copied, the output locked: for reading when the method says that it carries data to the device. */
static NTSTATUS IopAttachDirectControl(IRP *Irp, ULONG Method, const IOP_BUFFERS *Buffers)
{
    IOP_BUFFERS input = { .Input = Buffers->Input, .InputBytes = Buffers->InputBytes };
    NTSTATUS    status = IopAttachCopy(Irp, &input);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    LOCK_OPERATION operation = Method == METHOD_IN_DIRECT ? IoReadAccess : IoWriteAccess;
    status = IopAttachMdl(Irp, Buffers->Output, Buffers->OutputBytes, operation);
    if (!NT_SUCCESS(status)) {
        IopDetachBuffers(Irp);
    }
    return status;
}

NTSTATUS IopAttachControl(IRP *Irp, ULONG IoControlCode, const IOP_BUFFERS *Buffers)
{
    ULONG method = METHOD_FROM_CTL_CODE(IoControlCode);
    if (method == METHOD_BUFFERED) {
        return IopAttachCopy(Irp, Buffers);
    }
    if (method != METHOD_NEITHER) {
        return IopAttachDirectControl(Irp, method, Buffers);
    }
    Irp->UserBuffer = Buffers->Output;
    IoGetNextIrpStackLocation(Irp)->Parameters.DeviceIoControl.Type3InputBuffer = (PVOID)(ULONG_PTR)Buffers->Input;
    return STATUS_SUCCESS;
}

void IopUnlockMdls(const IRP *Irp)
{
    for (MDL *mdl = Irp->MdlAddress; mdl != NULL; mdl = mdl->Next) {
        MmUnlockPages(mdl);
    }
}

void IopFreeMdls(IRP *Irp)
{
    MDL *next;
    for (MDL *mdl = Irp->MdlAddress; mdl != NULL; mdl = next) {
        next = mdl->Next;
        IoFreeMdl(mdl);
    }
    Irp->MdlAddress = NULL;
}

static void IopFreeCopy(IRP *Irp)
{
    if ((Irp->Flags & IRP_DEALLOCATE_BUFFER) != 0) {
        ExFreePool(Irp->AssociatedIrp.SystemBuffer);
        Irp->AssociatedIrp.SystemBuffer = NULL;
        Irp->Flags &= ~(ULONG)(IRP_DEALLOCATE_BUFFER | IRP_INPUT_OPERATION);
    }
}

void IopDetachBuffers(IRP *Irp)
{
    IopUnlockMdls(Irp);
    IopFreeMdls(Irp);
    IopFreeCopy(Irp);
}

/* How much goes back: nothing of a request that failed. A warning's data do. */
static ULONG_PTR IopOutputBytes(const IRP *Irp)
{
    ULONG_PTR wanted = NT_ERROR(Irp->IoStatus.Status) ? 0 : Irp->IoStatus.Information;
    ULONG     room = IopTailOf(Irp)->OutputBytes;
    if (wanted > room) {
        DbgPrint("IRP %p was completed with Information %Iu, and its caller has room for %lu bytes\n", Irp, wanted,
                 room);
        wanted = room;
    }
    return wanted;
}

NTSTATUS IopFinishBuffers(IRP *Irp)
{
    NTSTATUS status = STATUS_SUCCESS;
    if ((Irp->Flags & IRP_INPUT_OPERATION) != 0 && (Irp->Flags & IRP_BUFFERED_IO) != 0) {
        status = IopCopyOut(Irp, Irp->UserBuffer, Irp->AssociatedIrp.SystemBuffer, IopOutputBytes(Irp));
    }
    IopFreeCopy(Irp);
    return status;
}
