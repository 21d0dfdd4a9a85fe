/*
 * Segment descriptors, gates and the task-state segment (SDM 3A 3.4.5, 6.14, 7.7), and the selectors, which are NT's.
 */
#pragma once

#include "kernel/ddk.h"

#define KGDT64_R0_CODE   0x10
#define KGDT64_R0_DATA   0x18
#define KGDT64_R3_CMCODE 0x20
#define KGDT64_R3_DATA   0x28
#define KGDT64_R3_CODE   0x30
#define KGDT64_SYS_TSS   0x40
#define KI_GDT_SLOTS     10 /* the TSS descriptor takes two */

#define X86_DESC_CODE64_R0 0x00209B0000000000ull /* present, code, readable, L, accessed */
#define X86_DESC_DATA_R0   0x00CF93000000FFFFull
#define X86_DESC_CODE32_R3 0x00CFFB000000FFFFull
#define X86_DESC_DATA_R3   0x00CFF3000000FFFFull
#define X86_DESC_CODE64_R3 0x0020FB0000000000ull
#define X86_DESC_TSS64     0x89ull /* present, available 64-bit TSS */
#define X86_GATE_INTERRUPT 0x8E00u /* present, DPL 0, IF cleared on entry */
#define X86_GATE_DPL3      0x6000u

/* Interrupt stack table slots. */
#define KI_IST_DOUBLE_FAULT  1
#define KI_IST_NMI           2
#define KI_IST_MACHINE_CHECK 3
#define KI_IST_DEBUG         4
#define KI_IST_COUNT         4

#pragma pack(push, 4)
typedef struct _KTSS64 {
    ULONG   Reserved0;
    ULONG64 Rsp0;
    ULONG64 Rsp1;
    ULONG64 Rsp2;
    ULONG64 Ist[8];
    ULONG64 Reserved1;
    USHORT  Reserved2;
    USHORT  IoMapBase;
} KTSS64;
#pragma pack(pop)
C_ASSERT(sizeof(KTSS64) == 0x68);

typedef struct _KI_IDT_GATE {
    USHORT OffsetLow;
    USHORT Selector;
    USHORT Attributes; /* IST in bits 2..0, type, DPL, P */
    USHORT OffsetMiddle;
    ULONG  OffsetHigh;
    ULONG  Reserved;
} KI_IDT_GATE;
C_ASSERT(sizeof(KI_IDT_GATE) == 16);

#pragma pack(push, 1)
typedef struct _KDESCRIPTOR {
    USHORT  Limit;
    ULONG64 Base;
} KDESCRIPTOR;
#pragma pack(pop)
