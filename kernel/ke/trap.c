/*
 * Traps: what the processor reports, turned into an interrupt handler's call, a resolved fault, an exception or a bug
 * check.
 *
 * Interrupts (vectors 31 and up, exceptions' own aside) run at IRQL = vector / 16 with interrupts on. CR8 is raised
 * before the EOI and before STI, so nothing of the same class nests. The stub cleared AC: no interrupt handler or DPC
 * touches a user page.
 *
 * Faults keep the IRQL of the code that faulted. At DISPATCH_LEVEL or above a page fault that is not spurious ends the
 * system, 0xD1 when a driver's code faulted and 0xA when the kernel's did; below, the memory manager is asked, and
 * what it cannot resolve becomes an exception. Exceptions other than page faults go to the handlers at any IRQL.
 */
#include "kernel/ke/trap.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/amd64/pte.h"
#include "kernel/hal/lapic.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/exdispatch.h"
#include "kernel/ke/interlocked.h"
#include "kernel/ke/ipi.h"

#define KI_STUB_BYTES     16 /* one entry stub of kernel/amd64/entry.asm */
#define KI_VECTOR_COUNT   256
#define KI_TRAP_FASTFAIL  0x29 /* int 0x29: __fastfail, code in RCX */
#define KI_TRAP_ASSERTION 0x2C /* int 0x2C: NT_ASSERT */

extern const UCHAR KiVectorStubs[];
extern const UCHAR KiTrapEntry[]; /* right behind the stubs */

KI_FAULT_CALLS KiFaultCalls;

static DECLSPEC_ALIGN(16) KI_IDT_GATE KiIdt[KI_VECTOR_COUNT];
static KI_INTERRUPT_HANDLER KiInterruptHandlers[KI_VECTOR_COUNT];

/* Exceptions that become an NTSTATUS without further questions. */
static const NTSTATUS KiTrapStatus[32] = {
    [X86_TRAP_DE] = STATUS_INTEGER_DIVIDE_BY_ZERO,
    [X86_TRAP_DB] = STATUS_SINGLE_STEP,
    [X86_TRAP_BP] = STATUS_BREAKPOINT,
    [X86_TRAP_OF] = STATUS_INTEGER_OVERFLOW,
    [X86_TRAP_BR] = STATUS_ARRAY_BOUNDS_EXCEEDED,
    [X86_TRAP_UD] = STATUS_ILLEGAL_INSTRUCTION,
    [X86_TRAP_GP] = STATUS_ACCESS_VIOLATION,
    [X86_TRAP_AC] = STATUS_DATATYPE_MISALIGNMENT,
    [X86_TRAP_MF] = STATUS_FLOAT_INVALID_OPERATION,
    [X86_TRAP_XM] = STATUS_FLOAT_MULTIPLE_TRAPS,
};

static USHORT KiGateAttributes(ULONG Vector)
{
    USHORT attributes = X86_GATE_INTERRUPT;
    switch (Vector) {
    case X86_TRAP_DF:
        return attributes | KI_IST_DOUBLE_FAULT;
    case X86_TRAP_NMI:
        return attributes | KI_IST_NMI;
    case X86_TRAP_MC:
        return attributes | KI_IST_MACHINE_CHECK;
    case X86_TRAP_DB:
        return attributes | KI_IST_DEBUG;
    case X86_TRAP_BP:
    case X86_TRAP_OF:
    case KI_TRAP_FASTFAIL:
    case KI_TRAP_ASSERTION:
        return attributes | X86_GATE_DPL3;
    default:
        return attributes;
    }
}

void KiInitializeIdt(void)
{
    NT_ASSERT((ULONG64)KiTrapEntry - (ULONG64)KiVectorStubs == KI_VECTOR_COUNT * KI_STUB_BYTES);
    for (ULONG vector = 0; vector < KI_VECTOR_COUNT; vector++) {
        ULONG64 stub = (ULONG64)KiVectorStubs + vector * KI_STUB_BYTES;
        KiIdt[vector] = (KI_IDT_GATE){
            .OffsetLow = (USHORT)stub,
            .Selector = KGDT64_R0_CODE,
            .Attributes = KiGateAttributes(vector),
            .OffsetMiddle = (USHORT)(stub >> 16),
            .OffsetHigh = (ULONG)(stub >> 32),
        };
    }
}

void KiLoadProcessorIdt(void)
{
    KDESCRIPTOR descriptor = { .Limit = sizeof(KiIdt) - 1, .Base = (ULONG64)KiIdt };
    KiLoadIdt(&descriptor);
}

void KiSetInterruptHandler(UCHAR Vector, KI_INTERRUPT_HANDLER Handler)
{
    NT_ASSERT(KiInterruptHandlers[Vector] == NULL);
    KiInterruptHandlers[Vector] = Handler;
}

static void KiHandleInterrupt(KTRAP_FRAME *Frame)
{
    KI_INTERRUPT_HANDLER handler = KiInterruptHandlers[Frame->Vector];
    if (Frame->Vector == KI_VECTOR_SPURIOUS) {
        return; /* the local APIC expects no EOI for it */
    }
    __writecr8(Frame->Vector >> 4);
    HalpEndOfInterrupt();
    KiPrcb()->InterruptCount++;
    if (handler != NULL) {
        _enable();
        handler(Frame);
        _disable();
    }
    __writecr8(Frame->PreviousIrql);
}

