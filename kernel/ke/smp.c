/*
 * Processors. Owns KiProcessorBlock, KiProcessorCount and KiActiveProcessors: a processor's number is its place
 * there, and nothing is ever taken out. A CPU is published (block, count, then active bit) by itself, at HIGH_LEVEL's
 * equivalent: interrupts off; it flushes its TLB after its bit is visible, so what was unmapped before it could be
 * asked is gone (see tlb.c).
 */
#include "kernel/ke/smp.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"
#include "kernel/hal/lapic.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/dpc.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/mailbox.h"
#include "kernel/ke/schedule.h"
#include "kernel/ke/tick.h"
#include "kernel/ke/time.h"
#include "kernel/ke/tlb.h"
#include "kernel/ke/trap.h"

#define KI_DEFAULT_MXCSR    0x1F80u
#define KI_AP_PARAMETERS_AT 0x200
#define KI_AP_WAIT_MS       5000 /* a virtual CPU on a busy host */

/* kernel/amd64/apstart.asm, behind its code. */
typedef struct _KI_AP_PARAMETERS {
    ULONG64 Root;
    ULONG64 Stack;
    ULONG64 Processor;
    ULONG64 Entry;
    USHORT  GdtLimit;
    UCHAR   GdtBase[4];
    UCHAR   Pad[2];
    ULONG   Far32Offset;
    ULONG   Far32Selector;
    ULONG   Far64Offset;
    ULONG   Far64Selector;
    ULONG64 Pad2;
    ULONG64 Gdt[4];
} KI_AP_PARAMETERS;
C_ASSERT(FIELD_OFFSET(KI_AP_PARAMETERS, Far32Offset) == 0x28 && FIELD_OFFSET(KI_AP_PARAMETERS, Gdt) == 0x40);

extern const UCHAR KiApStartCode[];
extern const ULONG KiApStartBytes;

DECLSPEC_ALIGN(PAGE_SIZE) KI_PROCESSOR KiBootProcessor;

KPRCB          *KiProcessorBlock[KI_MAX_PROCESSORS];
ULONG           KiProcessorCount;
volatile LONG64 KiActiveProcessors;
volatile CCHAR  KeNumberProcessors;

static volatile LONG KiApReady; /* the newcomer has published itself */

static void KiBuildGdt(KI_PROCESSOR *Processor)
{
    ULONG64  tss = (ULONG64)&Processor->Tss;
    ULONG64 *gdt = Processor->Gdt;
    gdt[KGDT64_R0_CODE / 8] = X86_DESC_CODE64_R0;
    gdt[KGDT64_R0_DATA / 8] = X86_DESC_DATA_R0;
    gdt[KGDT64_R3_CMCODE / 8] = X86_DESC_CODE32_R3;
    gdt[KGDT64_R3_DATA / 8] = X86_DESC_DATA_R3;
    gdt[KGDT64_R3_CODE / 8] = X86_DESC_CODE64_R3;
    gdt[KGDT64_SYS_TSS / 8] = (sizeof(KTSS64) - 1) | ((tss & 0xFFFFFF) << 16) | (X86_DESC_TSS64 << 40) |
                              ((tss >> 24 & 0xFF) << 56);
    gdt[KGDT64_SYS_TSS / 8 + 1] = tss >> 32;
    for (ULONG slot = 0; slot < KI_IST_COUNT; slot++) {
        Processor->Tss.Ist[slot + 1] = (ULONG64)&Processor->IstStacks[slot][KI_IST_STACK_BYTES];
    }
    Processor->Tss.IoMapBase = sizeof(KTSS64);
}

