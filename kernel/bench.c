/*
 * Benchmarks: instructions per operation, counted by the TSC under -icount, where it advances by 64 an instruction.
 *
 * Each measure repeats its operation, takes off what the empty loop costs and divides. Setup and teardown are not
 * measured. One warm-up round fills caches of the kernel's own (PTE runs, pool lists) so that the figures are those
 * of the steady state.
 */
#include "kernel/bench.h"

#include "io/object.h"
#include "io/process.h"
#include "kernel/hal/clock.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "mm/syspte.h"
#include "mm/virtual.h"

#define KI_BENCH_TAG                   'cneB'
#define KI_BENCH_TICKS_PER_INSTRUCTION 64
#define KI_BENCH_ROUNDS                32
#define KI_BENCH_MAX_PAGES             1024

/* What an operation works on; filled by setup. */
typedef struct _KI_BENCH {
    ULONG          Count; /* the row's n: pages or bytes */
    MDL           *Mdl;
    PVOID          Base; /* user memory, or whatever the setup took */
    EPROCESS      *Process;
    KAPC_STATE     Apc;
    PDEVICE_OBJECT Device;
    MMPTE         *Ptes;
    PVOID          Blocks[64];
} KI_BENCH;

typedef struct _KI_BENCH_ROW {
    const char *Name;
    bool (*Setup)(KI_BENCH *Bench);
    void (*Prepare)(KI_BENCH *Bench); /* before each operation, not measured */
    void (*Operation)(KI_BENCH *Bench);
    void (*Teardown)(KI_BENCH *Bench);
    ULONG Pairs;     /* how many of what the row counts one Operation does */
    ULONG Counts[8]; /* the n of each line; 0 ends the list */
} KI_BENCH_ROW;

static bool KiBenchNothing(KI_BENCH *Bench)
{
    UNREFERENCED_PARAMETER(Bench);
    return true;
}

static void KiBenchIdle(KI_BENCH *Bench)
{
    UNREFERENCED_PARAMETER(Bench);
}

static bool KiBenchAllocatePages(KI_BENCH *Bench)
{
    const PHYSICAL_ADDRESS zero = { .QuadPart = 0 };
    const PHYSICAL_ADDRESS all = { .QuadPart = -1 };
    Bench->Mdl = MmAllocatePagesForMdlEx(zero, all, zero, (SIZE_T)Bench->Count * PAGE_SIZE, MmCached,
                                         MM_ALLOCATE_FULLY_REQUIRED);
    return Bench->Mdl != NULL;
}

static void KiBenchFreePages(KI_BENCH *Bench)
{
    MmFreePagesFromMdl(Bench->Mdl);
    ExFreePool(Bench->Mdl);
}

static void KiBenchMapUnmap(KI_BENCH *Bench)
{
    PVOID address = MmMapLockedPagesSpecifyCache(Bench->Mdl, KernelMode, MmCached, NULL, FALSE,
                                                 NormalPagePriority | MdlMappingNoExecute);
    MmUnmapLockedPages(address, Bench->Mdl);
}

static void KiBenchMapUnmapStrict(KI_BENCH *Bench)
{
    KI_TLB_MODE mode = KiOptions.TlbMode;
    KiOptions.TlbMode = KiTlbStrict;
    KiBenchMapUnmap(Bench);
    KiOptions.TlbMode = mode;
}

static bool KiBenchReservePtes(KI_BENCH *Bench)
{
    Bench->Ptes = MiReservePtes(&MiSystemPteRegion, Bench->Count);
    return Bench->Ptes != NULL && KiBenchAllocatePages(Bench);
}

/* The floor: the plainest loop that stores as many entries. Not present, so that nothing is owed. */
static void KiBenchFloorMap(KI_BENCH *Bench)
{
    const PFN_NUMBER *frames = MmGetMdlPfnArray(Bench->Mdl);
    for (ULONG page = 0; page < Bench->Count; page++) {
        Bench->Ptes[page].Value = (frames[page] << PAGE_SHIFT) | MI_KERNEL_RW;
    }
}

static void KiBenchFloorUnmap(KI_BENCH *Bench)
{
    __stosq((ULONG64 *)Bench->Ptes, 0, Bench->Count);
}

static void KiBenchReleasePtes(KI_BENCH *Bench)
{
    KiBenchFreePages(Bench);
    KiBenchFloorUnmap(Bench); /* nothing there was ever present: no flush is owed */
    MiReleasePtes(&MiSystemPteRegion, Bench->Ptes, Bench->Count);
}

