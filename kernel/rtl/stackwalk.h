/*
 * Walking stacks, live or broken.
 *
 * A walk follows unwind information only, crosses interrupts through their machine frames, and ends at the first
 * address that no loaded image holds. Each read of the stack is allowed by RtlpIsReadable and each walk is bounded by
 * the caller's count, so it ends on a corrupted stack as well. Any IRQL, NMI handlers and bug checks included.
 */
#pragma once

#include "kernel/ddk.h"

/*
 * Step Context from a function to its caller. An address without a function entry counts as a leaf function, which is
 * right for leaves and for a call through a wild pointer, whose return address lies on top of the stack.
 *
 * => ContextFlags is valid: CONTEXT_UNWOUND_TO_CALL in it says that Rip is a return address.
 * => false when the caller's context cannot be found; Context is then of no use.
 */
bool RtlpStepStack(CONTEXT *Context);

/*
 * Store the instruction pointers of Context's function and its callers, innermost first; at most Count of them.
 *
 * => the result is their number; Context is used up.
 */
ULONG RtlpWalkStack(CONTEXT *Context, PVOID *Frames, ULONG Count);

/*
 * Step Context, which stands somewhere inside, out of the function whose return address lies at ReturnAddressSlot
 * (_AddressOfReturnAddress()): to where it was called.
 *
 * => false when the stack cannot be unwound that far.
 */
bool RtlpUnwindToCaller(CONTEXT *Context, const void *ReturnAddressSlot);

/*
 * Capture the integer and control registers as they are when the call returns, and ContextFlags that say so; the rest
 * of Context is not touched. Enough to walk a stack, not enough to restore from.
 */
void RtlpCaptureRegisters(CONTEXT *Context);

/*
 * The caller's own address comes first, as in RtlCaptureStackBackTrace.
 *
 * => Flags = 1 asks for the user-mode stack, which is not walked: the result is 0.
 */
ULONG NTAPI RtlWalkFrameChain(PVOID *Callers, ULONG Count, ULONG Flags);

/* => BackTraceHash, if wanted, gets the sum of the captured addresses. */
USHORT NTAPI RtlCaptureStackBackTrace(ULONG FramesToSkip, ULONG FramesToCapture, PVOID *BackTrace,
                                      PULONG BackTraceHash);
