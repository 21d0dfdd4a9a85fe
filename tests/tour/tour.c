/*
 * The tour: four questions that driver authors ask about MDLs, answered on live page tables.
 *
 * A WDM driver, built against the driver kit alone. Each stop makes the calls, shows the page-table entries before,
 * during and after, and fails the run when what it shows is not so.
 */
#include "view.h"

#define TOUR_TAG            'ruoT'
#define TOUR_BYTES          0x1800 /* more than a page */
#define TOUR_OFFSET         0x123  /* where the buffer begins in its page */
#define TOUR_PRIORITY       (NormalPagePriority | MdlMappingNoExecute)
#define TOUR_REUSE_ATTEMPTS 100000 /* released addresses may wait for a flush before they come back */

DRIVER_INITIALIZE    DriverEntry;
static DRIVER_UNLOAD TourUnload;

static ULONG TourFailures;

static void TourClaim(BOOLEAN Holds, const char *Claim)
{
    DbgPrint("    %s %s\n", Holds ? "=>" : "NOT SO:", Claim);
    if (!Holds) {
        TourFailures++;
    }
}

static void TourStop(ULONG Number, const char *Question)
{
    DbgPrint("\n");
    DbgPrint("%lu. %s\n", Number, Question);
}

static BOOLEAN TourIsPresent(const void *Address)
{
    return (TourReadPte(Address) & 1) != 0;
}

/* Write through the mapping and have every CPU read it back, so that each holds a translation. */
static void TourTouch(UCHAR *Mapped, UCHAR Value)
{
    Mapped[0] = Value;
    TourClaim(TourReadOnEveryCpu(Mapped, Value) == 0, "every CPU reads it there, and so holds a translation");
}

static void TourLockedPages(void)
{
    TourStop(1, "MmProbeAndLockPages, MmGetSystemAddressForMdlSafe, MmUnlockPages: who removes the mapping?");
    UCHAR *buffer = ExAllocatePoolWithTag(PagedPool, 2 * TOUR_BYTES, TOUR_TAG);
    PMDL   mdl = buffer != NULL ? IoAllocateMdl(buffer + TOUR_OFFSET, TOUR_BYTES, FALSE, FALSE, NULL) : NULL;
    if (mdl == NULL) {
        TourClaim(FALSE, "there is memory for a buffer and an MDL");
        return;
    }
    TourMark();
    TOUR_CALL(MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess));
    TourShowMdl("locked", mdl);
    TourShowPte("buffer", buffer + TOUR_OFFSET);
    UCHAR *mapped = TOUR_CALL(MmGetSystemAddressForMdlSafe(mdl, TOUR_PRIORITY));
    TourShowMdl("mapped", mdl);
    TourShowPte("mapped", mapped);
    TourShowChange("mapped");
    TourClaim(BYTE_OFFSET(mapped) == TOUR_OFFSET, "the system address keeps the buffer's offset in its page");
    TourTouch(mapped, 0x5A);
    TourClaim(buffer[TOUR_OFFSET] == 0x5A, "and the buffer holds it: one frame, two addresses");
    TOUR_CALL(MmUnlockPages(mdl));
    TourShowMdl("unlocked", mdl);
    TourShowPte("unlocked", mapped);
    TourShowChange("unlocked");
    TourClaim(!TourIsPresent(mapped) && (mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0,
              "MmUnlockPages removed the mapping. You do not call MmUnmapLockedPages.");
    IoFreeMdl(mdl);
    ExFreePoolWithTag(buffer, TOUR_TAG);
}

static void TourNonPagedPool(void)
{
    TourStop(2, "An MDL built with MmBuildMdlForNonPagedPool: what is there to unmap?");
    UCHAR *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, TOUR_BYTES, TOUR_TAG);
    PMDL   mdl = buffer != NULL ? IoAllocateMdl(buffer, TOUR_BYTES, FALSE, FALSE, NULL) : NULL;
    if (mdl == NULL) {
        TourClaim(FALSE, "there is memory for a buffer and an MDL");
        return;
    }
    TourMark();
    TourShowPte("before", buffer);
    TOUR_CALL(MmBuildMdlForNonPagedPool(mdl));
    TourShowMdl("built", mdl);
    void *mapped = TOUR_CALL(MmGetSystemAddressForMdlSafe(mdl, TOUR_PRIORITY));
    TourShowPte("after", mapped);
    TourShowChange("after");
    TourClaim(mapped == buffer, "the macro gave the buffer's own address: no PTE was taken, there is nothing to unmap");
    TOUR_CALL(IoFreeMdl(mdl));
    TourClaim(TourIsPresent(buffer), "the pool's own mapping stays until the pool block is freed");
    ExFreePoolWithTag(buffer, TOUR_TAG);
}

