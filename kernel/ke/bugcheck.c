/*
 * Bug checks and hang reports.
 *
 * The first CPU that gets here owns the end of the run; it stops the others by NMI, since they may have interrupts
 * off, and each leaves its trap frame in its PRCB and halts. A second bug check on the owner means that the report
 * itself fails: it leaves at once with the right status. All state is static and written by the owner alone: the
 * pool, the stack's remaining depth and every lock are suspect by now.
 *
 * Blame: the first frame of the stack that lies in a driver. The kernel's own routines that run on a driver's behalf,
 * memcpy among them, so never hide it.
 */
#include "kernel/ke/bugcheck.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"
#include "kernel/hal/exitport.h"
#include "kernel/hal/lapic.h"
#include "kernel/ke/bugcallback.h"
#include "kernel/ke/bugnames.h"
#include "kernel/ke/dbgprint.h"
#include "kernel/rtl/stackwalk.h"
#include "kernel/rtl/symbols.h"

#define KI_NO_OWNER       0
#define KI_STACK_FRAMES   48
#define KI_FREEZE_WAIT_MS 3000 /* long enough for 64 virtual CPUs on two host cores to take an NMI */

RTLP_IMAGE KiKernelImage;

static volatile LONG KiCrashOwner; /* processor number + 1 */
static CONTEXT       KiCrashContext;
static PVOID         KiCrashFrames[KI_STACK_FRAMES];
static bool          KiCrashIsHang;

bool KiIsDriverAddress(const void *Address)
{
    const RTLP_IMAGE *image = RtlpFindImage(Address);
    return image != NULL && image != &KiKernelImage;
}

/* Become the owner, or stop here for good. True for the owner's second coming. */
static bool KiClaimCrash(void)
{
    LONG self = (LONG)KiPrcb()->Number + 1;
    LONG owner = _InterlockedCompareExchange(&KiCrashOwner, self, KI_NO_OWNER);
    if (owner == KI_NO_OWNER) {
        return false;
    }
    while (owner != self) {
        KiHalt(); /* the owner's NMI freezes this CPU as it would any other */
    }
    return true;
}

static void KiFreezeOthers(void)
{
    LONG64  others = KiActiveProcessors & ~(1LL << KiPrcb()->Number);
    ULONG64 deadline = __rdtsc() + HalpTscPerMillisecond * KI_FREEZE_WAIT_MS;
    if (others == 0) {
        return;
    }
    HalpSendNmiToOthers();
    while (__rdtsc() < deadline) {
        LONG64 frozen = 0;
        for (ULONG number = 0; number < KiProcessorCount; number++) {
            if (KiProcessorBlock[number] != NULL && KiProcessorBlock[number]->Frozen != 0) {
                frozen |= 1LL << number;
            }
        }
        if ((frozen & others) == others) {
            return;
        }
        KiPause();
    }
}

static PVOID KiFindBlame(ULONG FrameCount)
{
    for (ULONG index = 0; index < FrameCount; index++) {
        if (KiIsDriverAddress(KiCrashFrames[index])) {
            return KiCrashFrames[index];
        }
    }
    return NULL;
}

static void KiPrintBlame(ULONG FrameCount)
{
    char  text[RTLP_SYMBOL_BYTES];
    PVOID blamed = KiFindBlame(FrameCount);
    if (blamed == NULL && FrameCount != 0) {
        blamed = KiCrashFrames[0];
        if (RtlpFindImage(blamed) == NULL && FrameCount > 1) {
            blamed = KiCrashFrames[1]; /* a jump to nowhere: its caller */
        }
    }
    RtlpFormatModuleOffset(blamed, text, sizeof(text));
    KiPrintFormat("*** %s", text);
}

static void KiPrintParameters(const KI_BUG_NAME *Bug, const ULONG_PTR *Parameters)
{
    for (ULONG index = 0; index < 4; index++) {
        const char *words = Bug != NULL && Bug->Parameters[index] != NULL ? Bug->Parameters[index] : "reserved";
        char        where[RTLP_SYMBOL_BYTES];
        if (RtlpFindImage((const void *)Parameters[index]) != NULL) {
            RtlpFormatAddress((const void *)Parameters[index], where, sizeof(where));
            KiPrintFormat("    P%lu 0x%016llX  %s: %s", index + 1, (ULONG64)Parameters[index], words, where);
        } else {
            KiPrintFormat("    P%lu 0x%016llX  %s", index + 1, (ULONG64)Parameters[index], words);
        }
    }
}

static void KiPrintStack(ULONG FrameCount)
{
    char text[RTLP_SYMBOL_BYTES];
    KiPrintFormat("stack of CPU %lu:", (ULONG)KiPrcb()->Number);
    for (ULONG index = 0; index < FrameCount; index++) {
        RtlpFormatAddress(KiCrashFrames[index], text, sizeof(text));
        KiPrintFormat("    %02lu %s", index, text);
    }
}

