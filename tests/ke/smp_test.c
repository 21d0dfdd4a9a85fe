/*
 * What every processor is set to.
 */
#include "kernel/ke/smp.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

/* What one processor found in its registers. */
typedef struct _KT_REGISTERS {
    ULONG64 Cr0;
    ULONG64 Cr4;
    ULONG64 Efer;
    ULONG64 Pat;
} KT_REGISTERS;

static void KtReadRegisters(ULONG Index, void *Context)
{
    KT_REGISTERS *registers = Context;
    registers[Index] = (KT_REGISTERS){
        .Cr0 = __readcr0(),
        .Cr4 = __readcr4(),
        .Efer = __readmsr(X86_MSR_EFER),
        .Pat = __readmsr(X86_MSR_PAT),
    };
}

KTEST(ke_smp, every_processor_enforces_page_protection)
{
    static KT_REGISTERS registers[KT_MAX_PROCESSORS];
    ULONG64             cr4Bits = X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PGE;
    int                 features[4];
    __cpuidex(features, 7, 0);
    if (((ULONG)features[2] & X86_CPUID_7_ECX_UMIP) != 0) {
        cr4Bits |= X86_CR4_UMIP;
    }
    KtRunOnEachProcessor(KtReadRegisters, registers);
    for (ULONG number = 0; number < KeQueryActiveProcessorCount(NULL); number++) {
        KT_EXPECT_EQ(registers[number].Cr0 & X86_CR0_WP, X86_CR0_WP);
        KT_EXPECT_EQ(registers[number].Cr4 & cr4Bits, cr4Bits);
        KT_EXPECT_EQ(registers[number].Efer & X86_EFER_NXE, X86_EFER_NXE);
        KT_EXPECT_EQ(registers[number].Pat, registers[0].Pat);
    }
}
