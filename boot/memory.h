/*
 * Physical memory: how much there is, pages for what the kernel is given, and the map that it inherits.
 *
 * Pages are allocated under EFI memory types of the loader's own (the range from 0x80000000 up belongs to operating
 * system loaders), one for each LoaderMemory... type. So the firmware's final map already says what every page is for.
 * What the loader takes for itself is ordinary loader data, and free once the kernel runs.
 */
#pragma once

#include <efi.h>

#include "boot/loaderblock.h"
#include "boot/text.h"

#define BL_PAGE_BYTES    4096u
#define BL_ANY_ADDRESS   UINT64_MAX
#define BL_BELOW_4_GIB   0xFFFFFFFFull
#define BL_BELOW_640_KIB 0x9FFFFull

static inline uint64_t BlPagesOf(uint64_t ByteCount)
{
    return ByteCount / BL_PAGE_BYTES + (ByteCount % BL_PAGE_BYTES != 0);
}

/* The number that the UEFI specification gives the error (appendix D). */
static inline uint64_t BlErrorNumber(EFI_STATUS Status)
{
    return Status & ~EFI_ERROR_MASK;
}

/* Room for the firmware's memory map, taken early: allocating changes the map. */
typedef struct _BL_MEMORY_MAP {
    uint8_t *Descriptors;
    UINTN    Capacity;        /* bytes */
    UINTN    ByteCount;       /* in use */
    UINTN    DescriptorBytes; /* from one to the next */
    UINTN    Key;             /* names this state of the map to ExitBootServices */
} BL_MEMORY_MAP;

/* Take room for the map and see that the machine has the memory that the kernel needs. */
bool BlCheckMemory(BL_MEMORY_MAP *Map, BL_FAULT *Fault);

/*
 * PageCount consecutive zeroed pages for the purpose Type (LoaderMemory...; LoaderMemoryFree is the loader's own use),
 * the last byte not above HighestAddress.
 *
 * => their address, physical and, until the kernel runs, virtual; NULL with the fault when there are none.
 */
void *BlAllocatePages(uint64_t PageCount, uint32_t Type, uint64_t HighestAddress, BL_FAULT *Fault);

/* How many runs an array for BlDescribeMemory must hold: a bound, however the map changes until boot services end. */
uint32_t BlMemoryRunCapacity(const BL_MEMORY_MAP *Map);

/* End boot services. On success interrupts are off and Map is final; nothing of the firmware may be called. */
bool BlLeaveBootServices(EFI_HANDLE Loader, BL_MEMORY_MAP *Map, BL_FAULT *Fault);

/* Write Map as runs. => how many. */
uint32_t BlDescribeMemory(const BL_MEMORY_MAP *Map, LOADER_MEMORY_RUN *Runs);
