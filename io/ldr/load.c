/*
 * Loading and unloading driver images; load.h states the invariants.
 */
#include "io/ldr/load.h"

#include "io/ldr/import.h"
#include "io/ldr/reloc.h"
#include "kernel/ke/lock.h"
#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/random.h"
#include "mm/pfn.h"
#include "mm/syspte.h"

#define LDRP_POOL_TAG     'rdlP'   /* "Pldr" */
#define LDRP_REGION_PAGES 0x40000u /* 1 GiB of addresses: four images of the largest size */
#define LDRP_BATCH_PAGES  64u      /* pages that one shootdown unmaps */

/* Protections of image pages. */
#define LDRP_PAGE_READ    (X86_PTE_G | X86_PTE_NX)
#define LDRP_PAGE_WRITE   MI_KERNEL_RW
#define LDRP_PAGE_EXECUTE X86_PTE_G

static MI_PTE_REGION LdrpRegion; /* driver images; has its own lock */
static KI_LOCK       LdrpLock = KI_LOCK_INIT(LOCK_DRIVER);
static ULONG64       LdrpCookieState; /* guarded by LdrpLock */

void LdrpInitialize(void)
{
    MiInitializePteRegion(&LdrpRegion, (void *)MI_BASE_OF(DRIVER_IMAGES), LDRP_REGION_PAGES);
    LdrpCookieState = KiOptions.HasSeed ? KiOptions.Seed : __rdtsc();
}

/* A new stack cookie: 48 bits, the upper 16 zero, as the compiler's checks expect. */
static ULONG64 LdrpNextCookie(void)
{
    KIRQL   irql = KiAcquireLock(&LdrpLock);
    ULONG64 value = RtlpRandom(&LdrpCookieState);
    KiReleaseLock(&LdrpLock, irql);
    return value >> 16;
}

/*
 * Put Replacement, a software entry or zero, into the entries of PageCount pages from First, and free the frames of
 * those that were mapped.
 */
static void LdrpUnmapPages(MMPTE *First, PFN_COUNT PageCount, MMPTE Replacement)
{
    MMPTE old[LDRP_BATCH_PAGES];
    while (PageCount > 0) {
        PFN_COUNT batch = PageCount < LDRP_BATCH_PAGES ? PageCount : LDRP_BATCH_PAGES;
        for (PFN_COUNT page = 0; page < batch; page++) {
            old[page] = MiExchangePteNoFlush(First + page, Replacement);
        }
        KiFlushSystemRange(MiVaOfPte(First), batch);
        for (PFN_COUNT page = 0; page < batch; page++) {
            if (MiPteIsValid(old[page])) {
                MiReleaseFrame(MiPteFrame(old[page]));
            }
        }
        First += batch;
        PageCount -= batch;
    }
}

static void LdrpUnmapImage(LDRP_IMAGE *Image)
{
    LdrpUnmapPages(Image->FirstPte, Image->PageCount, (MMPTE){ .Value = 0 });
    MiReleasePtes(&LdrpRegion, Image->FirstPte, Image->PageCount + 1);
}

