/*
 * Exceptions: raised by software or turned from a hardware fault, offered to the frames of the current stack.
 */
#pragma once

#include "kernel/ddk.h"

#include "kernel/ke/trapframe.h"

/*
 * Handle a kernel-mode exception that the trap code describes in Record and Frame: return when a handler continues
 * the execution, with Frame changed as the handler wishes; otherwise a handler takes over and this call never returns,
 * or it is bug check 0x1E, KMODE_EXCEPTION_NOT_HANDLED.
 *
 * => called on the interrupted code's own stack, at its IRQL. Interrupts and EFLAGS.AC are set as Frame has them while
 *    handlers run, and as the caller had them on return.
 * => XMM6 to XMM15 still hold the interrupted code's values.
 */
VOID KiDispatchException(EXCEPTION_RECORD *Record, KTRAP_FRAME *Frame);

/* Store Context's integer, control and volatile vector registers back into Frame; selectors stay as they are. */
VOID KiTrapFrameFromContext(const CONTEXT *Context, KTRAP_FRAME *Frame);

/* Filter for the outermost frame of a system thread: bug check 0x7E, SYSTEM_THREAD_EXCEPTION_NOT_HANDLED. */
LONG KiSystemThreadFilter(EXCEPTION_POINTERS *Pointers);

/*
 * Search the current stack from Context outward for a handler of Record.
 *
 * => TRUE: a handler asks to continue at Context. FALSE: nobody wants it. An accepting handler: no return.
 */
BOOLEAN NTAPI RtlDispatchException(PEXCEPTION_RECORD ExceptionRecord, PCONTEXT ContextRecord);

/* => returns where a handler continues the execution; ExceptionAddress becomes the caller's. */
VOID NTAPI                   RtlRaiseException(PEXCEPTION_RECORD ExceptionRecord);
DECLSPEC_NORETURN VOID NTAPI RtlRaiseStatus(NTSTATUS Status);

/* Raise Status from within exception handling, on account of Cause (may be NULL). */
DECLSPEC_NORETURN void RtlpRaiseStatus(NTSTATUS Status, EXCEPTION_RECORD *Cause);
