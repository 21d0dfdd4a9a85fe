/*
 * The last words of the kernel: stop every CPU, say what happened and who is to blame, leave QEMU.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/trapframe.h"
#include "kernel/rtl/image.h"

extern RTLP_IMAGE KiKernelImage; /* ntoskrnl.exe itself, registered first */

/* Does Address lie in an image other than the kernel's? Any IRQL. */
bool KiIsDriverAddress(const void *Address);

/*
 * KeBugCheckEx, with the state to blame and to walk the stack from. A NULL Context means the caller's own.
 *
 * => any IRQL, any stack, interrupts on or off; never returns. A bug check within a bug check leaves at once.
 */
DECLSPEC_NORETURN VOID KiBugCheck(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                  const CONTEXT *Context);

/*
 * Something does not end: say Why and where every CPU is, and leave with the status that means a hang.
 *
 * => any IRQL, any stack; never returns.
 */
DECLSPEC_NORETURN VOID KiReportHang(const char *Why);

/* A non-maskable interrupt: another CPU stops this one, or the harness asks where everyone is. */
void KiHandleNmi(KTRAP_FRAME *Frame);

/* CONTEXT as seen at a trap: volatile vector state from the frame, the rest of the XMM registers not included. */
VOID KiContextFromTrapFrame(const KTRAP_FRAME *Frame, CONTEXT *Context);
