/*
 * Interprocessor interrupts.
 *
 * Problem. A CPU must have work done by others and know when it is done, from any IRQL below IPI_LEVEL, while the
 * others may be asking it for the same.
 *
 * Representation. Each CPU owns one request of each kind in its PRCB and every CPU has a mailbox a kind: bit n says
 * that CPU n's request waits here. The initiator writes its request, sets its bit in each target's mailbox (a locked
 * OR: the request is visible before the bit), sends the vector where the mailbox was empty before, and waits until
 * the request's Unanswered set is empty. A target takes its whole mailbox with one exchange and answers each bit by
 * clearing its own bit in that initiator's Unanswered.
 *
 * Why a non-empty mailbox needs no second interrupt: whoever made it non-empty sent one, and the exchange that
 * empties it comes after every bit that was set before it.
 *
 * No deadlock. An initiator runs at IPI_LEVEL, so it is not interrupted by the vector, and serves its own mailboxes
 * while it waits: two CPUs that ask each other at once answer each other. A target with interrupts off answers when
 * it turns them on: nobody waits with interrupts off for a lock that an initiator may hold.
 *
 * The request is reused only after Unanswered is empty, and a CPU is at IPI_LEVEL from writing it to that point.
 */
#include "kernel/ke/ipi.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"
#include "kernel/hal/lapic.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/lock.h"
#include "kernel/ke/mailbox.h"
#include "kernel/ke/tlb.h"

#define KI_ANSWER_WAIT_MS 10000 /* then something is wrong, and the report says where everyone is */

void KiRequestSoftwareInterrupt(KIRQL Level)
{
    NT_ASSERT(Level == APC_LEVEL || Level == DISPATCH_LEVEL);
    HalpSendSelf((UCHAR)((Level << 4) | 0xF));
}

void KiRequestRemoteInterrupt(ULONG Processor, KIRQL Level)
{
    NT_ASSERT(Level == APC_LEVEL || Level == DISPATCH_LEVEL);
    HalpSendFixed(KiProcessorBlock[Processor]->ApicId, (UCHAR)((Level << 4) | 0xF));
}

ULONG KiPostToMailboxes(SIZE_T MailboxOffset, LONG64 Targets)
{
    ULONG self = KiPrcb()->Number;
    ULONG interrupts = 0;
    ULONG number;
    for (ULONG64 left = (ULONG64)Targets; _BitScanForward64(&number, left); left &= left - 1) {
        KPRCB           *target = KiProcessorBlock[number];
        volatile LONG64 *mailbox = (volatile LONG64 *)((UCHAR *)target + MailboxOffset);
        if (_InterlockedOr64(mailbox, 1LL << self) == 0) {
            HalpSendFixed(target->ApicId, KI_VECTOR_IPI);
            interrupts++;
        }
    }
    return interrupts;
}

void KiWaitForAnswers(volatile LONG64 *Unanswered)
{
    ULONG64 deadline = 0;
    while (*Unanswered != 0) {
        KiServeMailboxes();
        KiPause();
        if (deadline == 0) {
            deadline = __rdtsc() + HalpTscPerMillisecond * KI_ANSWER_WAIT_MS;
        } else if (__rdtsc() > deadline) {
            KiReportHang("a processor does not answer an interprocessor interrupt for ten seconds");
        }
    }
}

static void KiServeCalls(KPRCB *Prcb)
{
    ULONG number;
    for (ULONG64 left = (ULONG64)_InterlockedExchange64(&Prcb->CallMailbox, 0); _BitScanForward64(&number, left);
         left &= left - 1) {
        KI_CALL_REQUEST *request = &KiProcessorBlock[number]->CallRequest;
        request->Routine(request->Context);
        _InterlockedAnd64(&request->Unanswered, ~(1LL << Prcb->Number));
    }
}

void KiServeMailboxes(void)
{
    KPRCB *prcb = KiPrcb();
    if (prcb->TlbMailbox != 0) {
        KiServeTlbRequests(prcb);
    }
    if (prcb->CallMailbox != 0) {
        KiServeCalls(prcb);
    }
}

void KiIpiInterrupt(KTRAP_FRAME *Frame)
{
    UNREFERENCED_PARAMETER(Frame);
    KiServeMailboxes();
}

void KiCallProcessors(KAFFINITY Targets, void (*Routine)(void *Context), void *Context)
{
    KPRCB *prcb;
    KIRQL  oldIrql;
    IRQL_MAX(DISPATCH_LEVEL);
    KeRaiseIrql(IPI_LEVEL, &oldIrql);
    prcb = KiPrcb();
    LONG64 targets = (LONG64)Targets & KiActiveProcessors & ~(1LL << prcb->Number);
    if (targets != 0) {
        prcb->CallRequest = (KI_CALL_REQUEST){ .Routine = Routine, .Context = Context, .Unanswered = targets };
        KiPostToMailboxes(FIELD_OFFSET(KPRCB, CallMailbox), targets);
        KiWaitForAnswers(&prcb->CallRequest.Unanswered);
    }
    KeLowerIrql(oldIrql);
}

typedef struct _KI_GENERIC_CALL {
    PKIPI_BROADCAST_WORKER Worker;
    ULONG_PTR              Argument;
    volatile LONG          Arrived; /* CPUs that are at IPI_LEVEL in this call */
    LONG                   Expected;
} KI_GENERIC_CALL;

static ULONG_PTR KiRunGenericCall(KI_GENERIC_CALL *Call)
{
    _InterlockedIncrement(&Call->Arrived);
    while (Call->Arrived != Call->Expected) {
        KiPause(); /* every CPU enters before any runs the worker: the documented rendezvous */
    }
    return Call->Worker(Call->Argument);
}

static void KiGenericCallTarget(void *Context)
{
    (void)KiRunGenericCall(Context);
}

/*
 * Run BroadcastFunction on every CPU at IPI_LEVEL, all at the same time; the caller's own result comes back.
 * Follows nf-wdm-keipigenericcall.md. => IRQL < IPI_LEVEL; waits for all.
 *
 * Two callers at once would each hold CPUs in its rendezvous, so callers take turns by a flag, and who waits serves
 * its mailboxes.
 */
ULONG_PTR NTAPI KeIpiGenericCall(PKIPI_BROADCAST_WORKER BroadcastFunction, ULONG_PTR Context)
{
    static volatile LONG busy;
    KIRQL                oldIrql;
    KeRaiseIrql(IPI_LEVEL, &oldIrql);
    while (_InterlockedExchange(&busy, 1) != 0) {
        KiServeMailboxes();
        KiPause();
    }
    KPRCB          *prcb = KiPrcb();
    LONG64          others = KiActiveProcessors & ~(1LL << prcb->Number);
    KI_GENERIC_CALL call = {
        .Worker = BroadcastFunction,
        .Argument = Context,
        .Expected = (LONG)__popcnt64((ULONG64)others) + 1,
    };
    prcb->CallRequest = (KI_CALL_REQUEST){ .Routine = KiGenericCallTarget, .Context = &call, .Unanswered = others };
    KiPostToMailboxes(FIELD_OFFSET(KPRCB, CallMailbox), others);
    ULONG_PTR result = KiRunGenericCall(&call);
    KiWaitForAnswers(&prcb->CallRequest.Unanswered);
    _InterlockedExchange(&busy, 0);
    KeLowerIrql(oldIrql);
    return result;
}
