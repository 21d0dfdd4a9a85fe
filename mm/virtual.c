/*
 * Virtual memory of a process, as NtAllocateVirtualMemory and its kin define it.
 *
 * The book-keeping is mm/range.c's and the pages are mm/userpage.c's; here the request is checked and the two are
 * called in an order that cannot fail half-way: check under the lock, with the nodes already in hand, then change.
 * The ranges change before the pages do, so that a fault after the call finds the new state.
 *
 * Locking and IRQL. SpaceLock over each operation, in Process's own address space, which is attached to when another
 * is current.
 */
#include "mm/virtual.h"

#include "mm/range.h"
#include "mm/userpage.h"

#define MI_GRANULARITY 0x10000ull

#define MI_BASIC_PROTECTIONS \
    (PAGE_NOACCESS | PAGE_READONLY | PAGE_READWRITE | PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE)

/* A request in whole pages, with what it needs in hand. */
typedef struct _MI_REQUEST {
    ULONG64         First;
    ULONG64         End;
    ULONG           Type;
    ULONG           Protect;
    MI_SPARE_RANGES Spares;
} MI_REQUEST;

typedef NTSTATUS MI_REQUEST_ROUTINE(EPROCESS *Process, MI_REQUEST *Request);

static ULONG64 MiPageOf(ULONG64 Va)
{
    return Va & ~(ULONG64)(PAGE_SIZE - 1);
}

static bool MiIsValidProtect(ULONG Protect)
{
    ULONG basic = Protect & ~(ULONG)PAGE_GUARD;
    bool  isOne = basic != 0 && (basic & (basic - 1)) == 0 && (basic & ~(ULONG)MI_BASIC_PROTECTIONS) == 0;
    return isOne && Protect != (PAGE_NOACCESS | PAGE_GUARD);
}

/* Whole pages around [Base, Base + Bytes), which lies in user space; false: it does not. */
static bool MiSetRequestPages(MI_REQUEST *Request, ULONG64 Base, SIZE_T Bytes)
{
    if (Base >= MI_USER_END || Bytes > MI_USER_END - Base) {
        return false;
    }
    Request->First = MiPageOf(Base);
    Request->End = MiPageOf(Base + Bytes + PAGE_SIZE - 1);
    return true;
}

/* Run Routine with spares, lock and address space as it needs them. */
static NTSTATUS MiRunRequest(EPROCESS *Process, MI_REQUEST *Request, MI_REQUEST_ROUTINE *Routine)
    __attribute__((no_thread_safety_analysis)); /* Routine's lock requirement cannot be written in its type */

static NTSTATUS MiRunRequest(EPROCESS *Process, MI_REQUEST *Request, MI_REQUEST_ROUTINE *Routine)
{
    IRQL_MAX(APC_LEVEL);
    KAPC_STATE apcState;
    bool       attach = Process != MiCurrentProcess();
    if (!MiTakeSpareRanges(&Request->Spares)) {
        return STATUS_NO_MEMORY;
    }
    if (attach) {
        KeStackAttachProcess(&Process->Pcb, &apcState);
    }
    KIRQL    oldIrql = KiAcquireLock(&Process->SpaceLock);
    NTSTATUS status = Routine(Process, Request);
    KiReleaseLock(&Process->SpaceLock, oldIrql);
    if (attach) {
        KeUnstackDetachProcess(&apcState);
    }
    MiDropSpareRanges(&Request->Spares);
    return status;
}

/* The first range of [First, End), if ranges of one reservation that the process may change cover it all; else NULL. */
static MI_RANGE *MiFindReservationLocked(EPROCESS *Process, ULONG64 First, ULONG64 End) MI_SPACE_LOCK_HELD;

static MI_RANGE *MiFindReservationLocked(EPROCESS *Process, ULONG64 First, ULONG64 End)
{
    MI_RANGE *first = MiFindRangeLocked(Process, First);
    MI_RANGE *range = first;
    while (range != NULL && range->Fixed == 0 && range->AllocationBase == first->AllocationBase) {
        if (range->End >= End) {
            return first;
        }
        MI_RANGE *next = MiRangeAfterLocked(Process, range);
        range = next != NULL && next->First == range->End ? next : NULL;
    }
    return NULL;
}