static ULONG_PTR KiFaultAccess(ULONG64 ErrorCode)
{
    if ((ErrorCode & X86_PF_I) != 0) {
        return 8;
    }
    return (ErrorCode & X86_PF_W) != 0 ? 1 : 0;
}

static void KiRaiseTrap(KTRAP_FRAME *Frame, NTSTATUS Status, ULONG InformationCount, ULONG_PTR First, ULONG_PTR Second)
{
    EXCEPTION_RECORD record = {
        .ExceptionCode = Status,
        .ExceptionAddress = (PVOID)Frame->Rip,
        .NumberParameters = InformationCount,
        .ExceptionInformation = { First, Second },
    };
    KiDispatchException(&record, Frame);
}

/* A fault where none can be resolved: blame whoever's code touched the address. */
#pragma clang diagnostic      push
#pragma clang diagnostic      ignored "-Wframe-larger-than=" /* a CONTEXT; nothing returns from here */
static DECLSPEC_NORETURN void KiBugCheckFault(KTRAP_FRAME *Frame)
{
    CONTEXT context;
    KiContextFromTrapFrame(Frame, &context);
    ULONG code = KiIsDriverAddress((PVOID)Frame->Rip) ? DRIVER_IRQL_NOT_LESS_OR_EQUAL : IRQL_NOT_LESS_OR_EQUAL;
    KiBugCheck(code, Frame->FaultAddress, Frame->PreviousIrql, KiFaultAccess(Frame->ErrorCode), Frame->Rip, &context);
}

static DECLSPEC_NORETURN void KiBugCheckTrap(KTRAP_FRAME *Frame, ULONG Code, ULONG_PTR P1, ULONG_PTR P2)
{
    CONTEXT context;
    KiContextFromTrapFrame(Frame, &context);
    KiBugCheck(Code, P1, P2, Frame->ErrorCode, Frame->Rip, &context);
}
#pragma clang diagnostic pop

static void KiHandlePageFault(KTRAP_FRAME *Frame)
{
    PVOID address = (PVOID)Frame->FaultAddress;
    bool  interruptsOn = (Frame->EFlags & X86_EFLAGS_IF) != 0;
    if (ExpResumeSListPop(Frame)) {
        return; /* the pop read a node that another CPU took and freed: it starts over */
    }
    if (Frame->PreviousIrql >= DISPATCH_LEVEL || !interruptsOn) {
        if (KiFaultCalls.IsSpurious != NULL && KiFaultCalls.IsSpurious(Frame->ErrorCode, address)) {
            return;
        }
        KiBugCheckFault(Frame);
    }
    if (KiFaultCalls.AccessFault == NULL) {
        KiBugCheckFault(Frame); /* before the memory manager is there */
    }
    _enable();
    KPROCESSOR_MODE mode = (Frame->SegCs & 3) != 0 ? UserMode : KernelMode;
    NTSTATUS        status = KiFaultCalls.AccessFault(Frame->ErrorCode, address, mode, Frame);
    if (!NT_SUCCESS(status)) {
        KiRaiseTrap(Frame, status, 2, KiFaultAccess(Frame->ErrorCode), Frame->FaultAddress);
    }
    _disable();
}

static void KiHandleException(KTRAP_FRAME *Frame)
{
    NTSTATUS status = KiTrapStatus[Frame->Vector];
    if (status == 0) {
        KiBugCheckTrap(Frame, UNEXPECTED_KERNEL_MODE_TRAP, Frame->Vector, Frame->FaultAddress);
    }
    if ((Frame->EFlags & X86_EFLAGS_IF) != 0) {
        _enable();
    }
    if (Frame->Vector == X86_TRAP_BP) {
        Frame->Rip--; /* INT3 is one byte long; the record names the instruction, a handler that continues skips it */
    }
    if (Frame->Vector == X86_TRAP_GP) {
        KiRaiseTrap(Frame, status, 2, 0, MAXULONG_PTR); /* which address is not known */
    } else {
        KiRaiseTrap(Frame, status, 0, 0, 0);
    }
    _disable();
}

static bool KiIsException(ULONG64 Vector)
{
    return Vector < KI_VECTOR_APC;
}

void KiHandleTrap(KTRAP_FRAME *Frame)
{
    switch (Frame->Vector) {
    case X86_TRAP_PF:
        KiHandlePageFault(Frame);
        break;
    case X86_TRAP_NMI:
        KiHandleNmi(Frame);
        break;
    case X86_TRAP_MC:
        KiBugCheckTrap(Frame, MACHINE_CHECK_EXCEPTION, 0, 0);
    case KI_TRAP_FASTFAIL:
        KiBugCheckTrap(Frame, KERNEL_SECURITY_CHECK_FAILURE, Frame->Rcx, (ULONG_PTR)Frame);
    case KI_TRAP_ASSERTION:
        Frame->Rip -= 2; /* the record names the instruction: INT 0x2C is two bytes long */
        KiRaiseTrap(Frame, STATUS_ASSERTION_FAILURE, 0, 0, 0);
        break;
    default:
        if (KiIsException(Frame->Vector)) {
            KiHandleException(Frame);
        } else {
            KiHandleInterrupt(Frame);
        }
        break;
    }
}