static void KiPrintProcessor(KPRCB *Prcb)
{
    char text[RTLP_SYMBOL_BYTES];
    if (Prcb->FrozenFrame == NULL) {
        KiPrintFormat("CPU %lu: did not answer the NMI", (ULONG)Prcb->Number);
        return;
    }
    KTRAP_FRAME *frame = Prcb->FrozenFrame;
    RtlpFormatAddress((const void *)frame->Rip, text, sizeof(text));
    KiPrintFormat("CPU %lu: %s, IRQL %lu, thread 0x%016llX", (ULONG)Prcb->Number, text, (ULONG)frame->PreviousIrql,
                  (ULONG64)Prcb->CurrentThread);
    if (!KiCrashIsHang) {
        return;
    }
    KiContextFromTrapFrame(frame, &KiCrashContext);
    ULONG count = RtlpWalkStack(&KiCrashContext, KiCrashFrames, KI_STACK_FRAMES);
    for (ULONG index = 1; index < count; index++) {
        RtlpFormatAddress(KiCrashFrames[index], text, sizeof(text));
        KiPrintFormat("    %02lu %s", index, text);
    }
}

static void KiPrintOtherProcessors(void)
{
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        KPRCB *prcb = KiProcessorBlock[number];
        if (prcb != NULL && prcb != KiPrcb()) {
            KiPrintProcessor(prcb);
        }
    }
}

/* Interrupts off, output unlocked, the others stopped. A second call leaves at once. */
static void KiBeginLastWords(HALP_EXIT_CODE Code)
{
    _disable();
    if (KiClaimCrash()) {
        HalpExit(Code);
    }
    KiEnterPanicOutput();
    KiFreezeOthers();
}

static ULONG KiWalkCrashStack(const CONTEXT *Context)
{
    if (Context != NULL) {
        KiCrashContext = *Context;
    }
    return RtlpWalkStack(&KiCrashContext, KiCrashFrames, KI_STACK_FRAMES);
}

DECLSPEC_NORETURN VOID KiBugCheck(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3, ULONG_PTR P4,
                                  const CONTEXT *Context)
{
    const KI_BUG_NAME *bug = KiFindBugName(Code);
    const ULONG_PTR    parameters[4] = { P1, P2, P3, P4 };

    KiBeginLastWords(HalpExitBugCheck);
    if (Context == NULL) {
        RtlpCaptureRegisters(&KiCrashContext);
    }
    ULONG frameCount = KiWalkCrashStack(Context);
    KiPrintFormat("*** STOP: 0x%08lX (0x%016llX,0x%016llX,0x%016llX,0x%016llX)", Code, (ULONG64)P1, (ULONG64)P2,
                  (ULONG64)P3, (ULONG64)P4);
    KiPrintFormat("*** %s", bug != NULL ? bug->Name : "UNKNOWN_BUG_CHECK");
    KiPrintBlame(frameCount);
    KiPrintParameters(bug, parameters);
    KiPrintStack(frameCount);
    KiPrintOtherProcessors();
    KiPrintFormat("# bug check complete");
    KiRunBugCheckCallbacks();
    KiFlushOutput();
    HalpSignalPanic();
    HalpExit(HalpExitBugCheck);
}

DECLSPEC_NORETURN VOID NTAPI KeBugCheckEx(ULONG BugCheckCode, ULONG_PTR BugCheckParameter1,
                                          ULONG_PTR BugCheckParameter2, ULONG_PTR BugCheckParameter3,
                                          ULONG_PTR BugCheckParameter4)
{
    KiBugCheck(BugCheckCode, BugCheckParameter1, BugCheckParameter2, BugCheckParameter3, BugCheckParameter4, NULL);
}

DECLSPEC_NORETURN VOID NTAPI KeBugCheck(ULONG BugCheckCode)
{
    KiBugCheck(BugCheckCode, 0, 0, 0, 0, NULL);
}

DECLSPEC_NORETURN VOID KiReportHang(const char *Why)
{
    KiBeginLastWords(HalpExitHang);
    RtlpCaptureRegisters(&KiCrashContext);
    KiCrashIsHang = true;
    KiPrintFormat("# hang: %s", Why);
    KiPrintStack(KiWalkCrashStack(NULL));
    KiPrintOtherProcessors();
    KiPrintFormat("# hang report complete");
    HalpSignalPanic();
    HalpExit(HalpExitHang);
}

void KiHandleNmi(KTRAP_FRAME *Frame)
{
    KPRCB *prcb = KiPrcb();
    prcb->FrozenFrame = Frame;
    LONG owner = _InterlockedCompareExchange(&KiCrashOwner, KI_NO_OWNER, KI_NO_OWNER);
    if (owner == (LONG)prcb->Number + 1) {
        prcb->FrozenFrame = NULL;
        return; /* the harness's NMI in the middle of a report: the report goes on */
    }
    if (owner == KI_NO_OWNER) {
        KiReportHang("a non-maskable interrupt from outside asks where everyone is");
    }
    prcb->Frozen = 1;
    for (;;) {
        KiHalt(); /* interrupts are off: an NMI gate clears IF */
    }
}
