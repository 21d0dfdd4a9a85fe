/*
 * Stack walks; stackwalk.h states what they promise.
 */
#include "kernel/rtl/stackwalk.h"

#include "kernel/rtl/unwind.h"

bool RtlpStepStack(CONTEXT *Context)
{
    RTLP_UNWIND unwind = {
        .Image = RtlpFindImage((const void *)(ULONG_PTR)Context->Rip),
        .ControlPc = Context->Rip,
        .Context = Context,
        .StackHigh = MAXULONG_PTR,
        .IsReadable = RtlpIsReadable,
        .IsUnwoundToCall = (Context->ContextFlags & CONTEXT_UNWOUND_TO_CALL) != 0,
    };
    const RUNTIME_FUNCTION *function = NULL;
    if (unwind.Image != NULL) {
        function = RtlpFindFunction(unwind.Image, (ULONG)(Context->Rip - unwind.Image->Base));
    }
    return NT_SUCCESS(RtlpUnwind(&unwind, function));
}

ULONG RtlpWalkStack(CONTEXT *Context, PVOID *Frames, ULONG Count)
{
    for (ULONG index = 0; index < Count; index++) {
        Frames[index] = (PVOID)(ULONG_PTR)Context->Rip;
        if (!RtlpStepStack(Context) || RtlpFindImage((const void *)(ULONG_PTR)Context->Rip) == NULL) {
            return index + 1;
        }
    }
    return Count;
}

bool RtlpUnwindToCaller(CONTEXT *Context, const void *ReturnAddressSlot)
{
    do {
        if (!RtlpStepStack(Context)) {
            return false;
        }
    } while (Context->Rsp <= (ULONG_PTR)ReturnAddressSlot);
    return true;
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wframe-larger-than=" /* frame: CONTEXT */

/* Skip FramesToSkip callers of the export whose return address is at ReturnAddressSlot, store the next ones. */
static ULONG RtlpCaptureCallers(const void *ReturnAddressSlot, ULONG FramesToSkip, PVOID *Frames, ULONG Count)
{
    CONTEXT context;
    RtlpCaptureRegisters(&context);
    if (!RtlpUnwindToCaller(&context, ReturnAddressSlot)) {
        return 0;
    }
    for (ULONG skipped = 0; skipped < FramesToSkip; skipped++) {
        if (!RtlpStepStack(&context) || RtlpFindImage((const void *)(ULONG_PTR)context.Rip) == NULL) {
            return 0;
        }
    }
    return RtlpWalkStack(&context, Frames, Count);
}

#pragma clang diagnostic pop

ULONG NTAPI RtlWalkFrameChain(PVOID *Callers, ULONG Count, ULONG Flags)
{
    return Flags == 0 ? RtlpCaptureCallers(_AddressOfReturnAddress(), 0, Callers, Count) : 0;
}

USHORT NTAPI RtlCaptureStackBackTrace(ULONG FramesToSkip, ULONG FramesToCapture, PVOID *BackTrace, PULONG BackTraceHash)
{
    ULONG wanted = FramesToCapture < MAXUSHORT ? FramesToCapture : MAXUSHORT;
    ULONG count = RtlpCaptureCallers(_AddressOfReturnAddress(), FramesToSkip, BackTrace, wanted);
    if (BackTraceHash != NULL) {
        ULONG_PTR sum = 0;
        for (ULONG index = 0; index < count; index++) {
            sum += (ULONG_PTR)BackTrace[index];
        }
        *BackTraceHash = (ULONG)sum;
    }
    return (USHORT)count;
}
