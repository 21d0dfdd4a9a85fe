/*
 * Unwinding to a handler.
 *
 * Problem. When a filter accepts an exception, the frames between it and the raise are to go away: each one's
 * termination handlers (__finally) run, innermost first, and execution continues in the accepting frame. Handlers run
 * on top of the frames that they end, so nothing is popped until the very last step, RtlRestoreContext.
 *
 * Terms. The *dispatcher context* says which frame a handler is called for; ScopeIndex in it counts the scopes of that
 * frame that are already done. A *collided unwind* is an exception that leaves a termination handler: it ends the
 * unwind that called the handler. Its search and its unwind meet the frame of RtlpExecuteHandlerForUnwind, whose
 * handler hands them the dispatcher context of the ended unwind. They go on there, behind the scope that raised, and
 * so no termination handler runs twice and the ended unwind's own frames are skipped.
 *
 * IRQL and locks: runs at the IRQL of whoever raised, on his stack, with no lock. About 3 KiB of stack a pass.
 */
#include "kernel/ke/seh.h"

#include "kernel/ke/exdispatch.h"
#include "kernel/ke/pcr.h"

#define RTLP_SAVED_DISPATCHER 0x20 /* where RtlpExecuteHandlerFor... keep it, from their establisher frame */

NTSTATUS RtlpUnwindFrame(CONTEXT *Context, ULONG HandlerType, DISPATCHER_CONTEXT *Dispatcher)
{
    RTLP_UNWIND unwind = {
        .Image = RtlpFindImage((const void *)(ULONG_PTR)Context->Rip),
        .ControlPc = Context->Rip,
        .Context = Context,
        .HandlerType = HandlerType,
        .IsUnwoundToCall = (Context->ContextFlags & CONTEXT_UNWOUND_TO_CALL) != 0,
    };
    KiGetStackLimits(&unwind.StackLow, &unwind.StackHigh);
    const RUNTIME_FUNCTION *function = NULL;
    if (unwind.Image != NULL) {
        function = RtlpFindFunction(unwind.Image, (ULONG)(Context->Rip - unwind.Image->Base));
    }
    NTSTATUS status = RtlpUnwind(&unwind, function);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (unwind.EstablisherFrame % sizeof(ULONG64) != 0 || unwind.EstablisherFrame < unwind.StackLow ||
        unwind.EstablisherFrame >= unwind.StackHigh) {
        return STATUS_BAD_STACK;
    }
    Dispatcher->ControlPc = unwind.ControlPc;
    Dispatcher->ImageBase = unwind.Image == NULL ? 0 : unwind.Image->Base;
    Dispatcher->FunctionEntry = (PRUNTIME_FUNCTION)(ULONG_PTR)function;
    Dispatcher->EstablisherFrame = unwind.EstablisherFrame;
    Dispatcher->ContextRecord = Context;
    Dispatcher->LanguageHandler = unwind.LanguageHandler;
    Dispatcher->HandlerData = unwind.HandlerData;
    Dispatcher->HistoryTable = NULL;
    Dispatcher->ScopeIndex = 0;
    Dispatcher->Fill0 = unwind.IsUnwoundToCall ? 1 : 0;
    return STATUS_SUCCESS;
}

static const DISPATCHER_CONTEXT *RtlpSavedDispatcher(PVOID EstablisherFrame)
{
    return *(DISPATCHER_CONTEXT **)((UCHAR *)EstablisherFrame + RTLP_SAVED_DISPATCHER);
}

/* An exception inside a filter: tell the search the frame whose filter it was. An unwind just passes. */
EXCEPTION_DISPOSITION RtlpExceptionHandler(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                           DISPATCHER_CONTEXT *Dispatcher)
{
    UNREFERENCED_PARAMETER(Context);
    if (Record->ExceptionFlags & EXCEPTION_UNWIND) {
        return ExceptionContinueSearch;
    }
    Dispatcher->EstablisherFrame = RtlpSavedDispatcher(EstablisherFrame)->EstablisherFrame;
    return ExceptionNestedException;
}

/* An exception inside a termination handler: go on where the unwind that called the handler stands. */
EXCEPTION_DISPOSITION RtlpUnwindHandler(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                        DISPATCHER_CONTEXT *Dispatcher)
{
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Context);
    ULONG64 targetIp = Dispatcher->TargetIp;
    *Dispatcher = *RtlpSavedDispatcher(EstablisherFrame);
    Dispatcher->TargetIp = targetIp;
    return ExceptionCollidedUnwind;
}

/* An unwind under way. */
typedef struct _RTLP_UNWIND_PASS {
    EXCEPTION_RECORD  *Record;
    ULONG64            TargetFrame;
    PVOID              ReturnValue;
    CONTEXT           *Current; /* the frame that Dispatcher describes */
    CONTEXT           *Caller;  /* that frame's caller */
    DISPATCHER_CONTEXT Dispatcher;
} RTLP_UNWIND_PASS;

