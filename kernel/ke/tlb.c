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
 * Locking and IRQL. Runs at IPI_LEVEL; takes no lock. Callers may hold any lock but one taken with interrupts off.
 *
 * Cost. One interrupt a target and call whatever the number of pages; a list longer than KI_FULL_FLUSH_PAGES empties
 * the whole TLB.
 *
 * Left out. Merging, deferral and generations: the caller's unmap is eager.
 */
#include "kernel/ke/tlb.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/ke/mailbox.h"
#include "kernel/ke/pcr.h"

#define KI_EVERYTHING 0 /* a page count that means the whole TLB */

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
static void KiFlush(const volatile LONG64 *ActiveSet, const void *Va, PFN_COUNT PageCount)
{
    KIRQL oldIrql;
    NT_ASSERT(KeGetCurrentIrql() < IPI_LEVEL);
    KeRaiseIrql(IPI_LEVEL, &oldIrql);
    KPRCB *prcb = KiPrcb();
    KiFullFence();
    LONG64 targets = *ActiveSet & ~(1LL << prcb->Number);
    if (targets != 0) {
        prcb->TlbRequest = (KI_TLB_REQUEST){ .Va = Va, .PageCount = PageCount, .Unanswered = targets };
        prcb->TlbRequests++;
        prcb->TlbInterrupts += KiPostToMailboxes(FIELD_OFFSET(KPRCB, TlbMailbox), targets);
    }
    KiFlushLocal(prcb, Va, PageCount);
    if (targets != 0) {
        KiWaitForAnswers(&prcb->TlbRequest.Unanswered);
    }
    KeLowerIrql(oldIrql);
}

void KiFlushSystemRange(const void *Va, PFN_COUNT PageCount)
{
    if (PageCount != 0) {
        KiFlush(&KiActiveProcessors, Va, PageCount);
    }
}

void KiFlushProcessRange(KPROCESS *Process, const void *Va, PFN_COUNT PageCount)
{
    if (PageCount != 0) {
        KiFlush(&Process->ActiveProcessors, Va, PageCount);
    }
}

void KiFlushEntireTb(void)
{
    KiFlush(&KiActiveProcessors, NULL, KI_EVERYTHING);
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
    KI_TLB_COUNTERS sum = { 0 };
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        const KPRCB *prcb = KiProcessorBlock[number];
        sum.Requests += prcb->TlbRequests;
        sum.Interrupts += prcb->TlbInterrupts;
        sum.Pages += prcb->TlbPages;
        sum.FullFlushes += prcb->TlbFullFlushes;
    }
    return sum;
}
