/*
 * The local APIC of each CPU, in xAPIC mode, through one non-cached page of the MMIO region.
 */
#pragma once

#include "kernel/ddk.h"

/* Registers is the mapped page of the APIC. Once, before any other call. */
void HalpMapLocalApic(void *Registers);

/* Enable this CPU's APIC with everything local masked but LINT1 (NMI). */
void HalpInitializeLocalApic(void);

/* The two 8259s of a PC, silenced for good: every interrupt comes through an APIC. */
void HalpMaskLegacyPics(void);

ULONG HalpLocalApicId(void);
void  HalpEndOfInterrupt(void);

/* One interrupt with Vector, to this CPU or to another. Any IRQL, NMI handlers excepted. */
void HalpSendSelf(UCHAR Vector);
void HalpSendFixed(ULONG ApicId, UCHAR Vector);

/* NMI to every other CPU. Any context. */
void HalpSendNmiToOthers(void);

/* INIT, then twice STARTUP at physical page StartPage (below 1 MiB), with the waits that the SDM asks for. */
void HalpStartProcessor(ULONG ApicId, ULONG StartPage);

/*
 * The APIC timer: count down from Count, once or periodically, interrupting at Vector; and what is left of the count.
 */
void  HalpArmTimer(UCHAR Vector, ULONG Count);
void  HalpStartTimerMasked(ULONG Count);
ULONG HalpReadTimer(void);