/* Make Caller and Dispatcher from Current. */
static void RtlpDescribeFrame(RTLP_UNWIND_PASS *Pass)
{
    *Pass->Caller = *Pass->Current;
    NTSTATUS status = RtlpUnwindFrame(Pass->Caller, UNW_FLAG_UHANDLER, &Pass->Dispatcher);
    if (!NT_SUCCESS(status)) {
        RtlpRaiseStatus(STATUS_BAD_STACK, Pass->Record);
    }
    if (Pass->Dispatcher.EstablisherFrame > Pass->TargetFrame) {
        RtlpRaiseStatus(STATUS_INVALID_UNWIND_TARGET, Pass->Record);
    }
    Pass->Dispatcher.ContextRecord = Pass->Current;
}

/* Adopt the frame, handler and scope of the unwind that this one collided with. */
static void RtlpAdoptCollidedFrame(RTLP_UNWIND_PASS *Pass)
{
    DISPATCHER_CONTEXT collided = Pass->Dispatcher;
    *Pass->Current = *collided.ContextRecord;
    RtlpDescribeFrame(Pass);
    Pass->Dispatcher.LanguageHandler = collided.LanguageHandler;
    Pass->Dispatcher.HandlerData = collided.HandlerData;
    Pass->Dispatcher.ScopeIndex = collided.ScopeIndex;
}

/* Run the current frame's termination handler, and after a collision that of the frame which takes its place. */
static void RtlpTerminateFrame(RTLP_UNWIND_PASS *Pass)
{
    ULONG                 flags = EXCEPTION_UNWINDING | (Pass->Record->ExceptionFlags & EXCEPTION_NONCONTINUABLE);
    EXCEPTION_DISPOSITION disposition = ExceptionCollidedUnwind;
    while (disposition == ExceptionCollidedUnwind) {
        ULONG64 frame = Pass->Dispatcher.EstablisherFrame;
        Pass->Record->ExceptionFlags = flags | (frame == Pass->TargetFrame ? EXCEPTION_TARGET_UNWIND : 0);
        Pass->Current->Rax = (ULONG_PTR)Pass->ReturnValue;
        disposition = RtlpExecuteHandlerForUnwind(Pass->Record, (PVOID)(ULONG_PTR)frame, Pass->Current,
                                                  &Pass->Dispatcher);
        if (disposition == ExceptionCollidedUnwind) {
            RtlpAdoptCollidedFrame(Pass);
            flags |= EXCEPTION_COLLIDED_UNWIND;
        }
    }
    if (disposition != ExceptionContinueSearch) {
        RtlpRaiseStatus(STATUS_INVALID_DISPOSITION, Pass->Record);
    }
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wframe-larger-than=" /* frame: CONTEXT */

VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue,
                       PCONTEXT ContextRecord, PUNWIND_HISTORY_TABLE HistoryTable)
{
    CONTEXT          callerContext;
    EXCEPTION_RECORD unwindRecord = { .ExceptionCode = STATUS_UNWIND };
    RTLP_UNWIND_PASS pass = {
        .Record = ExceptionRecord == NULL ? &unwindRecord : ExceptionRecord,
        .TargetFrame = (ULONG_PTR)TargetFrame,
        .ReturnValue = ReturnValue,
        .Current = ContextRecord,
        .Caller = &callerContext,
        .Dispatcher = { .TargetIp = (ULONG_PTR)TargetIp },
    };
    UNREFERENCED_PARAMETER(HistoryTable);

    RtlCaptureContext(pass.Current);
    unwindRecord.ExceptionAddress = (PVOID)(ULONG_PTR)pass.Current->Rip;
    RtlpDescribeFrame(&pass);
    for (;;) {
        if (pass.Dispatcher.LanguageHandler != NULL) {
            RtlpTerminateFrame(&pass);
        }
        if (pass.Dispatcher.EstablisherFrame == pass.TargetFrame) {
            break;
        }
        CONTEXT *finished = pass.Current;
        pass.Current = pass.Caller;
        pass.Caller = finished;
        RtlpDescribeFrame(&pass);
    }
    pass.Current->Rax = (ULONG_PTR)ReturnValue;
    pass.Current->Rip = (ULONG_PTR)TargetIp;
    RtlRestoreContext(pass.Current, pass.Record);
}

VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue)
{
    CONTEXT context;
    RtlUnwindEx(TargetFrame, TargetIp, ExceptionRecord, ReturnValue, &context, NULL);
}

#pragma clang diagnostic pop

/* What a scope record's HandlerAddress points to: a filter where JumpTarget is not 0, else a termination handler. */
typedef LONG RTLP_FILTER(EXCEPTION_POINTERS *Pointers, PVOID EstablisherFrame);
typedef void RTLP_TERMINATION(BOOLEAN IsAbnormal, PVOID EstablisherFrame);

#define RTLP_FILTER_EXECUTE_HANDLER 1u /* HandlerAddress of __except (EXCEPTION_EXECUTE_HANDLER): no filter to call */

/*
 * Where the frame stands, as an RVA: for a caller, inside its call instruction. A return address itself may belong to
 * the next scope already, or lie in both where the compiler counts the byte behind the call to the scope.
 */
