/*
 * Page faults below DISPATCH_LEVEL.
 *
 *     address        entry                      outcome
 *     user           not present, or forbids    the process's ranges decide: mm/userpage.c
 *     user           permits; kernel fetches    0xFC: SMEP refuses the kernel user code
 *     user           permits; AC clear          0x50, type 0xF: SMAP refuses the kernel the access
 *     kernel         permits                    a stale translation: again
 *     kernel         present, read-only         0xBE
 *     kernel         present, no-execute        0xFC
 *     paged pool     demand zero                a page
 *     kernel         anything else              0x50
 *
 * From ring 3 a kernel address is STATUS_ACCESS_VIOLATION whatever stands there.
 *
 * Locking and IRQL. Entries of system space are read without a lock, and a demand-zero one is replaced by an
 * interlocked exchange.
 */
#include "mm/fault.h"

#include "kernel/amd64/cpu.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/tlb.h"
#include "mm/pfn.h"
#include "mm/userpage.h"

/* Parameter 4 of 0x50: what is wrong with the address. */
typedef enum _MI_FAULT_TYPE {
    MiFaultFreePte = 0,
    MiFaultNoTable = 2,
    MiFaultUserAddress = 0xF,
} MI_FAULT_TYPE;

static bool MiIsWrite(ULONG64 ErrorCode)
{
    return (ErrorCode & X86_PF_W) != 0;
}

static bool MiIsFetch(ULONG64 ErrorCode)
{
    return (ErrorCode & X86_PF_I) != 0;
}

/* Does a present Pte permit the access, rings aside? The upper levels forbid nothing. */
static bool MiPtePermits(MMPTE Pte, ULONG64 ErrorCode)
{
    if (MiIsWrite(ErrorCode) && (Pte.Value & X86_PTE_RW) == 0) {
        return false;
    }
    return !MiIsFetch(ErrorCode) || (Pte.Value & X86_PTE_NX) == 0;
}

static MMPTE MiPresentPteOf(const void *Va)
{
    const MMPTE *pte = MiFindValidPte(Va);
    return pte != NULL ? MiReadPte(pte) : (MMPTE){ 0 };
}

#pragma clang diagnostic      push
#pragma clang diagnostic      ignored "-Wframe-larger-than=" /* a CONTEXT; nothing returns from here */
static DECLSPEC_NORETURN void MiBugCheckFault(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, MI_FAULT_TYPE Type,
                                              const KTRAP_FRAME *Frame)
{
    CONTEXT context;
    KiContextFromTrapFrame(Frame, &context);
    KiBugCheck(Code, P1, P2, Code == PAGE_FAULT_IN_NONPAGED_AREA ? Frame->Rip : (ULONG_PTR)Frame, Type, &context);
}
#pragma clang diagnostic pop

static DECLSPEC_NORETURN void MiBadAddress(ULONG64 ErrorCode, const void *Va, MI_FAULT_TYPE Type,
                                           const KTRAP_FRAME *Frame)
{
    ULONG_PTR access = MiIsFetch(ErrorCode) ? 0x10 : MiIsWrite(ErrorCode) ? 2 : 0;
    MiBugCheckFault(PAGE_FAULT_IN_NONPAGED_AREA, (ULONG_PTR)Va, access, Type, Frame);
}

/* Give a demand-zero entry of paged pool its page; whoever loses a race gives his back. */
static NTSTATUS MiFillSystemPage(MMPTE *Pte, MMPTE Old)
{
    PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageZeroed);
    if (frame == MI_PFN_NONE) {
        return STATUS_NO_MEMORY;
    }
    MiPfn(frame)->CacheType = MmCached;
    MiPfn(frame)->PteAddress = Pte;
    LONG64 valid = (LONG64)MiMakeValidPte(frame, MI_KERNEL_RW).Value;
    if (_InterlockedCompareExchange64((volatile LONG64 *)&Pte->Value, valid, (LONG64)Old.Value) != (LONG64)Old.Value) {
        MiFreeFrame(frame);
    }
    return STATUS_SUCCESS;
}