static void KiSetControlRegisters(void)
{
    ULONG64 cr4 = __readcr4() | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_SMEP | X86_CR4_SMAP;
    int     features[4];
    __cpuidex(features, 7, 0);
    if (((ULONG)features[2] & X86_CPUID_7_ECX_UMIP) != 0) {
        cr4 |= X86_CR4_UMIP;
    }
    __writecr0((__readcr0() | X86_CR0_WP | X86_CR0_NE | X86_CR0_MP) & ~X86_CR0_EM);
    __writecr4(cr4);
    __writemsr(X86_MSR_EFER, __readmsr(X86_MSR_EFER) | X86_EFER_NXE | X86_EFER_SCE);
    KiResetFpu();
    KiLoadMxcsr(KI_DEFAULT_MXCSR);
}

void KiInitializeProcessor(KI_PROCESSOR *Processor, ULONG Number)
{
    KIPCR      *pcr = &Processor->Pcr;
    KDESCRIPTOR gdtr = { .Limit = sizeof(Processor->Gdt) - 1, .Base = (ULONG64)Processor->Gdt };
    KiBuildGdt(Processor);
    KiLoadGdt(&gdtr);
    KiReloadSegments();
    KiLoadTaskRegister(KGDT64_SYS_TSS);
    pcr->Pcr.GdtBase = (union _KGDTENTRY64 *)Processor->Gdt;
    pcr->Pcr.TssBase = (struct _KTSS64 *)&Processor->Tss;
    pcr->Pcr.Self = &pcr->Pcr;
    pcr->Pcr.CurrentPrcb = &pcr->Prcb;
    pcr->Pcr.MajorVersion = PCR_MAJOR_VERSION;
    pcr->Pcr.MinorVersion = PCR_MINOR_VERSION;
    pcr->Prcb.Number = Number;
    pcr->Prcb.MxCsr = KI_DEFAULT_MXCSR;
    pcr->Prcb.CurrentProcess = KiSystemProcess;
    InitializeListHead(&pcr->Prcb.DpcListHead);
    __writemsr(X86_MSR_GS_BASE, (ULONG64)pcr);
    __writemsr(X86_MSR_KERNEL_GS_BASE, 0);
    KiLoadProcessorIdt();
    KiSetControlRegisters();
    KiClearAc();
    __writecr8(PASSIVE_LEVEL);
    KiProcessorBlock[Number] = &pcr->Prcb;
}

/* From here other CPUs may ask this one to flush and to call. */
static void KiPublishProcessor(void)
{
    KiProcessorCount++;
    KeNumberProcessors = (CCHAR)KiProcessorCount;
    KiPublishProcessorCount(KiProcessorCount);
    _InterlockedOr64(&KiActiveProcessors, 1LL << KiPrcb()->Number);
}

void KiInitializeInterrupts(const HALP_ACPI_INFO *Acpi)
{
    KiSetInterruptHandler(KI_VECTOR_APC, KiApcInterrupt);
    KiSetInterruptHandler(KI_VECTOR_DISPATCH, KiDispatchInterrupt);
    KiSetInterruptHandler(KI_VECTOR_IPI, KiIpiInterrupt);
    if (Acpi->HasLegacyPics) {
        HalpMaskLegacyPics();
    }
    HalpInitializeLocalApic();
    KiPrcb()->ApicId = HalpLocalApicId();
    KiPublishProcessor();
    HalpCalibrateClock(Acpi->PmTimerPort, Acpi->PmTimerBits);
}

DECLSPEC_NORETURN void KiRunProcessor(KI_PROCESSOR *Processor)
{
    KPRCB *prcb = &Processor->Pcr.Prcb;
    HalpInitializeLocalApic();
    prcb->ApicId = HalpLocalApicId();
    KiInitializeIdleThread(prcb, &Processor->IdleThread, (PVOID)prcb->RspBase,
                           (PVOID)(prcb->RspBase - KI_KERNEL_STACK_BYTES));
    _InterlockedOr64(&KiSystemProcess->ActiveProcessors, 1LL << prcb->Number);
    KiPublishProcessor();
    __writecr4(__readcr4() & ~X86_CR4_PGE); /* what was unmapped before the bit was visible must not linger */
    __writecr4(__readcr4() | X86_CR4_PGE);
    KiStartTicking();
    _InterlockedExchange(&KiApReady, 1);
    KiIdleLoop();
}

