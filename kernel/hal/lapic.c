/*
 * xAPIC. A command is two writes, high half then low, so the pair is made with interrupts off; an NMI handler that
 * sends saves and restores the high half. The self and all-but-self shorthands need no high half, and so no such
 * care.
 */
#include "kernel/hal/lapic.h"

#include "kernel/amd64/apic.h"
#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"

#define HALP_SPURIOUS_VECTOR 0xFFu
#define HALP_PIC_MASTER_MASK 0x21u /* 8259 OCW1 */
#define HALP_PIC_SLAVE_MASK  0xA1u
#define HALP_INIT_WAIT_US    10000 /* SDM 3A 8.4.4: 10 ms after INIT */
#define HALP_STARTUP_WAIT_US 200   /* and 200 us after each STARTUP */

static volatile UCHAR *HalpLocalApic;

static ULONG HalpRead(ULONG Register)
{
    return *(volatile ULONG *)(HalpLocalApic + Register);
}

static void HalpWrite(ULONG Register, ULONG Value)
{
    *(volatile ULONG *)(HalpLocalApic + Register) = Value;
}

void HalpMapLocalApic(void *Registers)
{
    HalpLocalApic = Registers;
}

void HalpInitializeLocalApic(void)
{
    HalpWrite(X86_APIC_SVR, X86_APIC_SVR_ENABLE | HALP_SPURIOUS_VECTOR);
    HalpWrite(X86_APIC_LVT_TIMER, X86_APIC_LVT_MASKED);
    HalpWrite(X86_APIC_LVT_LINT0, X86_APIC_LVT_MASKED);
    HalpWrite(X86_APIC_LVT_LINT1, X86_APIC_LVT_NMI);
    HalpWrite(X86_APIC_LVT_ERROR, X86_APIC_LVT_MASKED);
    HalpWrite(X86_APIC_EOI, 0);
}

void HalpMaskLegacyPics(void)
{
    __outbyte(HALP_PIC_MASTER_MASK, 0xFF);
    __outbyte(HALP_PIC_SLAVE_MASK, 0xFF);
}

ULONG HalpLocalApicId(void)
{
    return HalpRead(X86_APIC_ID) >> X86_APIC_DEST_SHIFT;
}

void HalpEndOfInterrupt(void)
{
    HalpWrite(X86_APIC_EOI, 0);
}

static void HalpWaitDelivered(void)
{
    while ((HalpRead(X86_APIC_ICR_LOW) & X86_APIC_ICR_PENDING) != 0) {
        KiPause();
    }
}

static void HalpSendCommand(ULONG ApicId, ULONG Command)
{
    ULONG64 flags = __readeflags();
    _disable();
    HalpWaitDelivered();
    HalpWrite(X86_APIC_ICR_HIGH, ApicId << X86_APIC_DEST_SHIFT);
    HalpWrite(X86_APIC_ICR_LOW, Command | X86_APIC_ICR_ASSERT);
    if ((flags & X86_EFLAGS_IF) != 0) {
        _enable();
    }
}

void HalpSendSelf(UCHAR Vector)
{
    HalpWrite(X86_APIC_ICR_LOW, X86_APIC_ICR_SELF | X86_APIC_ICR_ASSERT | X86_APIC_ICR_FIXED | Vector);
}

void HalpSendFixed(ULONG ApicId, UCHAR Vector)
{
    HalpSendCommand(ApicId, X86_APIC_ICR_FIXED | Vector);
}

void HalpSendNmiToOthers(void)
{
    HalpWrite(X86_APIC_ICR_LOW, X86_APIC_ICR_ALL_BUT_SELF | X86_APIC_ICR_ASSERT | X86_APIC_ICR_NMI);
}

void HalpStartProcessor(ULONG ApicId, ULONG StartPage)
{
    HalpSendCommand(ApicId, X86_APIC_ICR_INIT);
    KeStallExecutionProcessor(HALP_INIT_WAIT_US);
    for (ULONG attempt = 0; attempt < 2; attempt++) {
        HalpSendCommand(ApicId, X86_APIC_ICR_STARTUP | StartPage);
        KeStallExecutionProcessor(HALP_STARTUP_WAIT_US);
    }
}

void HalpArmTimer(UCHAR Vector, ULONG Count)
{
    HalpWrite(X86_APIC_TIMER_DIVIDE, X86_APIC_TIMER_DIVIDE_16);
    HalpWrite(X86_APIC_LVT_TIMER, X86_APIC_TIMER_PERIODIC | Vector);
    HalpWrite(X86_APIC_TIMER_INITIAL, Count);
}

void HalpStartTimerMasked(ULONG Count)
{
    HalpWrite(X86_APIC_TIMER_DIVIDE, X86_APIC_TIMER_DIVIDE_16);
    HalpWrite(X86_APIC_LVT_TIMER, X86_APIC_LVT_MASKED);
    HalpWrite(X86_APIC_TIMER_INITIAL, Count);
}

ULONG HalpReadTimer(void)
{
    return HalpRead(X86_APIC_TIMER_CURRENT);
}