static NTSTATUS MiReserveLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiReserveLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    if (Request->First == 0) {
        MI_GAP_ORDER order = (Request->Type & MEM_TOP_DOWN) != 0 ? MiGapHighest : MiGapLowest;
        Request->First = MiFindGapLocked(Process, Request->End, order);
        if (Request->First == 0) {
            return STATUS_NO_MEMORY;
        }
        Request->End += Request->First;
    } else {
        MI_RANGE *next = MiNextRangeLocked(Process, Request->First);
        if (next != NULL && next->First < Request->End) {
            return STATUS_CONFLICTING_ADDRESSES;
        }
    }
    ULONG protect = (Request->Type & MEM_COMMIT) != 0 ? Request->Protect : 0;
    MiAddRangeLocked(Process, &Request->Spares, Request->First, Request->End, protect, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS MiCommitLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiCommitLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    if (MiFindReservationLocked(Process, Request->First, Request->End) == NULL) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    MiSetRangeLocked(Process, &Request->Spares, Request->First, Request->End, Request->Protect);
    MiProtectUserPagesLocked(Process, Request->First, Request->End, Request->Protect);
    return STATUS_SUCCESS;
}

/* Fill in the pages of an allocation; a base of 0 stays 0, and End is then the length. */
static NTSTATUS MiCheckAllocation(MI_REQUEST *Request, ULONG64 Base, SIZE_T Bytes)
{
    const ULONG known = MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN;
    if ((Request->Type & ~known) != 0) {
        return STATUS_INVALID_PARAMETER_5;
    }
    if (!MiIsValidProtect(Request->Protect)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (Bytes == 0 || Bytes > MI_USER_END) {
        return STATUS_INVALID_PARAMETER_4;
    }
    if ((Request->Type & MEM_RESERVE) != 0) {
        Bytes += Base & (MI_GRANULARITY - 1);
        Base &= ~(MI_GRANULARITY - 1);
    }
    bool tooLow = Base != 0 && Base < MI_LOWEST_USER;
    return tooLow || !MiSetRequestPages(Request, Base, Bytes) ? STATUS_INVALID_PARAMETER_2 : STATUS_SUCCESS;
}

NTSTATUS MiAllocateVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Type, ULONG Protect)
{
    MI_REQUEST request = { .Type = *Base == NULL ? Type | MEM_RESERVE : Type, .Protect = Protect };
    if ((Type & (MEM_RESERVE | MEM_COMMIT)) == 0) {
        return STATUS_INVALID_PARAMETER_5;
    }
    NTSTATUS status = MiCheckAllocation(&request, (ULONG64)*Base, *Bytes);
    if (NT_SUCCESS(status)) {
        bool reserve = (request.Type & MEM_RESERVE) != 0;
        status = MiRunRequest(Process, &request, reserve ? MiReserveLocked : MiCommitLocked);
    }
    if (NT_SUCCESS(status)) {
        *Base = (PVOID)request.First;
        *Bytes = request.End - request.First;
    }
    return status;
}

/* A request of no bytes means the whole reservation, and must name its base. */
static NTSTATUS MiWidenFreeLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiWidenFreeLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    MI_RANGE *range = MiFindRangeLocked(Process, Request->First);
    if (range == NULL) {
        return STATUS_MEMORY_NOT_ALLOCATED;
    }
    if (Request->First != Request->End) {
        return STATUS_SUCCESS;
    }
    ULONG64 base = range->AllocationBase;
    if (base != Request->First) {
        return STATUS_FREE_VM_NOT_AT_BASE;
    }
    for (; range != NULL && range->AllocationBase == base; range = MiRangeAfterLocked(Process, range)) {
        Request->End = range->End;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS MiFreeLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiFreeLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    NTSTATUS status = MiWidenFreeLocked(Process, Request);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (MiFindReservationLocked(Process, Request->First, Request->End) == NULL) {
        return STATUS_UNABLE_TO_FREE_VM;
    }
    if (Request->Type == MEM_RELEASE) {
        MiCutRangeLocked(Process, &Request->Spares, Request->First, Request->End);
    } else {
        MiSetRangeLocked(Process, &Request->Spares, Request->First, Request->End, 0);
    }
    MiRemoveUserPagesLocked(Process, Request->First, Request->End);
    return STATUS_SUCCESS;
}

