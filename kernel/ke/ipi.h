/*
 * Interprocessor interrupts. The only sender of IPIs.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/pcr.h"

/* Vectors: the high digit is the IRQL. */
#define KI_VECTOR_APC      0x1F
#define KI_VECTOR_DISPATCH 0x2F
#define KI_VECTOR_CLOCK    0xD1
#define KI_VECTOR_IPI      0xE1
#define KI_VECTOR_SPURIOUS 0xFF

/*
 * Ask this CPU (a self-IPI) to run the APC_LEVEL or DISPATCH_LEVEL work that is queued: it runs when CR8 lets it,
 * which may be before the call returns. Any IRQL.
 */
void KiRequestSoftwareInterrupt(KIRQL Level);

/* The same on another CPU: interrupt it at Level, APC_LEVEL or DISPATCH_LEVEL. Any IRQL. */
void KiRequestRemoteInterrupt(ULONG Processor, KIRQL Level);

/* Run Routine(Context) on each other CPU of Targets at IPI_LEVEL and wait until all have; IRQL <= DISPATCH_LEVEL. */
void KiCallProcessors(KAFFINITY Targets, void (*Routine)(void *Context), void *Context);
