/*
 * Raising exceptions and searching for their handlers.
 *
 * Each frame of the current stack whose function has an exception handler in its unwind information is asked in turn,
 * innermost first, on top of the stack that raised. A handler continues the execution, or lets the search go on, or
 * accepts: then it calls RtlUnwindEx (kernel/ke/seh.c) itself and never comes back here.
 *
 * An exception inside a filter starts a search of its own, which passes the interrupted one: see seh.c for how the two
 * learn of each other. The search ends where the stack does: at a frame outside the stack's limits or a return
 * address outside every image.
 *
 * IRQL and locks: runs at the IRQL of whoever raised, with no lock.
 */
#include "kernel/ke/exdispatch.h"

#include "kernel/amd64/cpu.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/seh.h"
#include "kernel/rtl/stackwalk.h"

/* kernel/amd64/context.asm */
void KiSaveNonvolatileXmm(CONTEXT *Context);
void KiLoadNonvolatileXmm(const CONTEXT *Context);

C_ASSERT(FIELD_OFFSET(CONTEXT, MxCsr) == 0x34 && FIELD_OFFSET(CONTEXT, SegCs) == 0x38);
C_ASSERT(FIELD_OFFSET(CONTEXT, SegSs) == 0x42 && FIELD_OFFSET(CONTEXT, EFlags) == 0x44);
C_ASSERT(FIELD_OFFSET(CONTEXT, Rax) == 0x78 && FIELD_OFFSET(CONTEXT, Rdx) == 0x88);
C_ASSERT(FIELD_OFFSET(CONTEXT, Rsp) == 0x98 && FIELD_OFFSET(CONTEXT, Rbp) == 0xA0);
C_ASSERT(FIELD_OFFSET(CONTEXT, Rip) == 0xF8 && FIELD_OFFSET(CONTEXT, Xmm0) == 0x1A0);
C_ASSERT(FIELD_OFFSET(CONTEXT, FltSave.MxCsr) == 0x118);
C_ASSERT(FIELD_OFFSET(DISPATCHER_CONTEXT, LanguageHandler) == 0x30);

#define KI_INHERITED_EFLAGS (X86_EFLAGS_IF | X86_EFLAGS_AC) /* of the interrupted code; handlers run under them */

/* A search under way. */
typedef struct _RTLP_SEARCH {
    EXCEPTION_RECORD  *Record;
    CONTEXT           *Context; /* at the exception; what handlers see */
    CONTEXT           *Caller;  /* of the frame that Dispatcher describes */
    DISPATCHER_CONTEXT Dispatcher;
    ULONG64            NestedFrame; /* frames below it belong to an interrupted search; 0: none */
    ULONG              Flags;       /* EXCEPTION_... for the record */
} RTLP_SEARCH;

/* Go on with the frame of the unwind that the exception interrupted, behind the scope that raised. */
static bool RtlpAdoptCollidedSearch(RTLP_SEARCH *Search)
{
    DISPATCHER_CONTEXT collided = Search->Dispatcher;
    *Search->Caller = *collided.ContextRecord;
    if (!NT_SUCCESS(RtlpUnwindFrame(Search->Caller, UNW_FLAG_NHANDLER, &Search->Dispatcher))) {
        return false;
    }
    Search->Dispatcher.LanguageHandler = collided.LanguageHandler;
    Search->Dispatcher.HandlerData = collided.HandlerData;
    Search->Dispatcher.ScopeIndex = collided.ScopeIndex;
    return true;
}