/* Reserve addresses and map them to zeroed pages, writable. */
static NTSTATUS LdrpMapImage(LDRP_IMAGE *Image)
{
    Image->PageCount = Image->Pe.ImageBytes / PAGE_SIZE;
    Image->FirstPte = MiReservePtes(&LdrpRegion, Image->PageCount + 1);
    if (Image->FirstPte == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    for (PFN_COUNT page = 0; page < Image->PageCount; page++) {
        PFN_NUMBER frame = MiAllocateFrame(MiUseDriver, MiPageZeroed);
        if (frame == MI_PFN_NONE) {
            LdrpUnmapImage(Image);
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        MMPTE *pte = Image->FirstPte + page;
        MiPfn(frame)->PteAddress = pte;
        MiPfn(frame)->CacheType = MmCached;
        MiWriteValidPte(pte, MiMakeValidPte(frame, LDRP_PAGE_WRITE));
    }
    return STATUS_SUCCESS;
}

/* Give the pages of [Rva, Rva + ByteCount) the protection Bits. The caller owes a flush. */
static void LdrpProtectNoFlush(LDRP_IMAGE *Image, ULONG Rva, ULONG ByteCount, ULONG64 Bits)
{
    MMPTE *pte = Image->FirstPte + Rva / PAGE_SIZE;
    MMPTE *end = pte + BYTES_TO_PAGES(ByteCount);
    for (; pte < end; pte++) {
        MiExchangePteNoFlush(pte, MiMakeValidPte(MiPteFrame(MiReadPte(pte)), Bits));
    }
}

static ULONG64 LdrpSectionProtection(ULONG Characteristics)
{
    if ((Characteristics & IMAGE_SCN_MEM_EXECUTE) != 0) {
        return LDRP_PAGE_EXECUTE;
    }
    return (Characteristics & IMAGE_SCN_MEM_WRITE) != 0 ? LDRP_PAGE_WRITE : LDRP_PAGE_READ;
}

static void LdrpProtectImage(LDRP_IMAGE *Image)
{
    LdrpProtectNoFlush(Image, 0, Image->Pe.ImageBytes, LDRP_PAGE_READ);
    for (ULONG index = 0; index < Image->Pe.Header.FileHeader.NumberOfSections; index++) {
        LDRP_SECTION section = LdrpGetSection(&Image->Pe, index);
        LdrpProtectNoFlush(Image, section.Rva, section.ByteCount, LdrpSectionProtection(section.Characteristics));
    }
    KiFlushSystemRange(MiVaOfPte(Image->FirstPte), Image->PageCount);
}

/* Fill the mapped, still writable image from the file. */
static NTSTATUS LdrpFillImage(LDRP_IMAGE *Image, const char *Name)
{
    UCHAR    *base = MiVaOfPte(Image->FirstPte);
    LDRP_VIEW view = { .Base = base, .ByteCount = Image->Pe.ImageBytes };
    LdrpCopySections(&Image->Pe, &view);
    NTSTATUS status = LdrpRelocateImage(&Image->Pe, &view, (ULONG_PTR)base);
    if (!NT_SUCCESS(status)) {
        DbgPrint("%s: its relocations are malformed, or stripped\n", Name);
        return status;
    }
    LdrpReplaceSecurityCookie(&Image->Pe, &view, (ULONG_PTR)base, LdrpNextCookie());
    status = LdrpBindImports(&Image->Pe, &view, Image->Binding, Name);
    if (status == STATUS_INVALID_IMAGE_FORMAT) {
        DbgPrint("%s: its import tables are malformed\n", Name);
    }
    return status;
}

/* Symbols are for reading stacks only: an image does without when there are none or no pool is left. */
static void LdrpCopySymbols(LDRP_IMAGE *Image)
{
    ULONG       symbolCount;
    SIZE_T      byteCount;
    const void *table = LdrpFindSymbolTable(&Image->Pe, &symbolCount, &byteCount);
    if (table == NULL) {
        return;
    }
    Image->Symbols = ExAllocatePoolWithTag(NonPagedPoolNx, byteCount, LDRP_POOL_TAG);
    if (Image->Symbols != NULL) {
        RtlCopyMemory(Image->Symbols, table, byteCount);
        RtlpSetImageSymbols(&Image->Registered, Image->Symbols, symbolCount, byteCount);
    }
}

static void LdrpRegisterImage(LDRP_IMAGE *Image, const char *Name)
{
    UCHAR *base = MiVaOfPte(Image->FirstPte);
    RtlpInitializeImage(&Image->Registered, Name, base, Image->Pe.ImageBytes);
    LdrpCopySymbols(Image);
    ULONG_PTR entryPoint = (ULONG_PTR)base + Image->Pe.Header.OptionalHeader.AddressOfEntryPoint;
    Image->EntryPoint = (PDRIVER_INITIALIZE)entryPoint;
    /* The file may go: sections are found in the mapped headers from now on. */
    Image->Pe.File = base;
    Image->Pe.FileBytes = Image->Pe.HeaderBytes;

    KIRQL irql = KiAcquireLock(&LdrpLock);
    RtlpInsertImage(&Image->Registered);
    KiReleaseLock(&LdrpLock, irql);
}

/* Everything but the descriptor itself, which the caller frees on failure. */
static NTSTATUS LdrpBuildImage(LDRP_IMAGE *Image, const char *Name, const void *File, SIZE_T FileBytes)
{
    NTSTATUS status = LdrpParseImage(File, FileBytes, &Image->Pe);
    if (!NT_SUCCESS(status)) {
        DbgPrint("%s: not a driver image: %s\n", Name, Image->Pe.Fault);
        return status;
    }
    status = LdrpMapImage(Image);
    if (!NT_SUCCESS(status)) {
        DbgPrint("%s: no memory for an image of %lu KiB\n", Name, Image->Pe.ImageBytes / 1024);
        return status;
    }
    status = LdrpFillImage(Image, Name);
    if (!NT_SUCCESS(status)) {
        LdrpUnmapImage(Image);
        return status;
    }
    LdrpProtectImage(Image);
    LdrpRegisterImage(Image, Name);
    return STATUS_SUCCESS;
}

NTSTATUS LdrpLoadImage(const char *Name, const void *File, SIZE_T FileBytes, LDRP_BINDING Binding, LDRP_IMAGE **Image)
{
    IRQL_MAX(PASSIVE_LEVEL);
    LDRP_IMAGE *image = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*image), LDRP_POOL_TAG);
    if (image == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(image, sizeof(*image));
    image->Binding = Binding;
    NTSTATUS status = LdrpBuildImage(image, Name, File, FileBytes);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(image, LDRP_POOL_TAG);
        return status;
    }
    *Image = image;
    return STATUS_SUCCESS;
}

void LdrpDiscardSections(LDRP_IMAGE *Image)
{
    IRQL_MAX(PASSIVE_LEVEL);
    for (ULONG index = 0; index < Image->Pe.Header.FileHeader.NumberOfSections; index++) {
        LDRP_SECTION section = LdrpGetSection(&Image->Pe, index);
        if ((section.Characteristics & IMAGE_SCN_MEM_DISCARDABLE) != 0) {
            LdrpUnmapPages(Image->FirstPte + section.Rva / PAGE_SIZE, BYTES_TO_PAGES(section.ByteCount),
                           MiMakeNoAccessPte(MiNoAccessReleased, 0));
        }
    }
}

void LdrpUnloadImage(LDRP_IMAGE *Image)
{
    IRQL_MAX(PASSIVE_LEVEL);
    KIRQL irql = KiAcquireLock(&LdrpLock);
    RtlpRemoveImage(&Image->Registered);
    KiReleaseLock(&LdrpLock, irql);
    /* The shootdown of the image's pages is the grace period that lookups of the registry need (kernel/rtl/image.h). */
    LdrpUnmapImage(Image);
    if (Image->Symbols != NULL) {
        ExFreePoolWithTag(Image->Symbols, LDRP_POOL_TAG);
    }
    ExFreePoolWithTag(Image, LDRP_POOL_TAG);
}
