/*
 * The processor control region: what GS points to in the kernel, one a CPU.
 *
 * Offsets that drivers read inline: gs:[0x18] Self, gs:[0x20] the KPRCB, gs:[0x184] the processor's number,
 * gs:[0x188] the current thread. Everything else is ours. A field without a note is written by its own CPU only.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/trapframe.h"

#define KI_MAX_PROCESSORS 64

struct _KTHREAD;
struct _KPROCESS;
struct _EXP_CACHE;

typedef struct _KI_TLB_REQUEST {
    const void     *Va;
    PFN_COUNT       PageCount;  /* 0: everything */
    volatile LONG64 Unanswered; /* CPUs that have yet to flush; the initiator waits for 0 */
} KI_TLB_REQUEST;

typedef struct _KI_CALL_REQUEST {
    void (*Routine)(void *Context);
    void           *Context;
    volatile LONG64 Unanswered;
} KI_CALL_REQUEST;

typedef struct _KPRCB {
    ULONG             MxCsr;         /* 0x180 */
    ULONG             Number;        /* 0x184 */
    struct _KTHREAD  *CurrentThread; /* 0x188 */
    struct _KTHREAD  *NextThread;    /* chosen to run next, or NULL; LOCK_DISPATCHER */
    struct _KTHREAD  *IdleThread;
    ULONG64           RspBase;        /* kernel stack for entries from ring 3; equals TSS.RSP0 */
    ULONG64           UserRsp;        /* scratch for SYSCALL entry */
    struct _KPROCESS *CurrentProcess; /* whose CR3 is loaded */
    ULONG             ApicId;
    ULONG             Spare0;

    /* deferred procedure calls: kernel/ke/dpc.c */
    KSPIN_LOCK       DpcLock; /* LOCK_PRCB: interrupts off; guards the queue */
    LIST_ENTRY       DpcListHead;
    volatile ULONG   DpcQueueDepth;
    volatile UCHAR   DpcRoutineActive;
    volatile UCHAR   QuantumEnd;
    volatile UCHAR   DpcInterruptRequested;
    UCHAR            Spare1;
    volatile ULONG64 DpcCount;

    /* mailboxes: kernel/ke/ipi.c, tlb.c. Bit n: CPU n's request waits to be served here; set by others, atomically */
    volatile LONG64 TlbMailbox;
    volatile LONG64 CallMailbox;
    KI_TLB_REQUEST  TlbRequest; /* what this CPU asks of others */
    KI_CALL_REQUEST CallRequest;
    ULONG64         TlbRequests;
    ULONG64         TlbInterrupts;
    ULONG64         TlbMerged;
    ULONG64         TlbPages;
    ULONG64         TlbFullFlushes;

    /* time: kernel/hal/clock.c and ke/timer.c */
    volatile ULONG64 InterruptCount;
    ULONG64          TickCount;

    /* a frozen processor's state, for the bug check of another */
    volatile ULONG Frozen;
    KTRAP_FRAME   *FrozenFrame;

    struct _EXP_CACHE *PoolCache; /* never NULL once pool works; mm/poolcache.h */

    ULONG HeldRanks; /* checked build: bit r says that a KI_LOCK of rank r is held */
} KPRCB;

typedef struct _KIPCR {
    union {
        KPCR  Pcr;
        UCHAR Bytes[0x180];
    };
    KPRCB Prcb; /* 0x180 */
} KIPCR;

C_ASSERT(FIELD_OFFSET(KIPCR, Prcb) == 0x180);
C_ASSERT(FIELD_OFFSET(KIPCR, Prcb.Number) == 0x184);
C_ASSERT(FIELD_OFFSET(KIPCR, Prcb.CurrentThread) == 0x188);
C_ASSERT(FIELD_OFFSET(KPCR, Self) == 0x18 && FIELD_OFFSET(KPCR, CurrentPrcb) == 0x20);

extern KPRCB          *KiProcessorBlock[KI_MAX_PROCESSORS];
extern ULONG           KiProcessorCount; /* CPUs that run */
extern volatile LONG64 KiActiveProcessors;

static inline KPRCB *KiPrcb(void)
{
    return (KPRCB *)__readgsqword(FIELD_OFFSET(KPCR, CurrentPrcb));
}

/* The bounds of the stack that the caller runs on: the current thread's, or an IST stack's. Any IRQL. */
void KiGetStackLimits(ULONG64 *Low, ULONG64 *High);

/* Entries from ring 3 on this CPU land at StackBase from here on. IRQL >= DISPATCH_LEVEL. */
void KiSetKernelStack(ULONG64 StackBase);
