/*
 * TLB shootdown.
 *
 * Problem. A CPU that changed a page-table entry must know that no CPU still uses the old one before the frame or the
 * address goes to another use.
 *
 * Terms. The initiator changed the entries. A target is another CPU that may hold a translation made from them: for
 * kernel space every CPU, for a process's the CPUs of its ActiveProcessors set.
 *
 * Invariants.
 *  - Active set. A CPU that loads a process's CR3 sets its own bit in ActiveProcessors first (a locked instruction,
 *    so the bit is visible before any walk of the tables); a flusher changes the PTE, executes a full fence, then
 *    reads the set. Either the flusher sees the bit and asks, or the CPU's walk comes after the fence and sees the
 *    new entry.
 *  - A CPU that leaves clears its bit after CR3 points elsewhere (the load dropped the non-global translations).
 *  - Order of a whole unmap: clear the entries, flush here and there, and only then drop the frames' references
 *    and release the address.
 *
 *  - Generations. A flush of everything takes its number from KiTlbBegun before it asks anybody and raises KiTlbOver to
 *    it when all have answered. Entries that were cleared, with a fence, before KiTlbBegun read n are in no TLB once
 *    KiTlbOver is above n: the flush that made it so took its number later, so every CPU emptied its TLB after the
 *    entries were gone. Without the fence the number could be read while the cleared entries still wait in the store
 *    buffer, and a CPU that has answered could walk to the old ones.
 *
 * Merging. A request that finds a target's mailbox not yet emptied sends it no interrupt (ipi.c). Who waits for a
 * generation while a flush with a later number is on its way waits for that one.
 *
 * Locking and IRQL. Runs at IPI_LEVEL; takes no lock. Callers may hold any lock but one taken with interrupts off.
 *
 * Cost. One interrupt a target and call whatever the number of pages; a list longer than KI_FULL_FLUSH_PAGES empties
 * the whole TLB. Where no other CPU can hold the translation nothing but the flush itself: interrupts are turned off
 * for it, since raising CR8 is dear.
 */
#include "kernel/ke/tlb.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/irql.h"
#include "kernel/ke/mailbox.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/spinlock.h"

#define KI_EVERYTHING 0 /* a page count that means the whole TLB */

volatile LONG64        KiTlbBegun;
static volatile LONG64 KiTlbOver; /* the highest number whose flush is over */

static volatile LONG64 KiTlbMergedGenerations;

/* Empty this CPU's TLB, global entries included: CR4.PGE off and on (SDM 3A 4.10.4.1). */
static void KiFlushLocalAll(KPRCB *Prcb)
{
    ULONG64 cr4 = __readcr4();
    __writecr4(cr4 & ~X86_CR4_PGE);
    __writecr4(cr4);
    Prcb->TlbFullFlushes++;
}

static void KiFlushLocal(KPRCB *Prcb, const void *Va, PFN_COUNT PageCount)
{
    if (PageCount == KI_EVERYTHING || PageCount > KI_FULL_FLUSH_PAGES) {
        KiFlushLocalAll(Prcb);
        return;
    }
    for (PFN_COUNT page = 0; page < PageCount; page++) {
        KiInvalidatePage((const UCHAR *)Va + (SIZE_T)page * PAGE_SIZE);
    }
    Prcb->TlbPages += PageCount;
}

void KiServeTlbRequests(KPRCB *Prcb)
{
    ULONG number;
    for (ULONG64 left = (ULONG64)_InterlockedExchange64(&Prcb->TlbMailbox, 0); _BitScanForward64(&number, left);
         left &= left - 1) {
        KI_TLB_REQUEST *request = &KiProcessorBlock[number]->TlbRequest;
        KiFlushLocal(Prcb, request->Va, request->PageCount);
        _InterlockedAnd64(&request->Unanswered, ~(1LL << Prcb->Number));
    }
}

/*
 * Flush here and on the CPUs of *ActiveSet. Here last: it overlaps with the others' work. The set is read after the
 * fence that orders it behind the caller's stores to the entries.
 */