/* Ask the handler of the frame that Dispatcher describes; true if it continues the execution. */
static bool RtlpAskHandler(RTLP_SEARCH *Search)
{
    EXCEPTION_DISPOSITION disposition = ExceptionCollidedUnwind;
    while (disposition == ExceptionCollidedUnwind) {
        ULONG64 frame = Search->Dispatcher.EstablisherFrame;
        Search->Record->ExceptionFlags = Search->Flags;
        disposition = RtlpExecuteHandlerForException(Search->Record, (PVOID)(ULONG_PTR)frame, Search->Context,
                                                     &Search->Dispatcher);
        Search->Flags |= Search->Record->ExceptionFlags & EXCEPTION_NONCONTINUABLE;
        if (frame == Search->NestedFrame) {
            Search->NestedFrame = 0;
            Search->Flags &= ~(ULONG)EXCEPTION_NESTED_CALL;
        }
        if (disposition == ExceptionCollidedUnwind && !RtlpAdoptCollidedSearch(Search)) {
            RtlpRaiseStatus(STATUS_BAD_STACK, Search->Record);
        }
    }
    if (disposition == ExceptionNestedException) {
        Search->Flags |= EXCEPTION_NESTED_CALL;
        if (Search->Dispatcher.EstablisherFrame > Search->NestedFrame) {
            Search->NestedFrame = Search->Dispatcher.EstablisherFrame;
        }
        return false;
    }
    if (disposition == ExceptionContinueExecution && (Search->Flags & EXCEPTION_NONCONTINUABLE) != 0) {
        RtlpRaiseStatus(STATUS_NONCONTINUABLE_EXCEPTION, Search->Record);
    }
    if (disposition != ExceptionContinueExecution && disposition != ExceptionContinueSearch) {
        RtlpRaiseStatus(STATUS_INVALID_DISPOSITION, Search->Record);
    }
    return disposition == ExceptionContinueExecution;
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wframe-larger-than=" /* frame: CONTEXT */

BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord)
{
    CONTEXT     callerContext = *ContextRecord;
    RTLP_SEARCH search = {
        .Record = ExceptionRecord,
        .Context = ContextRecord,
        .Caller = &callerContext,
        .Flags = ExceptionRecord->ExceptionFlags & EXCEPTION_NONCONTINUABLE,
    };
    do {
        if (!NT_SUCCESS(RtlpUnwindFrame(&callerContext, UNW_FLAG_EHANDLER, &search.Dispatcher))) {
            search.Flags |= EXCEPTION_STACK_INVALID;
            break;
        }
        if (search.Dispatcher.LanguageHandler != NULL && RtlpAskHandler(&search)) {
            return TRUE;
        }
    } while (RtlpFindImage((const void *)(ULONG_PTR)callerContext.Rip) != NULL);
    ExceptionRecord->ExceptionFlags = search.Flags;
    return FALSE;
}

static DECLSPEC_NORETURN void KiBugCheckUnhandled(const EXCEPTION_RECORD *Record, const CONTEXT *Context)
{
    KiBugCheck(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)Record->ExceptionCode,
               (ULONG_PTR)Record->ExceptionAddress, Record->NumberParameters > 0 ? Record->ExceptionInformation[0] : 0,
               Record->NumberParameters > 1 ? Record->ExceptionInformation[1] : 0, Context);
}

VOID KiDispatchException(EXCEPTION_RECORD *Record, KTRAP_FRAME *Frame)
{
    CONTEXT context;
    ULONG64 callerFlags = __readeflags();
    KiContextFromTrapFrame(Frame, &context);
    KiSaveNonvolatileXmm(&context);
    __writeeflags(callerFlags | (Frame->EFlags & KI_INHERITED_EFLAGS));
    if (!RtlDispatchException(Record, &context)) {
        KiBugCheckUnhandled(Record, &context);
    }
    __writeeflags(callerFlags);
    KiTrapFrameFromContext(&context, Frame);
    KiLoadNonvolatileXmm(&context);
}

/* Raise Record as from the place that called the function whose return address lies at ReturnAddressSlot. */
static DECLSPEC_NOINLINE void RtlpRaiseAtCaller(EXCEPTION_RECORD *Record, const void *ReturnAddressSlot)
{
    CONTEXT context;
    RtlCaptureContext(&context);
    bool isCallerKnown = RtlpUnwindToCaller(&context, ReturnAddressSlot);
    Record->ExceptionAddress = (PVOID)(ULONG_PTR)context.Rip;
    if (isCallerKnown && RtlDispatchException(Record, &context)) {
        RtlRestoreContext(&context, Record);
    }
    KiBugCheckUnhandled(Record, &context);
}

#pragma clang diagnostic pop

static DECLSPEC_NORETURN void RtlpRaiseStatusAtCaller(NTSTATUS Status, EXCEPTION_RECORD *Cause,
                                                      const void *ReturnAddressSlot)
{
    EXCEPTION_RECORD record = {
        .ExceptionCode = Status,
        .ExceptionFlags = EXCEPTION_NONCONTINUABLE,
        .ExceptionRecord = Cause,
    };
    RtlpRaiseAtCaller(&record, ReturnAddressSlot);
    __builtin_unreachable();
}

