/*
 * Building the loader block. Every pointer in it is one of the kernel's addresses: the loader cannot follow it.
 */
#include "boot/block.h"

#include <efilib.h>

#include "boot/clock.h"
#include "boot/cpu.h"
#include "boot/graphics.h"

/*
 * ByteCount zeroed bytes on pages of their own, mapped read-write at the next free place of the region.
 *
 * => where the loader sees them, and in *Virtual where the kernel will; NULL with the fault.
 */
static void *AddToRegion(BL_REGION *Region, uint64_t ByteCount, uint64_t *Virtual, BL_FAULT *Fault)
{
    uint64_t pageCount = BlPagesOf(ByteCount);
    void    *pages = BlAllocatePages(pageCount, LoaderMemoryLoaderData, BL_ANY_ADDRESS, Fault);

    if (pages == NULL ||
        !BlMapKernelPages(Region->Tables, Region->NextVirtual, (uint64_t)pages, pageCount, BlProtectReadWrite, Fault)) {
        return NULL;
    }
    *Virtual = Region->NextVirtual;
    Region->NextVirtual += pageCount * BL_PAGE_BYTES;
    return pages;
}

static bool AddFiles(BL_REGION *Region, LOADER_BLOCK *Block, const BL_SOURCES *Sources, BL_FAULT *Fault)
{
    uint64_t virtual;

    if (Sources->FileCount == 0) {
        return true;
    }
    LOADER_FILE *files = AddToRegion(Region, Sources->FileCount * sizeof(*files), &virtual, Fault);
    if (files == NULL) {
        return false;
    }
    Block->Files = (LOADER_FILE *)virtual;
    Block->FileCount = Sources->FileCount;
    for (uint32_t i = 0; i < Sources->FileCount; i++) {
        const BL_FILE *source = &Sources->Files[i];
        /* An empty file gets a page as well, so that its address is one. */
        uint64_t roomBytes = source->Content.ByteCount != 0 ? source->Content.ByteCount : 1;
        void    *content = AddToRegion(Region, roomBytes, &virtual, Fault);

        if (content == NULL) {
            return false;
        }
        __builtin_memcpy(content, source->Content.Base, source->Content.ByteCount);
        __builtin_memcpy(files[i].Name, source->Name, sizeof(files[i].Name));
        files[i].Base = (uint8_t *)virtual;
        files[i].ByteCount = source->Content.ByteCount;
    }
    return true;
}

static bool AddSymbols(BL_REGION *Region, LOADER_BLOCK *Block, const BL_IMAGE *Image, BL_FAULT *Fault)
{
    uint64_t virtual;

    if (Image->SymbolCount == 0) {
        return true;
    }
    void *symbols = AddToRegion(Region, Image->SymbolBytes, &virtual, Fault);
    if (symbols == NULL) {
        return false;
    }
    __builtin_memcpy(symbols, Image->File.Base + Image->SymbolOffset, Image->SymbolBytes);
    Block->KernelSymbols = (uint8_t *)virtual;
    Block->KernelSymbolCount = Image->SymbolCount;
    Block->KernelSymbolBytes = Image->SymbolBytes;
    return true;
}

static bool AddCommandLine(BL_REGION *Region, LOADER_BLOCK *Block, const char *CommandLine, BL_FAULT *Fault)
{
    uint64_t virtual;
    size_t byteCount = BlTextBytes(CommandLine) + 1;
    char  *copy = AddToRegion(Region, byteCount, &virtual, Fault);

    if (copy == NULL) {
        return false;
    }
    __builtin_memcpy(copy, CommandLine, byteCount);
    Block->CommandLine = (char *)virtual;
    return true;
}

/* The boot stack, between two pages that stay unmapped: what runs over either end faults. */
static bool AddBootStack(BL_REGION *Region, LOADER_BLOCK *Block, BL_FAULT *Fault)
{
    uint64_t virtual;

    Region->NextVirtual += BL_PAGE_BYTES;
    if (AddToRegion(Region, LOADER_BOOT_STACK_BYTES, &virtual, Fault) == NULL) {
        return false;
    }
    Region->NextVirtual += BL_PAGE_BYTES;
    Block->BootStackTop = virtual + LOADER_BOOT_STACK_BYTES;
    Block->BootStackBytes = LOADER_BOOT_STACK_BYTES;
    return true;
}

