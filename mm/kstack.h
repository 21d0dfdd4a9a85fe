/*
 * Kernel stacks: KI_KERNEL_STACK_BYTES of writable, no-execute pages with a page below that is never mapped.
 */
#pragma once

#include "kernel/ke/thread.h"

/*
 * Make a stack; *StackBase is one past its highest byte, the value for KTHREAD.StackBase. Contents unknown.
 *
 * => IRQL <= DISPATCH_LEVEL. STATUS_INSUFFICIENT_RESOURCES when addresses or frames are out.
 */
NTSTATUS MiCreateKernelStack(PVOID *StackBase);

/* Give it back: nothing runs on it any more. IRQL <= DISPATCH_LEVEL. */
void MiDeleteKernelStack(PVOID StackBase);

/* Is Va in the guard page below some stack? Any IRQL. */
bool MiIsStackGuard(const void *Va);

/* Give up the stacks that wait for reuse. IRQL <= DISPATCH_LEVEL. */
void MiTrimKernelStacks(void);

void MiInitializeKernelStacks(void);