DECLSPEC_NOINLINE void RtlpRaiseStatus(NTSTATUS Status, EXCEPTION_RECORD *Cause)
{
    RtlpRaiseStatusAtCaller(Status, Cause, _AddressOfReturnAddress());
}

VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord)
{
    RtlpRaiseAtCaller(ExceptionRecord, _AddressOfReturnAddress());
}

VOID NTAPI RtlRaiseStatus(NTSTATUS Status)
{
    RtlpRaiseStatusAtCaller(Status, NULL, _AddressOfReturnAddress());
}

VOID NTAPI ExRaiseStatus(NTSTATUS Status)
{
    RtlpRaiseStatusAtCaller(Status, NULL, _AddressOfReturnAddress());
}

VOID NTAPI ExRaiseAccessViolation(VOID)
{
    RtlpRaiseStatusAtCaller(STATUS_ACCESS_VIOLATION, NULL, _AddressOfReturnAddress());
}

VOID NTAPI ExRaiseDatatypeMisalignment(VOID)
{
    RtlpRaiseStatusAtCaller(STATUS_DATATYPE_MISALIGNMENT, NULL, _AddressOfReturnAddress());
}

LONG KiSystemThreadFilter(EXCEPTION_POINTERS *Pointers)
{
    const EXCEPTION_RECORD *record = Pointers->ExceptionRecord;
    KiBugCheck(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)record->ExceptionCode,
               (ULONG_PTR)record->ExceptionAddress, (ULONG_PTR)record, (ULONG_PTR)Pointers->ContextRecord,
               Pointers->ContextRecord);
}

VOID KiContextFromTrapFrame(const KTRAP_FRAME *Frame, CONTEXT *Context)
{
    RtlZeroMemory(Context, sizeof(*Context));
    Context->ContextFlags = CONTEXT_FULL;
    Context->SegCs = (USHORT)Frame->SegCs;
    Context->SegSs = (USHORT)Frame->SegSs;
    Context->EFlags = (ULONG)Frame->EFlags;
    Context->Rip = Frame->Rip;
    Context->Rsp = Frame->Rsp;
    Context->Rax = Frame->Rax;
    Context->Rcx = Frame->Rcx;
    Context->Rdx = Frame->Rdx;
    Context->Rbx = Frame->Rbx;
    Context->Rbp = Frame->Rbp;
    Context->Rsi = Frame->Rsi;
    Context->Rdi = Frame->Rdi;
    Context->R8 = Frame->R8;
    Context->R9 = Frame->R9;
    Context->R10 = Frame->R10;
    Context->R11 = Frame->R11;
    Context->R12 = Frame->R12;
    Context->R13 = Frame->R13;
    Context->R14 = Frame->R14;
    Context->R15 = Frame->R15;
    Context->MxCsr = Frame->MxCsr;
    Context->FltSave.MxCsr = Frame->MxCsr;
    Context->FltSave.ControlWord = INITIAL_FPCSR;
    RtlCopyMemory(Context->FltSave.XmmRegisters, Frame->Xmm, sizeof(Frame->Xmm));
}

VOID KiTrapFrameFromContext(const CONTEXT *Context, KTRAP_FRAME *Frame)
{
    Frame->EFlags = Context->EFlags;
    Frame->Rip = Context->Rip;
    Frame->Rsp = Context->Rsp;
    Frame->Rax = Context->Rax;
    Frame->Rcx = Context->Rcx;
    Frame->Rdx = Context->Rdx;
    Frame->Rbx = Context->Rbx;
    Frame->Rbp = Context->Rbp;
    Frame->Rsi = Context->Rsi;
    Frame->Rdi = Context->Rdi;
    Frame->R8 = Context->R8;
    Frame->R9 = Context->R9;
    Frame->R10 = Context->R10;
    Frame->R11 = Context->R11;
    Frame->R12 = Context->R12;
    Frame->R13 = Context->R13;
    Frame->R14 = Context->R14;
    Frame->R15 = Context->R15;
    Frame->MxCsr = Context->MxCsr;
    RtlCopyMemory(Frame->Xmm, Context->FltSave.XmmRegisters, sizeof(Frame->Xmm));
}
