/*
 * Local APIC registers by byte offset in its page (SDM 3A, chapter 11). xAPIC mode.
 */
#pragma once

#define X86_APIC_ID            0x020u /* bits 31..24 */
#define X86_APIC_EOI           0x0B0u
#define X86_APIC_SVR           0x0F0u
#define X86_APIC_ESR           0x280u
#define X86_APIC_ICR_LOW       0x300u
#define X86_APIC_ICR_HIGH      0x310u /* destination in bits 31..24 */
#define X86_APIC_LVT_TIMER     0x320u
#define X86_APIC_LVT_LINT0     0x350u
#define X86_APIC_LVT_LINT1     0x360u
#define X86_APIC_LVT_ERROR     0x370u
#define X86_APIC_TIMER_INITIAL 0x380u
#define X86_APIC_TIMER_CURRENT 0x390u
#define X86_APIC_TIMER_DIVIDE  0x3E0u

#define X86_APIC_SVR_ENABLE      0x100u
#define X86_APIC_LVT_MASKED      0x10000u
#define X86_APIC_LVT_NMI         0x400u
#define X86_APIC_TIMER_PERIODIC  0x20000u
#define X86_APIC_TIMER_DIVIDE_16 0x3u

#define X86_APIC_ICR_FIXED        0x00000u
#define X86_APIC_ICR_NMI          0x00400u
#define X86_APIC_ICR_INIT         0x00500u
#define X86_APIC_ICR_STARTUP      0x00600u
#define X86_APIC_ICR_PENDING      0x01000u
#define X86_APIC_ICR_ASSERT       0x04000u
#define X86_APIC_ICR_SELF         0x40000u
#define X86_APIC_ICR_ALL_BUT_SELF 0xC0000u
#define X86_APIC_DEST_SHIFT       24
