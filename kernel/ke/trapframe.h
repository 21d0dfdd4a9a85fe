/*
 * KTRAP_FRAME: what kernel/amd64/entry.asm leaves on the stack for every interrupt and exception.
 *
 * The processor aligns RSP to 16 before it pushes SS, so the error code's slot is 16-aligned and so is the frame. All
 * sixteen integer registers are saved, and of the vector state what the ABI calls volatile: XMM0-5 and MXCSR. The
 * first 32 bytes are the home space of the C routine that the stub calls with RCX = the frame. The stub's unwind data
 * describe exactly this picture; entry.asm's offsets are asserted in kernel/ke/trap.c.
 */
#pragma once

#include "kernel/ddk.h"

typedef struct _KTRAP_FRAME {
    ULONG64 Home[4];      /* 0x000 */
    M128A   Xmm[6];       /* 0x020 */
    ULONG64 Rax;          /* 0x080 */
    ULONG64 Rcx;          /* 0x088 */
    ULONG64 Rdx;          /* 0x090 */
    ULONG64 R8;           /* 0x098 */
    ULONG64 R9;           /* 0x0A0 */
    ULONG64 R10;          /* 0x0A8 */
    ULONG64 R11;          /* 0x0B0 */
    ULONG64 Rbx;          /* 0x0B8 */
    ULONG64 Rsi;          /* 0x0C0 */
    ULONG64 Rdi;          /* 0x0C8 */
    ULONG64 R12;          /* 0x0D0 */
    ULONG64 R13;          /* 0x0D8 */
    ULONG64 R14;          /* 0x0E0 */
    ULONG64 R15;          /* 0x0E8 */
    ULONG64 FaultAddress; /* 0x0F0: CR2 of a page fault, else undefined */
    ULONG   MxCsr;        /* 0x0F8 */
    UCHAR   PreviousIrql; /* 0x0FC: CR8 when the frame was made */
    UCHAR   Reserved[3];
    ULONG64 Rbp;       /* 0x100 */
    ULONG64 Vector;    /* 0x108 */
    ULONG64 ErrorCode; /* 0x110: 0 where the processor pushes none */
    ULONG64 Rip;       /* 0x118 */
    ULONG64 SegCs;     /* 0x120 */
    ULONG64 EFlags;    /* 0x128 */
    ULONG64 Rsp;       /* 0x130 */
    ULONG64 SegSs;     /* 0x138 */
} KTRAP_FRAME;

C_ASSERT(sizeof(KTRAP_FRAME) == 0x140);
C_ASSERT(FIELD_OFFSET(KTRAP_FRAME, Rbp) == 0x100);
C_ASSERT(FIELD_OFFSET(KTRAP_FRAME, Rip) == 0x118);