static bool KiBenchCreateUserMemory(KI_BENCH *Bench)
{
    SIZE_T bytes = (SIZE_T)Bench->Count * PAGE_SIZE;
    Bench->Base = NULL;
    if (!NT_SUCCESS(PspCreateProcess(&Bench->Process))) {
        return false;
    }
    KeStackAttachProcess((PKPROCESS)Bench->Process, &Bench->Apc);
    if (!NT_SUCCESS(
            MiAllocateVirtual(Bench->Process, &Bench->Base, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))) {
        return false;
    }
    Bench->Mdl = IoAllocateMdl(Bench->Base, (ULONG)bytes, FALSE, FALSE, NULL);
    return Bench->Mdl != NULL;
}

static void KiBenchDeleteUserMemory(KI_BENCH *Bench)
{
    IoFreeMdl(Bench->Mdl);
    KeUnstackDetachProcess(&Bench->Apc);
    ObDereferenceObject(Bench->Process);
}

static void KiBenchLockUnlock(KI_BENCH *Bench)
{
    MmProbeAndLockPages(Bench->Mdl, UserMode, IoWriteAccess);
    MmUnlockPages(Bench->Mdl);
}

/* Never-touched memory for the next lock: what was locked is unlocked, decommitted and committed again. */
static void KiBenchDecommit(KI_BENCH *Bench)
{
    PVOID  base = Bench->Base;
    SIZE_T bytes = (SIZE_T)Bench->Count * PAGE_SIZE;
    if ((Bench->Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
        MmUnlockPages(Bench->Mdl);
    }
    MiFreeVirtual(Bench->Process, &base, &bytes, MEM_DECOMMIT);
    MiAllocateVirtual(Bench->Process, &base, &bytes, MEM_COMMIT, PAGE_READWRITE);
}

static void KiBenchLock(KI_BENCH *Bench)
{
    MmProbeAndLockPages(Bench->Mdl, UserMode, IoWriteAccess);
}

static void KiBenchUnlockDelete(KI_BENCH *Bench)
{
    if ((Bench->Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0) {
        MmUnlockPages(Bench->Mdl);
    }
    KiBenchDeleteUserMemory(Bench);
}

static bool KiBenchMapOnePage(KI_BENCH *Bench)
{
    return KiBenchAllocatePages(Bench) &&
           MmMapLockedPagesSpecifyCache(Bench->Mdl, KernelMode, MmCached, NULL, FALSE,
                                        NormalPagePriority | MdlMappingNoExecute) != NULL;
}

static void KiBenchFlushSingle(KI_BENCH *Bench)
{
    void  *va = Bench->Mdl->MappedSystemVa;
    MMPTE *pte = MiPteOf(va);
    MiExchangePteNoFlush(pte, MiReadPte(pte));
    KiFlushSystemRange(va, 1);
}

static void KiBenchPoolPair(KI_BENCH *Bench)
{
    ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPoolNx, Bench->Count, KI_BENCH_TAG), KI_BENCH_TAG);
}

static void KiBenchPoolBatch(KI_BENCH *Bench)
{
    for (ULONG index = 0; index < RTL_NUMBER_OF(Bench->Blocks); index++) {
        Bench->Blocks[index] = ExAllocatePoolWithTag(NonPagedPoolNx, Bench->Count, KI_BENCH_TAG);
    }
    for (ULONG index = 0; index < RTL_NUMBER_OF(Bench->Blocks); index++) {
        /* 37 is prime to 64: every block once, in an order that follows no address */
        ExFreePoolWithTag(Bench->Blocks[index * 37 % RTL_NUMBER_OF(Bench->Blocks)], KI_BENCH_TAG);
    }
}

static void KiBenchMdlPair(KI_BENCH *Bench)
{
    IoFreeMdl(IoAllocateMdl((PVOID)PAGE_SIZE, Bench->Count * PAGE_SIZE, FALSE, FALSE, NULL));
}

