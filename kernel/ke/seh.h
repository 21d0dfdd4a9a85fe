/*
 * Structured exception handling: unwinding a stack to a handler, and the language handler that C code uses.
 *
 * Raising and the search for a handler are in kernel/ke/exdispatch.h.
 */
#pragma once

#include "kernel/ddk.h"

#include "kernel/rtl/unwind.h"

/*
 * Step Context from a frame of the current stack to its caller and describe the frame in Dispatcher: ControlPc,
 * ImageBase, FunctionEntry, EstablisherFrame, LanguageHandler and HandlerData if there is a handler for HandlerType.
 *
 * => STATUS_BAD_STACK when the frame does not lie in the current stack; STATUS_BAD_FUNCTION_TABLE as RtlpUnwind.
 * => Dispatcher->ContextRecord is Context, ScopeIndex 0, TargetIp left alone; Fill0 is 1 where ControlPc is a return
 *    address, which our own language handler wants to know.
 */
NTSTATUS RtlpUnwindFrame(CONTEXT *Context, ULONG HandlerType, DISPATCHER_CONTEXT *Dispatcher);

/*
 * Call Dispatcher's language handler. An exception that passes through these two (kernel/amd64/context.asm) meets the
 * handler named beside each, and so learns which frame's handler it interrupted.
 */
EXCEPTION_DISPOSITION RtlpExecuteHandlerForException(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                                     DISPATCHER_CONTEXT *Dispatcher);
EXCEPTION_DISPOSITION RtlpExecuteHandlerForUnwind(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                                  DISPATCHER_CONTEXT *Dispatcher);
EXCEPTION_DISPOSITION RtlpExceptionHandler(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                           DISPATCHER_CONTEXT *Dispatcher);
EXCEPTION_DISPOSITION RtlpUnwindHandler(EXCEPTION_RECORD *Record, PVOID EstablisherFrame, CONTEXT *Context,
                                        DISPATCHER_CONTEXT *Dispatcher);

/*
 * Call the termination handlers of all frames below the one whose establisher frame is TargetFrame, then continue in
 * that frame at TargetIp with RAX = ReturnValue. Does not return.
 *
 * => ContextRecord is scratch; ExceptionRecord may be NULL; HistoryTable is not used.
 * => a target that is not a frame of the current stack raises STATUS_INVALID_UNWIND_TARGET, a damaged stack
 *    STATUS_BAD_STACK.
 */
VOID NTAPI RtlUnwindEx(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue,
                       PCONTEXT ContextRecord, PUNWIND_HISTORY_TABLE HistoryTable);
VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue);

/* Load every register, flags and vectors included, from ContextRecord; CR8 stays. ExceptionRecord is not used. */
DECLSPEC_NORETURN VOID __cdecl RtlRestoreContext(PCONTEXT ContextRecord, PEXCEPTION_RECORD ExceptionRecord);