static ULONG64 RtlpScopeRva(const DISPATCHER_CONTEXT *Dispatcher)
{
    return Dispatcher->ControlPc - Dispatcher->ImageBase - Dispatcher->Fill0;
}

static bool RtlpIsInScope(const SCOPE_TABLE_AMD64 *Scopes, ULONG Index, ULONG64 Rva)
{
    return Rva >= Scopes->ScopeRecord[Index].BeginAddress && Rva < Scopes->ScopeRecord[Index].EndAddress;
}

/* First pass: ask the filters of the scopes that hold the frame's instruction. Accepting one does not return. */
static EXCEPTION_DISPOSITION RtlpAskFilters(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                            DISPATCHER_CONTEXT *Dispatcher)
{
    const SCOPE_TABLE_AMD64 *scopes = Dispatcher->HandlerData;
    ULONG64                  rva = RtlpScopeRva(Dispatcher);
    EXCEPTION_POINTERS       pointers = { .ExceptionRecord = Record, .ContextRecord = Context };
    for (ULONG index = Dispatcher->ScopeIndex; index < scopes->Count; index++) {
        ULONG jumpTarget = scopes->ScopeRecord[index].JumpTarget;
        if (jumpTarget == 0 || !RtlpIsInScope(scopes, index, rva)) {
            continue;
        }
        ULONG filterRva = scopes->ScopeRecord[index].HandlerAddress;
        LONG  verdict = EXCEPTION_EXECUTE_HANDLER;
        if (filterRva != RTLP_FILTER_EXECUTE_HANDLER) {
            RTLP_FILTER *filter = (RTLP_FILTER *)(ULONG_PTR)(Dispatcher->ImageBase + filterRva);
            verdict = filter(&pointers, EstablisherFrame);
        }
        if (verdict < 0) {
            return ExceptionContinueExecution;
        }
        if (verdict > 0) {
            RtlUnwindEx(EstablisherFrame, (PVOID)(ULONG_PTR)(Dispatcher->ImageBase + jumpTarget), Record,
                        (PVOID)(ULONG_PTR)(ULONG)Record->ExceptionCode, Dispatcher->ContextRecord,
                        Dispatcher->HistoryTable);
        }
    }
    return ExceptionContinueSearch;
}

/* Does the unwind's target lie in a scope with the same handler, so that control does not leave this one? */
static bool RtlpIsTargetInSameScope(const SCOPE_TABLE_AMD64 *Scopes, ULONG Index, ULONG64 TargetRva)
{
    for (ULONG other = 0; other < Scopes->Count; other++) {
        if (RtlpIsInScope(Scopes, other, TargetRva) &&
            Scopes->ScopeRecord[other].JumpTarget == Scopes->ScopeRecord[Index].JumpTarget &&
            Scopes->ScopeRecord[other].HandlerAddress == Scopes->ScopeRecord[Index].HandlerAddress) {
            return true;
        }
    }
    return false;
}

/* Second pass: run the termination handlers of the scopes that are left, in the target frame up to the target's. */
static void RtlpRunTerminationHandlers(const EXCEPTION_RECORD *Record, PVOID EstablisherFrame,
                                       DISPATCHER_CONTEXT *Dispatcher)
{
    const SCOPE_TABLE_AMD64 *scopes = Dispatcher->HandlerData;
    bool                     isTarget = (Record->ExceptionFlags & EXCEPTION_TARGET_UNWIND) != 0;
    ULONG64                  rva = RtlpScopeRva(Dispatcher);
    ULONG64                  targetRva = Dispatcher->TargetIp - Dispatcher->ImageBase;
    for (ULONG index = Dispatcher->ScopeIndex; index < scopes->Count; index++) {
        if (!RtlpIsInScope(scopes, index, rva)) {
            continue;
        }
        ULONG jumpTarget = scopes->ScopeRecord[index].JumpTarget;
        if (isTarget && (RtlpIsTargetInSameScope(scopes, index, targetRva) || jumpTarget == targetRva)) {
            return;
        }
        if (jumpTarget == 0) {
            RTLP_TERMINATION *handler = (RTLP_TERMINATION *)(ULONG_PTR)(Dispatcher->ImageBase +
                                                                        scopes->ScopeRecord[index].HandlerAddress);
            Dispatcher->ScopeIndex = index + 1; /* done, even if it raises */
            handler(TRUE, EstablisherFrame);
        }
    }
}

EXCEPTION_DISPOSITION __cdecl __C_specific_handler(struct _EXCEPTION_RECORD *_ExceptionRecord, void *_EstablisherFrame,
                                                   struct _CONTEXT            *_ContextRecord,
                                                   struct _DISPATCHER_CONTEXT *_DispatcherContext)
{
    if ((_ExceptionRecord->ExceptionFlags & EXCEPTION_UNWIND) == 0) {
        return RtlpAskFilters(_ExceptionRecord, _EstablisherFrame, _ContextRecord, _DispatcherContext);
    }
    RtlpRunTerminationHandlers(_ExceptionRecord, _EstablisherFrame, _DispatcherContext);
    return ExceptionContinueSearch;
}
