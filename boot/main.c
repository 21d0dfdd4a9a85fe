/*
 * The loader, an EFI application: finds the kernel, lays it out, leaves boot services and enters it.
 *
 * Boot below is the whole of it in order. Up to BlLeaveBootServices every step may fail and says why; from there on
 * nothing can. All state lives in one static structure: the firmware's stack is small.
 */
#include <efi.h>
#include <efilib.h>

#include "boot/block.h"
#include "boot/console.h"
#include "boot/cpu.h"
#include "boot/enter.h"

#define KERNEL_BASE_STEP 0x10000ull

typedef struct _BL_STATE {
    BL_MEMORY_MAP Map;
    BL_SOURCES    Sources;
    BL_IMAGE      Image;
    BL_TABLES     Tables;
    BL_BLOCK      Block;
    uint64_t      KernelBase;
} BL_STATE;

static uint64_t ChooseKernelBase(const BL_IMAGE *Image, const char *CommandLine)
{
    uint64_t baseCount = (LOADER_IMAGE_REGION_BYTES - Image->MappedBytes) / KERNEL_BASE_STEP;

    if (BlTextHasWord(CommandLine, "nokaslr")) {
        return LOADER_IMAGE_FIXED_BASE;
    }
    return LOADER_IMAGE_REGION_BASE + BlRandom() % baseCount * KERNEL_BASE_STEP;
}

static bool PlaceKernel(BL_STATE *State, BL_FAULT *Fault)
{
    const BL_IMAGE *image = &State->Image;
    uint64_t        base = ChooseKernelBase(image, State->Sources.CommandLine);
    uint8_t *pages = BlAllocatePages(BlPagesOf(image->MappedBytes), LoaderMemoryKernelImage, BL_ANY_ADDRESS, Fault);

    if (pages == NULL || !BlPlaceImage(image, pages, base, Fault) ||
        !BlMapKernelPages(&State->Tables, base, (uint64_t)pages, BlPagesOf(image->HeaderBytes), BlProtectReadOnly,
                          Fault)) {
        return false;
    }
    for (uint32_t i = 0; i < image->SectionCount; i++) {
        const BL_SECTION *section = &image->Sections[i];

        if (section->Mapped && !BlMapKernelPages(&State->Tables, base + section->Rva, (uint64_t)(pages + section->Rva),
                                                 BlPagesOf(section->ByteCount), section->Protection, Fault)) {
            return false;
        }
    }
    State->KernelBase = base;
    BlPrintLine("image base: 0x%lx", base);
    return true;
}

static bool BuildBlock(BL_STATE *State, BL_FAULT *Fault)
{
    return BlBuildBlock(&State->Tables, &State->Sources, &State->Image, &State->Map, &State->Block, Fault);
}

static bool Boot(EFI_HANDLE Loader, BL_STATE *State, BL_FAULT *Fault)
{
    return BlCheckProcessor(Fault)                                       /* NX, SMEP, SMAP, four levels */
           && BlCheckMemory(&State->Map, Fault)                          /* enough of it */
           && BlGatherSources(Loader, &State->Sources, Fault)            /* kernel, command line, files */
           && BlCheckImage(&State->Sources.Kernel, &State->Image, Fault) /* every offset of the PE file */
           && BlCreateTables(&State->Tables, Fault)                      /* self-map, low 4 GiB */
           && PlaceKernel(State, Fault)                                  /* sections W^X, relocated */
           && BuildBlock(State, Fault)                                   /* what the kernel is told */
           && BlMapEntryCode(&State->Tables, Fault)                      /* the jump itself */
           && BlLeaveBootServices(Loader, &State->Map, Fault);           /* the map is final */
}

__attribute__((noreturn)) static void EnterKernel(BL_STATE *State)
{
    LOADER_BLOCK *block = State->Block.Block;
    BL_ENTRY      entry = {
             .Rip = State->KernelBase + State->Image.EntryRva,
             .StackTop = block->BootStackTop,
             .Argument = State->Block.BlockVirtual,
    };

    block->KernelBase = State->KernelBase;
    block->KernelBytes = State->Image.MappedBytes;
    block->MemoryRunCount = BlDescribeMemory(&State->Map, State->Block.MemoryRuns);
    BlEnterKernel(&State->Tables, &entry);
}

/* Called by the application's startup code, which has relocated it. */
__attribute__((noreturn)) EFI_STATUS efi_main(EFI_HANDLE Loader, EFI_SYSTEM_TABLE *SystemTable);

EFI_STATUS efi_main(EFI_HANDLE Loader, EFI_SYSTEM_TABLE *SystemTable)
{
    static BL_STATE state;
    BL_FAULT        fault;

    ST = SystemTable;
    BS = SystemTable->BootServices;
    RT = SystemTable->RuntimeServices;
    BlInitializeConsole();
    BlPrintLine("Pinfold loader");
    if (Boot(Loader, &state, &fault)) {
        EnterKernel(&state);
    }
    BlReportFault(&fault);
}
