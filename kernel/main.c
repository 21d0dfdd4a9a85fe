/*
 * KiSystemStartup: the order in which the kernel comes up, one call and one gloss a line.
 *
 * The boot processor arrives on the loader's stack and becomes its own idle thread there; everything after the
 * scheduler runs on a system thread (KiPhase1), as drivers do.
 */
#include "boot/loaderblock.h"
#include "io/driver.h"
#include "io/exwork.h"
#include "io/file.h"
#include "io/ldr/load.h"
#include "io/object.h"
#include "io/psthread.h"
#include "kernel/bench.h"
#include "kernel/hal/acpi.h"
#include "kernel/hal/clock.h"
#include "kernel/hal/exitport.h"
#include "kernel/hal/lapic.h"
#include "kernel/hal/serial.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/dbgprint.h"
#include "kernel/ke/schedule.h"
#include "kernel/ke/smp.h"
#include "kernel/ke/tick.h"
#include "kernel/ke/time.h"
#include "kernel/ke/tlb.h"
#include "kernel/ke/trap.h"
#include "kernel/processors.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/image.h"
#include "mm/init.h"
#include "mm/iospace.h"
#include "mm/pfn.h"
#include "mm/pool.h"
#include "tests/lib/ktest.h"
#include "tests/mm/levels.h"

#define KI_KERNEL_NAME "ntoskrnl.exe"

C_ASSERT(sizeof(OBJECT_HEADER) == KI_OBJECT_HEADER_BYTES);

static LOADER_BLOCK  *KiLoaderBlock;
static HALP_ACPI_INFO KiAcpiInfo;

DECLSPEC_NORETURN void KiSystemStartup(LOADER_BLOCK *Block);

static void KiRegisterKernelImage(const LOADER_BLOCK *Block)
{
    RtlpInitializeImage(&KiKernelImage, KI_KERNEL_NAME, (const void *)Block->KernelBase, Block->KernelBytes);
    RtlpSetImageSymbols(&KiKernelImage, Block->KernelSymbols, Block->KernelSymbolCount, Block->KernelSymbolBytes);
    RtlpInsertImage(&KiKernelImage);
}

static void KiParseOptions(const LOADER_BLOCK *Block)
{
    const char *unknown = RtlpParseCommandLine(Block->CommandLine);
    if (unknown != NULL) {
        DbgPrint("unknown word on the kernel command line: %s\n", unknown);
        HalpExit(HalpExitUsage);
    }
}

static const void *KiMapAcpi(ULONG64 Physical, SIZE_T ByteCount)
{
    return MmMapIoSpace((PHYSICAL_ADDRESS){ .QuadPart = (LONGLONG)Physical }, ByteCount, MmCached);
}

static void KiInitializeHardware(void)
{
    if (!HalpParseAcpi(KiLoaderBlock->RsdpPhysical, KiMapAcpi, &KiAcpiInfo)) {
        KeBugCheckEx(ACPI_BIOS_ERROR, 0, KiLoaderBlock->RsdpPhysical, 0, 0);
    }
    PHYSICAL_ADDRESS apic = { .QuadPart = (LONGLONG)KiAcpiInfo.LocalApicPhysical };
    HalpMapLocalApic(MmMapIoSpace(apic, PAGE_SIZE, MmNonCached));
    KiInitializeInterrupts(&KiAcpiInfo);
}

/* What this run is for: one of the command line's words, or the drivers of the archive. */
static ULONG KiRunWork(void)
{
    if (KiOptions.ListTests) {
        KtListTests();
        return 0;
    }
    if (KiOptions.TestGlobs != NULL) {
        KtRegisterMemoryLevels();
        return KtRunTests(KiOptions.TestGlobs);
    }
    if (KiOptions.Bench) {
        KiRunBenchmarks();
        return 0;
    }
    return IopRunDrivers(KiLoaderBlock);
}

static void NTAPI KiPhase1(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    ExpInitializeWorkers();                        /* worker threads */
    KiStartProcessors(KiLoaderBlock, &KiAcpiInfo); /* the other CPUs */
    DbgPrint("%lu processors, %lu MiB of memory\n", KiProcessorCount, (ULONG)(MiRamFrameCount >> 8));
    ULONG failed = KiRunWork();
    KiFlushOutput();
    HalpExit(failed == 0 ? HalpExitPass : HalpExitFail);
}

static void KiStartPhase1(void)
{
    HANDLE   thread;
    NTSTATUS status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, KiPhase1, NULL);
    if (!NT_SUCCESS(status)) {
        KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)status, 0, 0, 0);
    }
    ZwClose(thread);
}

DECLSPEC_NORETURN void KiSystemStartup(LOADER_BLOCK *Block)
{
    KPRCB *prcb = &KiBootProcessor.Pcr.Prcb;
    PVOID  stackLimit = (PVOID)(Block->BootStackTop - Block->BootStackBytes);

    KiLoaderBlock = Block;
    KiInitializeIdt();                          /* one table of gates for all CPUs */
    KiInitializeProcessor(&KiBootProcessor, 0); /* segments, GS, control registers */
    KiInitializeIdleThread(prcb, &KiBootProcessor.IdleThread, (PVOID)Block->BootStackTop, stackLimit);
    KiRegisterKernelImage(Block); /* names for stack traces */
    HalpInitializeSerial();       /* the log */
    DbgPrint("Pinfold kernel 10.0.19041 at 0x%016llX\n", Block->KernelBase);
    KiParseOptions(Block);               /* what the command line asks for */
    MiInitSystem(Block);                 /* page tables, frames, regions */
    MiInitializePool();                  /* nonpaged and paged */
    KiInitializeScheduler();             /* ready queues, timers */
    KiInitializeTime(Block->SystemTime); /* KUSER_SHARED_DATA */
    KiPublishPhysicalPages((ULONG)MiRamFrameCount);
    KiInitializeHardware(); /* ACPI, local APIC, clock rate */
    ObpInitialize();        /* objects and handles */
    ObpDescribeEmbedded(&KiBootProcessor.IdleThread, &ObpThreadType);
    IopInitializeFiles(); /* devices that are opened */
    PspInitialize();      /* processes and threads as objects */
    LdrpInitialize();     /* driver images */
    KiStartTicking();     /* the 64 Hz clock */
    KiStartPhase1();      /* the rest runs on a thread */
    _enable();
    KiIdleLoop();
}