static bool GuidEquals(const EFI_GUID *A, const EFI_GUID *B)
{
    return A->Data1 == B->Data1 && A->Data2 == B->Data2 && A->Data3 == B->Data3 &&
           *(const uint64_t *)(const void *)A->Data4 == *(const uint64_t *)(const void *)B->Data4;
}

/* The table that the firmware registered under Guid; 0 when there is none. */
static uint64_t FindFirmwareTable(EFI_GUID Guid)
{
    for (UINTN i = 0; i < ST->NumberOfTableEntries; i++) {
        if (GuidEquals(&ST->ConfigurationTable[i].VendorGuid, &Guid)) {
            return (uint64_t)ST->ConfigurationTable[i].VendorTable;
        }
    }
    return 0;
}

/* A time without zone is taken as UTC. */
static uint64_t ReadClock(void)
{
    EFI_TIME time;

    if (EFI_ERROR(RT->GetTime(&time, NULL))) {
        return 0;
    }
    BL_CALENDAR calendar = {
        .Year = time.Year,
        .Month = time.Month,
        .Day = time.Day,
        .Hour = time.Hour,
        .Minute = time.Minute,
        .Second = time.Second,
        .Nanosecond = time.Nanosecond,
        .ZoneMinutes = time.TimeZone == EFI_UNSPECIFIED_TIMEZONE ? 0 : time.TimeZone,
    };
    return BlSystemTime(&calendar);
}

static bool TakeStartupPages(LOADER_BLOCK *Block, BL_FAULT *Fault)
{
    void *pages = BlAllocatePages(LOADER_AP_STARTUP_PAGES, LoaderMemoryApStartup, BL_BELOW_640_KIB, Fault);

    Block->ApStartupPhysical = (uint64_t)pages;
    return pages != NULL;
}

static void DescribeMachine(LOADER_BLOCK *Block)
{
    Block->RsdpPhysical = FindFirmwareTable((EFI_GUID)ACPI_20_TABLE_GUID);
    if (Block->RsdpPhysical == 0) {
        Block->RsdpPhysical = FindFirmwareTable((EFI_GUID)ACPI_TABLE_GUID);
    }
    BlDescribeFramebuffer(Block);
    Block->SystemTime = ReadClock();
    Block->RandomSeed = BlRandom();
}

bool BlBuildBlock(BL_TABLES *Tables, const BL_SOURCES *Sources, const BL_IMAGE *Image, const BL_MEMORY_MAP *Map,
                  BL_BLOCK *Result, BL_FAULT *Fault)
{
    BL_REGION     region = { .Tables = Tables, .NextVirtual = LOADER_REGION_BASE };
    uint64_t      runBytes = BlMemoryRunCapacity(Map) * sizeof(LOADER_MEMORY_RUN);
    uint64_t      runsVirtual;
    LOADER_BLOCK *block = AddToRegion(&region, sizeof(*block), &Result->BlockVirtual, Fault);

    if (block == NULL) {
        return false;
    }
    Result->Block = block;
    Result->MemoryRuns = AddToRegion(&region, runBytes, &runsVirtual, Fault);
    if (Result->MemoryRuns == NULL || !AddFiles(&region, block, Sources, Fault) ||
        !AddSymbols(&region, block, Image, Fault) || !AddCommandLine(&region, block, Sources->CommandLine, Fault) ||
        !AddBootStack(&region, block, Fault) || !TakeStartupPages(block, Fault)) {
        return false;
    }
    DescribeMachine(block);
    block->Signature = LOADER_BLOCK_SIGNATURE;
    block->Version = LOADER_BLOCK_VERSION;
    block->ByteCount = sizeof(*block);
    block->MemoryRuns = (LOADER_MEMORY_RUN *)runsVirtual;
    block->NextFreeVirtual = region.NextVirtual;
    return true;
}