static DECLSPEC_NOINLINE void KiFlushEverywhere(const volatile LONG64 *ActiveSet, const void *Va, PFN_COUNT PageCount)
{
    KIRQL oldIrql;
    KeRaiseIrql(IPI_LEVEL, &oldIrql);
    KPRCB *prcb = KiPrcb();
    KiFullFence();
    LONG64 targets = *ActiveSet & ~(1LL << prcb->Number);
    if (targets != 0) {
        prcb->TlbRequest = (KI_TLB_REQUEST){ .Va = Va, .PageCount = PageCount, .Unanswered = targets };
        ULONG interrupts = KiPostToMailboxes(FIELD_OFFSET(KPRCB, TlbMailbox), targets);
        prcb->TlbRequests++;
        prcb->TlbInterrupts += interrupts;
        prcb->TlbMerged += __popcnt64((ULONG64)targets) - interrupts;
    }
    KiFlushLocal(prcb, Va, PageCount);
    if (targets != 0) {
        KiWaitForAnswers(&prcb->TlbRequest.Unanswered);
    }
    KeLowerIrql(oldIrql);
}

/* The same, at once where *ActiveSet has no other CPU: the thread stays here while interrupts are off. */
static void KiFlush(const volatile LONG64 *ActiveSet, const void *Va, PFN_COUNT PageCount)
{
    NT_ASSERT(KeGetCurrentIrql() < IPI_LEVEL);
    bool   wereOn = KiDisableInterrupts();
    KPRCB *prcb = KiPrcb();
    KiFullFence();
    bool isHereOnly = (*ActiveSet & ~(1LL << prcb->Number)) == 0;
    if (isHereOnly) {
        KiFlushLocal(prcb, Va, PageCount);
    }
    KiRestoreInterrupts(wereOn);
    if (!isHereOnly) {
        KiFlushEverywhere(ActiveSet, Va, PageCount);
    }
}

void KiFlushSystemRange(const void *Va, PFN_COUNT PageCount)
{
    if (PageCount > KI_FULL_FLUSH_PAGES) {
        KiFlushEntireTb();
    } else if (PageCount != 0) {
        KiFlush(&KiActiveProcessors, Va, PageCount);
    }
}

void KiFlushProcessRange(KPROCESS *Process, const void *Va, PFN_COUNT PageCount)
{
    if (PageCount != 0) {
        KiFlush(&Process->ActiveProcessors, Va, PageCount);
    }
}

/* Flushes may end in another order than they began: the highest number counts. */
static void KiRaiseTlbOver(LONG64 Generation)
{
    LONG64 over = KiTlbOver;
    while (over < Generation) {
        LONG64 found = _InterlockedCompareExchange64(&KiTlbOver, Generation, over);
        over = found == over ? Generation : found;
    }
}

/* At IPI_LEVEL from the number on: others wait for the end of a flush that has begun. */
DECLSPEC_NOINLINE void KiFlushEntireTb(void)
{
    KIRQL oldIrql;
    NT_ASSERT(KeGetCurrentIrql() < IPI_LEVEL);
    KeRaiseIrql(IPI_LEVEL, &oldIrql);
    LONG64 generation = _InterlockedIncrement64(&KiTlbBegun);
    KiFlushEverywhere(&KiActiveProcessors, NULL, KI_EVERYTHING);
    KiRaiseTlbOver(generation);
    KeLowerIrql(oldIrql);
}

bool KiIsTlbGenerationOver(ULONG64 Generation)
{
    return (ULONG64)KiTlbOver > Generation;
}

void KiFinishTlbGeneration(ULONG64 Generation)
{
    if (KiReadTlbGeneration() <= Generation) {
        KiFlushEntireTb();
        return;
    }
    KI_SPIN spin = { 0 };
    _InterlockedIncrement64(&KiTlbMergedGenerations);
    while (!KiIsTlbGenerationOver(Generation)) {
        if (KiSpin(&spin)) {
            KiReportHang("a flush of all processors does not end within ten seconds");
        }
    }
}

void KiFlushLocalPage(const void *Va)
{
    KiInvalidatePage(Va);
}

void KiSwapProcess(KPROCESS *To, KPROCESS *From)
{
    LONG64 self = 1LL << KiPrcb()->Number;
    _InterlockedOr64(&To->ActiveProcessors, self); /* before the load: see Active set above */
    __writecr3(To->DirectoryTableBase);
    _InterlockedAnd64(&From->ActiveProcessors, ~self);
    KiPrcb()->CurrentProcess = To;
}

KI_TLB_COUNTERS KiReadTlbCounters(void)
{
    KI_TLB_COUNTERS sum = { .Merged = (ULONG64)KiTlbMergedGenerations };
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        const KPRCB *prcb = KiProcessorBlock[number];
        sum.Requests += prcb->TlbRequests;
        sum.Interrupts += prcb->TlbInterrupts;
        sum.Merged += prcb->TlbMerged;
        sum.Pages += prcb->TlbPages;
        sum.FullFlushes += prcb->TlbFullFlushes;
    }
    return sum;
}
