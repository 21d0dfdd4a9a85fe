/*
 * From a vector to its handler.
 */
#pragma once

#include "kernel/ke/trapframe.h"

typedef void (*KI_INTERRUPT_HANDLER)(KTRAP_FRAME *Frame);

/* Build the IDT, which all CPUs share. Once, at boot. */
void KiInitializeIdt(void);

/* Load it on this CPU. */
void KiLoadProcessorIdt(void);

/*
 * Handler runs for Vector at IRQL Vector / 16, interrupts on, after the EOI. A vector has one handler for good.
 */
void KiSetInterruptHandler(UCHAR Vector, KI_INTERRUPT_HANDLER Handler);

/* The C side of kernel/amd64/entry.asm. */
void KiHandleTrap(KTRAP_FRAME *Frame);

/* The up-calls to mm, set once before the first fault that they must solve. */
typedef struct _KI_FAULT_CALLS {
    NTSTATUS (*AccessFault)(ULONG64 ErrorCode, PVOID Address, KPROCESSOR_MODE Mode, KTRAP_FRAME *Frame);
    bool (*IsSpurious)(ULONG64 ErrorCode, PVOID Address);
} KI_FAULT_CALLS;

extern KI_FAULT_CALLS KiFaultCalls;
