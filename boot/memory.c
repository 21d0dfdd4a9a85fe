/*
 * Pages and the memory map, through boot services.
 */
#include "boot/memory.h"

#include <efilib.h>

#include "boot/console.h"
#include "boot/cpu.h"
#include "boot/runs.h"

#define MIB 0x100000ull

/*
 * 96 MiB as an emulator's -m counts them. The map shows less: firmware may hide 8 MiB of SMRAM at the top, and 384 KiB
 * lie behind the legacy video range.
 */
#define REQUIRED_MIB 96u
#define HIDDEN_MIB   9u

#define OS_MEMORY_TYPE    0x80000000u /* UEFI 2.10, table 7.10: up from here the loader's own types */
#define SPARE_DESCRIPTORS 1024u       /* what allocations still add: some 4 for each of BL_MAX_FILES, and slack */
#define EXIT_ATTEMPTS     4

static uint32_t MemoryTypeOf(uint32_t EfiType)
{
    if (EfiType >= OS_MEMORY_TYPE && EfiType - OS_MEMORY_TYPE <= LoaderMemoryDevice) {
        return EfiType - OS_MEMORY_TYPE;
    }
    switch (EfiType) {
    case EfiLoaderCode:
    case EfiLoaderData:
    case EfiBootServicesCode:
    case EfiBootServicesData:
    case EfiConventionalMemory:
        return LoaderMemoryFree;
    case EfiACPIReclaimMemory:
        return LoaderMemoryAcpiTables;
    case EfiRuntimeServicesCode:
    case EfiRuntimeServicesData:
    case EfiACPIMemoryNVS:
    case EfiPalCode:
        return LoaderMemoryFirmware;
    default:
        return LoaderMemoryDevice;
    }
}

static const EFI_MEMORY_DESCRIPTOR *DescriptorAt(const BL_MEMORY_MAP *Map, UINTN Offset)
{
    return (const EFI_MEMORY_DESCRIPTOR *)(const void *)(Map->Descriptors + Offset);
}

static EFI_STATUS ReadMap(BL_MEMORY_MAP *Map)
{
    UINT32 version;

    Map->ByteCount = Map->Capacity;
    return BS->GetMemoryMap(&Map->ByteCount, (EFI_MEMORY_DESCRIPTOR *)(void *)Map->Descriptors, &Map->Key,
                            &Map->DescriptorBytes, &version);
}

bool BlCheckMemory(BL_MEMORY_MAP *Map, BL_FAULT *Fault)
{
    uint64_t ramPages = 0;

    *Map = (BL_MEMORY_MAP){ 0 };
    (void)ReadMap(Map); /* too small a buffer: it tells the size */
    Map->Capacity = Map->ByteCount + SPARE_DESCRIPTORS * Map->DescriptorBytes;
    Map->Descriptors = BlAllocatePages(BlPagesOf(Map->Capacity), LoaderMemoryFree, BL_ANY_ADDRESS, Fault);
    if (Map->Descriptors == NULL) {
        return false;
    }
    EFI_STATUS status = ReadMap(Map);
    if (EFI_ERROR(status)) {
        return BlFail(Fault, "the firmware gives no memory map: EFI error %lu", BlErrorNumber(status));
    }
    for (UINTN offset = 0; offset < Map->ByteCount; offset += Map->DescriptorBytes) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = DescriptorAt(Map, offset);
        ramPages += MemoryTypeOf(descriptor->Type) != LoaderMemoryDevice ? descriptor->NumberOfPages : 0;
    }
    uint64_t ramMib = ramPages * BL_PAGE_BYTES / MIB;
    if (ramMib + HIDDEN_MIB < REQUIRED_MIB) {
        return BlFail(Fault, "too little memory: %lu MiB, %u MiB are needed", ramMib, REQUIRED_MIB);
    }
    BlPrintLine("memory: %lu MiB", ramMib);
    return true;
}

void *BlAllocatePages(uint64_t PageCount, uint32_t Type, uint64_t HighestAddress, BL_FAULT *Fault)
{
    uint32_t             efiType = Type == LoaderMemoryFree ? (uint32_t)EfiLoaderData : OS_MEMORY_TYPE + Type;
    EFI_PHYSICAL_ADDRESS address = HighestAddress;
    EFI_STATUS status = BS->AllocatePages(HighestAddress == BL_ANY_ADDRESS ? AllocateAnyPages : AllocateMaxAddress,
                                          (EFI_MEMORY_TYPE)efiType, PageCount, &address);

    if (EFI_ERROR(status) || address == 0) {
        (void)BlFail(Fault, "out of memory: %lu pages below 0x%lx", PageCount, HighestAddress);
        return NULL;
    }
    __builtin_memset((void *)address, 0, PageCount * BL_PAGE_BYTES);
    return (void *)address;
}

uint32_t BlMemoryRunCapacity(const BL_MEMORY_MAP *Map)
{
    return (uint32_t)(Map->Capacity / Map->DescriptorBytes);
}

bool BlLeaveBootServices(EFI_HANDLE Loader, BL_MEMORY_MAP *Map, BL_FAULT *Fault)
{
    EFI_STATUS status = EFI_NOT_STARTED;

    BlDetachScreen();
    /* An event of the firmware's may change the map between the two calls; then its key is stale. */
    for (int i = 0; i < EXIT_ATTEMPTS; i++) {
        status = ReadMap(Map);
        if (!EFI_ERROR(status)) {
            status = BS->ExitBootServices(Loader, Map->Key);
        }
        if (!EFI_ERROR(status)) {
            BlDisableInterrupts();
            return true;
        }
    }
    return BlFail(Fault, "the firmware does not let go: EFI error %lu", BlErrorNumber(status));
}

uint32_t BlDescribeMemory(const BL_MEMORY_MAP *Map, LOADER_MEMORY_RUN *Runs)
{
    uint32_t count = 0;

    for (UINTN offset = 0; offset < Map->ByteCount; offset += Map->DescriptorBytes) {
        const EFI_MEMORY_DESCRIPTOR *descriptor = DescriptorAt(Map, offset);

        Runs[count++] = (LOADER_MEMORY_RUN){
            .BasePage = descriptor->PhysicalStart / BL_PAGE_BYTES,
            .PageCount = descriptor->NumberOfPages,
            .Type = MemoryTypeOf(descriptor->Type),
        };
    }
    return BlNormalizeRuns(Runs, count);
}