static PMDL TourAllocatePages(void)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    return MmAllocatePagesForMdlEx(low, high, low, 2 * PAGE_SIZE, MmCached, MM_ALLOCATE_FULLY_REQUIRED);
}

static void TourAllocatedPages(void)
{
    TourStop(3, "Pages from MmAllocatePagesForMdlEx, mapped without MmProbeAndLockPages: who unmaps?");
    PMDL mdl = TourAllocatePages();
    if (mdl == NULL) {
        TourClaim(FALSE, "there are pages");
        return;
    }
    TourMark();
    TourShowMdl("pages", mdl);
    UCHAR *mapped = TOUR_CALL(MmGetSystemAddressForMdlSafe(mdl, TOUR_PRIORITY));
    TourTouch(mapped, 0x3C);
    TourShowPte("mapped", mapped);
    TOUR_CALL(MmUnmapLockedPages(mapped, mdl));
    TourShowMdl("unmapped", mdl);
    TourShowPte("unmapped", mapped);
    TourShowChange("unmapped");
    TourClaim(!TourIsPresent(mapped) && (mdl->MdlFlags & MDL_PAGES_LOCKED) != 0,
              "MmUnmapLockedPages removed the mapping; the frames are still the MDL's");
    mapped = TOUR_CALL(MmGetSystemAddressForMdlSafe(mdl, TOUR_PRIORITY));
    TourShowPte("again", mapped);
    TOUR_CALL(MmFreePagesFromMdl(mdl));
    TourShowPte("freed", mapped);
    TourShowChange("freed");
    TourClaim(!TourIsPresent(mapped),
              "MmFreePagesFromMdl removes it too, and frees the frames. ExFreePool(mdl) is yours.");
    ExFreePool(mdl);
}

/* Map Mdl until it gets Address, which is free: at once where addresses are reused at once. NULL if it never does. */
static UCHAR *TourMapAt(PMDL Mdl, const UCHAR *Address)
{
    for (ULONG attempt = 0; attempt < TOUR_REUSE_ATTEMPTS; attempt++) {
        UCHAR *mapped = MmGetSystemAddressForMdlSafe(Mdl, TOUR_PRIORITY);
        if (mapped == NULL || mapped == Address) {
            return mapped;
        }
        MmUnmapLockedPages(mapped, Mdl);
    }
    return NULL;
}

/* On one CPU: released addresses wait where they were released. */
static void TourReuse(void)
{
    TourStop(4, "Who frees the page-table entries behind the system address, and who may get them next?");
    PMDL first = TourAllocatePages();
    PMDL second = TourAllocatePages();
    if (first == NULL || second == NULL) {
        TourClaim(FALSE, "there are pages");
        return;
    }
    KAFFINITY affinity = KeSetSystemAffinityThreadEx(1);
    TourMark();
    UCHAR *address = TOUR_CALL(MmGetSystemAddressForMdlSafe(first, TOUR_PRIORITY));
    TourTouch(address, 0x11);
    TourShowPte("first", address);
    TOUR_CALL(MmUnmapLockedPages(address, first));
    TourShowPte("unmapped", address);
    TourShowChange("unmapped");
    TourClaim(!TourIsPresent(address),
              "the unmapping call frees them: the memory manager's business, never the driver's");
    UCHAR *reused = TOUR_CALL(TourMapAt(second, address));
    TourClaim(reused != NULL, "another MDL got the address, once every CPU had been made to drop its translation:");
    DbgPrint("       with tlb=strict by the unmapping call itself, else by one flush for all addresses that wait\n");
    if (reused != NULL) {
        TourShowPte("second", reused);
        TourShowChange("second");
        TourTouch(reused, 0x22);
        TourClaim(TRUE, "and no CPU reads the first one's page there");
    }
    KeRevertToUserAffinityThreadEx(affinity);
    MmFreePagesFromMdl(first);
    MmFreePagesFromMdl(second);
    ExFreePool(first);
    ExFreePool(second);
}

static VOID NTAPI TourUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    DbgPrint("\n");
    DbgPrint("End of the tour. docs/ and tests/drivers/ go on from here.\n");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = TourUnload;
    DbgPrint("A tour of memory descriptor lists, on %lu CPUs\n", KeQueryActiveProcessorCount(NULL));
    TourLockedPages();
    TourNonPagedPool();
    TourAllocatedPages();
    TourReuse();
    return TourFailures == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