/* A kernel address that is not present: what can be done, or STATUS_ACCESS_VIOLATION. */
static NTSTATUS MiFillKernelAddress(const void *Va)
{
    if (!MiIsInRegion(Va, MI_REGION_PAGED_POOL) || !MiTablesExist(Va)) {
        return STATUS_ACCESS_VIOLATION;
    }
    MMPTE old = MiReadPte(MiPteOf(Va));
    if (MiPteIsValid(old)) {
        return STATUS_SUCCESS;
    }
    return MiPteKind(old) == MiPteDemandZero ? MiFillSystemPage(MiPteOf(Va), old) : STATUS_ACCESS_VIOLATION;
}

static NTSTATUS MiKernelFault(ULONG64 ErrorCode, const void *Va, const KTRAP_FRAME *Frame)
{
    MMPTE pte = MiPresentPteOf(Va);
    if (!MiPteIsValid(pte)) {
        NTSTATUS status = MiFillKernelAddress(Va);
        if (status == STATUS_ACCESS_VIOLATION) {
            MiBadAddress(ErrorCode, Va, MiTablesExist(Va) ? MiFaultFreePte : MiFaultNoTable, Frame);
        }
        return status;
    }
    if (MiPtePermits(pte, ErrorCode)) {
        KiFlushLocalPage(Va);
        return STATUS_SUCCESS;
    }
    ULONG code = MiIsFetch(ErrorCode) ? ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY : ATTEMPTED_WRITE_TO_READONLY_MEMORY;
    MiBugCheckFault(code, (ULONG_PTR)Va, pte.Value, MiFaultFreePte, Frame);
}

/* The kernel touched a present user page that permits it: then SMEP or SMAP did not, or the translation was stale. */
static void MiCheckSupervisorAccess(ULONG64 ErrorCode, const void *Va, const KTRAP_FRAME *Frame)
{
    MMPTE pte = MiPresentPteOf(Va);
    if ((ErrorCode & X86_PF_P) == 0 || !MiPteIsValid(pte)) {
        return;
    }
    if (MiIsFetch(ErrorCode)) {
        MiBugCheckFault(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, (ULONG_PTR)Va, pte.Value, MiFaultFreePte, Frame);
    }
    if ((Frame->EFlags & X86_EFLAGS_AC) == 0 && MiPtePermits(pte, ErrorCode)) {
        MiBadAddress(ErrorCode, Va, MiFaultUserAddress, Frame);
    }
}

NTSTATUS MmAccessFault(ULONG64 ErrorCode, PVOID Address, KPROCESSOR_MODE Mode, KTRAP_FRAME *Frame)
{
    IRQL_MAX(APC_LEVEL);
    if ((ULONG64)Address >= MI_SYSTEM_START) {
        return Mode == KernelMode ? MiKernelFault(ErrorCode, Address, Frame) : STATUS_ACCESS_VIOLATION;
    }
    if (Mode == KernelMode) {
        MiCheckSupervisorAccess(ErrorCode, Address, Frame);
    }
    return MiUserFault(MiCurrentProcess(), ErrorCode, Address);
}

bool MiIsSpuriousFault(ULONG64 ErrorCode, PVOID Address)
{
    MMPTE pte = MiPresentPteOf(Address);
    bool supervisorOfUser = (ErrorCode & X86_PF_U) == 0 && (pte.Value & X86_PTE_US) != 0 && (ErrorCode & X86_PF_P) != 0;
    if (!MiPteIsValid(pte) || !MiPtePermits(pte, ErrorCode) || supervisorOfUser) {
        return false;
    }
    KiFlushLocalPage(Address);
    return true;
}

NTSTATUS MiMakeResident(ULONG64 ErrorCode, const void *Va, KPROCESSOR_MODE Mode)
{
    if (MiIsUserAddress(Va)) {
        return MiUserFault(MiCurrentProcess(), ErrorCode, Va);
    }
    if (Mode != KernelMode || (ULONG64)Va < MI_SYSTEM_START) {
        return STATUS_ACCESS_VIOLATION;
    }
    MMPTE pte = MiPresentPteOf(Va);
    if (MiPteIsValid(pte)) {
        return MiPtePermits(pte, ErrorCode) ? STATUS_SUCCESS : STATUS_ACCESS_VIOLATION;
    }
    return MiFillKernelAddress(Va);
}