/* A device whose driver completes what it gets, and a packet's way there and back: made, sent, completed, freed. */
static NTSTATUS NTAPI KiBenchComplete(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI KiBenchKeepIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static bool KiBenchCreateDevice(KI_BENCH *Bench)
{
    PVOID driver;
    if (!NT_SUCCESS(ObpCreateObject(&ObpDriverType, sizeof(DRIVER_OBJECT), &driver))) {
        return false;
    }
    ((DRIVER_OBJECT *)driver)->MajorFunction[IRP_MJ_READ] = KiBenchComplete;
    NTSTATUS status = IoCreateDevice(driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Bench->Device);
    ObDereferenceObject(driver);
    return NT_SUCCESS(status);
}

static void KiBenchDeleteDevice(KI_BENCH *Bench)
{
    IoDeleteDevice(Bench->Device);
}

static void KiBenchIrpRoundTrip(KI_BENCH *Bench)
{
    IRP *irp = IoAllocateIrp(Bench->Device->StackSize, FALSE);
    IoGetNextIrpStackLocation(irp)->MajorFunction = IRP_MJ_READ;
    IoSetCompletionRoutine(irp, KiBenchKeepIrp, NULL, TRUE, TRUE, TRUE);
    (void)IoCallDriver(Bench->Device, irp);
    IoFreeIrp(irp);
}

#define KI_PAGE_COUNTS                        \
    {                                         \
        1, 4, 16, 64, 256, KI_BENCH_MAX_PAGES \
    }
#define KI_POOL_COUNTS               \
    {                                \
        32, 64, 128, 256, 1024, 4096 \
    }

static const KI_BENCH_ROW KiBenchRows[] = {
    { "map_unmap", KiBenchAllocatePages, KiBenchIdle, KiBenchMapUnmap, KiBenchFreePages, 1, KI_PAGE_COUNTS },
    { "map_unmap_strict", KiBenchAllocatePages, KiBenchIdle, KiBenchMapUnmapStrict, KiBenchFreePages, 1,
      KI_PAGE_COUNTS },
    { "lock_unlock", KiBenchCreateUserMemory, KiBenchIdle, KiBenchLockUnlock, KiBenchDeleteUserMemory, 1,
      KI_PAGE_COUNTS },
    { "lock_demand_zero", KiBenchCreateUserMemory, KiBenchDecommit, KiBenchLock, KiBenchUnlockDelete, 1,
      KI_PAGE_COUNTS },
    { "flush_single", KiBenchMapOnePage, KiBenchIdle, KiBenchFlushSingle, KiBenchFreePages, 1, { 1 } },
    { "pool_pair", KiBenchNothing, KiBenchIdle, KiBenchPoolPair, KiBenchIdle, 1, KI_POOL_COUNTS },
    { "pool_batch64", KiBenchNothing, KiBenchIdle, KiBenchPoolBatch, KiBenchIdle, 64, KI_POOL_COUNTS },
    { "mdl_pair", KiBenchNothing, KiBenchIdle, KiBenchMdlPair, KiBenchIdle, 1, KI_PAGE_COUNTS },
    { "irp_roundtrip", KiBenchCreateDevice, KiBenchIdle, KiBenchIrpRoundTrip, KiBenchDeleteDevice, 1, { 1 } },
    { "floor_map", KiBenchReservePtes, KiBenchIdle, KiBenchFloorMap, KiBenchReleasePtes, 1, KI_PAGE_COUNTS },
    { "floor_unmap", KiBenchReservePtes, KiBenchIdle, KiBenchFloorUnmap, KiBenchReleasePtes, 1, KI_PAGE_COUNTS },
};

/* Ticks of KI_BENCH_ROUNDS operations, each with its Prepare before the watch starts. */
static ULONG64 KiBenchTime(const KI_BENCH_ROW *Row, void (*Operation)(KI_BENCH *), KI_BENCH *Bench)
{
    ULONG64 ticks = 0;
    for (ULONG round = 0; round < KI_BENCH_ROUNDS; round++) {
        Row->Prepare(Bench);
        ULONG64 start = __rdtsc();
        Operation(Bench);
        ticks += __rdtsc() - start;
    }
    return ticks;
}

static void KiBenchMeasure(const KI_BENCH_ROW *Row, ULONG Count)
{
    KI_BENCH bench = { .Count = Count };
    if (!Row->Setup(&bench)) {
        DbgPrint("bench: %s %lu could not be set up\n", Row->Name, Count);
        return;
    }
    Row->Prepare(&bench);
    Row->Operation(&bench);
    ULONG64 ticks = KiBenchTime(Row, Row->Operation, &bench);
    ticks -= KiBenchTime(Row, KiBenchIdle, &bench);
    Row->Teardown(&bench);
    ULONG64 tenths = ticks * 10 / KI_BENCH_TICKS_PER_INSTRUCTION / KI_BENCH_ROUNDS / Row->Pairs;
    DbgPrint("bench: %s %lu %I64u.%I64u\n", Row->Name, Count, tenths / 10, tenths % 10);
}

void KiRunBenchmarks(void)
{
    HalpStopClock();
    for (ULONG row = 0; row < RTL_NUMBER_OF(KiBenchRows); row++) {
        const KI_BENCH_ROW *current = &KiBenchRows[row];
        for (ULONG index = 0; index < RTL_NUMBER_OF(current->Counts) && current->Counts[index] != 0; index++) {
            KiBenchMeasure(current, current->Counts[index]);
        }
    }
    HalpStartClock(KI_VECTOR_CLOCK);
}
