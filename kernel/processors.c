/*
 * Starting the other processors. Like main.c it stands above all layers: ke/smp.c knows how a processor is started, the
 * memory manager gives it what it needs.
 */
#include "kernel/processors.h"

#include "io/object.h"
#include "kernel/ke/smp.h"
#include "mm/cachetype.h"
#include "mm/init.h"
#include "mm/iospace.h"
#include "mm/kstack.h"
#include "mm/poolcache.h"
#include "mm/window.h"

#define KI_PROCESSOR_TAG 'crPK'

/* Where a newcomer enters C: the one-to-one map stays behind with the first CR3. */
static DECLSPEC_NORETURN void KiProcessorEntry(KI_PROCESSOR *Processor)
{
    __writecr3(KiSystemProcess->DirectoryTableBase);
    KiInitializeProcessor(Processor, KiProcessorCount);
    MiInitializeProcessorPat();
    KiRunProcessor(Processor);
}

static KI_PROCESSOR *KiAllocateProcessor(void)
{
    PVOID         stackBase;
    KI_PROCESSOR *processor = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(KI_PROCESSOR), KI_PROCESSOR_TAG);
    if (processor == NULL) {
        return NULL;
    }
    if (!NT_SUCCESS(MiCreateKernelStack(&stackBase))) {
        ExFreePoolWithTag(processor, KI_PROCESSOR_TAG);
        return NULL;
    }
    RtlZeroMemory(processor, sizeof(*processor));
    processor->Pcr.Prcb.PoolCache = &ExpNoCache;
    processor->Pcr.Prcb.RspBase = (ULONG64)stackBase;
    ObpDescribeEmbedded(&processor->IdleThread, &ObpThreadType);
    return processor;
}

void KiStartProcessors(const LOADER_BLOCK *Block, const HALP_ACPI_INFO *Acpi)
{
    KI_START_PAGE    start = { .Physical = (ULONG)Block->ApStartupPhysical };
    PHYSICAL_ADDRESS physical = { .QuadPart = (LONGLONG)Block->ApStartupPhysical };
    ULONG            bootApicId = KiProcessorBlock[0]->ApicId;

    if (Acpi->ProcessorCount <= 1) {
        return;
    }
    start.Mapped = MmMapIoSpace(physical, PAGE_SIZE, MmCached);
    MiMapIdentity(Block->ApStartupPhysical, LOADER_AP_STARTUP_PAGES, &start.Root);
    for (ULONG index = 0; index < Acpi->ProcessorCount && KiProcessorCount < KI_MAX_PROCESSORS; index++) {
        ULONG apicId = Acpi->ProcessorApicIds[index];
        if (apicId == bootApicId) {
            continue;
        }
        KI_PROCESSOR *processor = KiAllocateProcessor();
        if (processor == NULL || !KiStartProcessor(processor, apicId, &start, KiProcessorEntry)) {
            DbgPrint("the processor with APIC id %lu does not start\n", apicId);
        }
    }
    MiUnmapIdentity(Block->ApStartupPhysical, LOADER_AP_STARTUP_PAGES);
    MmUnmapIoSpace(start.Mapped, PAGE_SIZE);
}