NTSTATUS MiFreeVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Type)
{
    MI_REQUEST request = { .Type = Type };
    if (Type != MEM_DECOMMIT && Type != MEM_RELEASE) {
        return STATUS_INVALID_PARAMETER_4;
    }
    ULONG64 base = *Bytes == 0 ? MiPageOf((ULONG64)*Base) : (ULONG64)*Base;
    if (!MiSetRequestPages(&request, base, *Bytes)) {
        return STATUS_INVALID_PARAMETER_2;
    }
    NTSTATUS status = MiRunRequest(Process, &request, MiFreeLocked);
    if (NT_SUCCESS(status)) {
        *Base = (PVOID)request.First;
        *Bytes = request.End - request.First;
    }
    return status;
}

/* Protect becomes the old protection of the first page. */
static NTSTATUS MiProtectLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiProtectLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    MI_RANGE *first = MiFindReservationLocked(Process, Request->First, Request->End);
    if (first == NULL) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    MI_RANGE *range = first;
    for (; range != NULL && range->First < Request->End; range = MiRangeAfterLocked(Process, range)) {
        if (range->Protect == 0) {
            return STATUS_NOT_COMMITTED;
        }
    }
    ULONG oldProtect = first->Protect;
    MiSetRangeLocked(Process, &Request->Spares, Request->First, Request->End, Request->Protect);
    MiProtectUserPagesLocked(Process, Request->First, Request->End, Request->Protect);
    Request->Protect = oldProtect;
    return STATUS_SUCCESS;
}

NTSTATUS MiProtectVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Protect, ULONG *OldProtect)
{
    MI_REQUEST request = { .Protect = Protect };
    if (!MiIsValidProtect(Protect)) {
        return STATUS_INVALID_PAGE_PROTECTION;
    }
    if (*Bytes == 0 || !MiSetRequestPages(&request, (ULONG64)*Base, *Bytes)) {
        return STATUS_INVALID_PARAMETER_2;
    }
    NTSTATUS status = MiRunRequest(Process, &request, MiProtectLocked);
    if (NT_SUCCESS(status)) {
        *Base = (PVOID)request.First;
        *Bytes = request.End - request.First;
        *OldProtect = request.Protect;
    }
    return status;
}

static NTSTATUS MiReserveMappingLocked(EPROCESS *Process, MI_REQUEST *Request) MI_SPACE_LOCK_HELD;

static NTSTATUS MiReserveMappingLocked(EPROCESS *Process, MI_REQUEST *Request)
{
    NTSTATUS status = MiReserveLocked(Process, Request);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    MiFindRangeLocked(Process, Request->First)->Fixed = 1;
    status = MiMakeUserTablesLocked(Process, (const void *)Request->First, (const void *)(Request->End - 1));
    if (!NT_SUCCESS(status)) {
        MiCutRangeLocked(Process, &Request->Spares, Request->First, Request->End);
    }
    return status;
}

NTSTATUS MiReserveUserMapping(EPROCESS *Process, PVOID *Va, PFN_COUNT PageCount, ULONG Protect)
{
    MI_REQUEST request = { .Type = MEM_COMMIT, .Protect = Protect };
    if (PageCount == 0 || !MiSetRequestPages(&request, (ULONG64)*Va, (SIZE_T)PageCount * PAGE_SIZE)) {
        return STATUS_CONFLICTING_ADDRESSES;
    }
    NTSTATUS status = MiRunRequest(Process, &request, MiReserveMappingLocked);
    *Va = (PVOID)request.First;
    return status;
}

VOID MiReleaseUserMapping(EPROCESS *Process, PVOID Va, PFN_COUNT PageCount)
{
    MI_SPARE_RANGES none = { 0 }; /* a whole range goes: nothing is split */
    ULONG64         end = (ULONG64)Va + (ULONG64)PageCount * PAGE_SIZE;
    KIRQL           oldIrql = KiAcquireLock(&Process->SpaceLock);
    MI_RANGE       *range = MiFindRangeLocked(Process, (ULONG64)Va);
    NT_ASSERT(range != NULL && range->Fixed != 0 && range->First == (ULONG64)Va && range->End == end);
    MiCutRangeLocked(Process, &none, (ULONG64)Va, end);
    KiReleaseLock(&Process->SpaceLock, oldIrql);
}