/* Copy the start-up code to StartPage, which is mapped here, and fill its parameter block. */
static void KiPrepareApStart(UCHAR *StartPage, ULONG StartPhysical, const KI_AP_PARAMETERS *Given)
{
    KI_AP_PARAMETERS *parameters = (KI_AP_PARAMETERS *)(StartPage + KI_AP_PARAMETERS_AT);
    ULONG             gdtBase = StartPhysical + KI_AP_PARAMETERS_AT + FIELD_OFFSET(KI_AP_PARAMETERS, Gdt);
    RtlCopyMemory(StartPage, KiApStartCode, KiApStartBytes);
    parameters->Root = Given->Root;
    parameters->Stack = Given->Stack;
    parameters->Processor = Given->Processor;
    parameters->Entry = Given->Entry;
    parameters->Far32Offset += StartPhysical;
    parameters->Far64Offset += StartPhysical;
    RtlCopyMemory(parameters->GdtBase, &gdtBase, sizeof(gdtBase));
}

bool KiStartProcessor(KI_PROCESSOR *Processor, ULONG ApicId, const KI_START_PAGE *Start, void (*Entry)(KI_PROCESSOR *))
{
    KI_AP_PARAMETERS parameters = {
        .Root = Start->Root,
        .Stack = Processor->Pcr.Prcb.RspBase,
        .Processor = (ULONG64)Processor,
        .Entry = (ULONG64)Entry,
    };
    KiPrepareApStart(Start->Mapped, Start->Physical, &parameters);
    KiApReady = 0;
    HalpStartProcessor(ApicId, Start->Physical >> PAGE_SHIFT);
    ULONG64 deadline = __rdtsc() + HalpTscPerMillisecond * KI_AP_WAIT_MS;
    while (KiApReady == 0 && __rdtsc() < deadline) {
        KiPause();
    }
    return KiApReady != 0;
}

void KiGetStackLimits(ULONG64 *Low, ULONG64 *High)
{
    KPRCB              *prcb = KiPrcb();
    const KI_PROCESSOR *processor = CONTAINING_RECORD(prcb, KI_PROCESSOR, Pcr.Prcb);
    ULONG64             here = (ULONG64)_AddressOfReturnAddress();
    for (ULONG slot = 0; slot < KI_IST_COUNT; slot++) {
        ULONG64 low = (ULONG64)processor->IstStacks[slot];
        if (here - low < KI_IST_STACK_BYTES) {
            *Low = low;
            *High = low + KI_IST_STACK_BYTES;
            return;
        }
    }
    *Low = prcb->CurrentThread->StackLimit;
    *High = prcb->CurrentThread->StackBase;
}

void KiSetKernelStack(ULONG64 StackBase)
{
    KPRCB *prcb = KiPrcb();
    prcb->RspBase = StackBase;
    CONTAINING_RECORD(prcb, KI_PROCESSOR, Pcr.Prcb)->Tss.Rsp0 = StackBase;
}

/* nf-wdm-kequeryactiveprocessorcount.md and its relatives: one group, every processor in it. Any IRQL. */
ULONG NTAPI KeQueryActiveProcessorCount(PKAFFINITY ActiveProcessors)
{
    if (ActiveProcessors != NULL) {
        *ActiveProcessors = (KAFFINITY)KiActiveProcessors;
    }
    return KiProcessorCount;
}

ULONG NTAPI KeQueryActiveProcessorCountEx(USHORT GroupNumber)
{
    return GroupNumber == 0 || GroupNumber == ALL_PROCESSOR_GROUPS ? KiProcessorCount : 0;
}

KAFFINITY NTAPI KeQueryActiveProcessors(VOID)
{
    return (KAFFINITY)KiActiveProcessors;
}

ULONG NTAPI KeQueryMaximumProcessorCount(VOID)
{
    return KI_MAX_PROCESSORS;
}
