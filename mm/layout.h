/*
 * The virtual address map. Drawn once, here; every other file takes its ranges by name.
 *
 * All addresses follow NT's plan, so that what WinDbg users know holds. A top-level (PXE) slot spans 512 GiB; each slot
 * that any region touches gets its table at boot and never changes, so a process copies the upper 256 slots once.
 */
#pragma once

#include "boot/loaderblock.h"
#include "kernel/ddk.h"

#define MI_GIB 0x40000000ull
#define MI_TIB 0x10000000000ull

/* User space: 64 KiB to 128 TiB less 64 KiB, as drivers see it through MmHighestUserAddress. */
#define MI_LOWEST_USER  0x0000000000010000ull
#define MI_USER_END     0x00007FFFFFFF0000ull /* first address that is not a user's */
#define MI_USER_SHARED  0x000000007FFE0000ull /* KUSER_SHARED_DATA, read-only, in each process */
#define MI_SYSTEM_START 0xFFFF800000000000ull /* MmSystemRangeStart */

/* Page tables mapped into themselves: the PTE of any address is one shift and one add away. */
#define MI_PTE_BASE      0xFFFFF68000000000ull
#define MI_PTE_END       0xFFFFF70000000000ull
#define MI_PDE_BASE      0xFFFFF6FB40000000ull
#define MI_PPE_BASE      0xFFFFF6FB7DA00000ull
#define MI_PXE_BASE      0xFFFFF6FB7DBED000ull
#define MI_SELF_MAP_SLOT LOADER_SELF_MAP_INDEX

/*
 * The regions: name, base, bytes, the slot-sharing neighbours in order. MI_REGION rows are the whole of kernel space
 * that may ever hold a translation besides the page tables; a fault outside all of them is a wild pointer.
 */
/* clang-format off */
#define MI_REGIONS(ROW)                                                                                                \
    ROW(SHARED_DATA,   0xFFFFF78000000000ull, 0x1000ull)         /* KUSER_SHARED_DATA, one page */                     \
    ROW(KERNEL_IMAGE,  LOADER_IMAGE_REGION_BASE, LOADER_IMAGE_REGION_BYTES) /* ntoskrnl.exe */                         \
    ROW(DRIVER_IMAGES, 0xFFFFF80800000000ull, 32 * MI_GIB)       /* .sys images */                                     \
    ROW(LOADER_DATA,   LOADER_REGION_BASE, 64 * MI_GIB)          /* what the loader left */                            \
    ROW(SYSTEM_PTES,   0xFFFFF88000000000ull, 128 * MI_GIB)      /* mappings of MDLs */                                \
    ROW(PAGED_POOL,    0xFFFFF8A000000000ull, 128 * MI_GIB)                                                            \
    ROW(KERNEL_STACKS, 0xFFFFF8C000000000ull, 32 * MI_GIB)       /* guarded thread stacks */                           \
    ROW(CPU_WINDOWS,   0xFFFFF8C800000000ull, 32 * MI_GIB)       /* per-CPU pages for zeroing and copying */           \
    ROW(MMIO,          0xFFFFF8D000000000ull, 64 * MI_GIB)       /* MmMapIoSpace and the kernel's own devices */       \
    ROW(SPECIAL_POOL,  0xFFFFF8E000000000ull, 128 * MI_GIB)                                                            \
    ROW(QUARANTINE,    0xFFFFF90000000000ull, 512 * MI_GIB)      /* released addresses under the verifier */           \
    ROW(PFN_DATABASE,  0xFFFFFA8000000000ull, 128 * MI_GIB)      /* covers 10 TiB of RAM; dormant map at its end */    \
    ROW(NONPAGED_POOL, 0xFFFFFAA000000000ull, 128 * MI_GIB)                                                            \
    ROW(SHADOW,        0xFFFFFC0000000000ull, 2 * MI_TIB)        /* AddressSanitizer */
/* clang-format on */

enum {
#define ROW(Name, Base, Bytes) MI_REGION_##Name,
    MI_REGIONS(ROW)
#undef ROW
    MI_REGION_COUNT
};

#define MI_BASE_OF(Name) (MiRegionTable[MI_REGION_##Name].Base)
#define MI_END_OF(Name)  (MiRegionTable[MI_REGION_##Name].Base + MiRegionTable[MI_REGION_##Name].Bytes)

typedef struct _MI_REGION_ROW {
    ULONG64     Base;
    ULONG64     Bytes;
    const char *Name;
} MI_REGION_ROW;

/* The table itself; a constant-folding `static const`, so that MI_BASE_OF costs no load. */
static const MI_REGION_ROW MiRegionTable[MI_REGION_COUNT] = {
#define ROW(NameOf, BaseOf, BytesOf) { .Base = (BaseOf), .Bytes = (BytesOf), .Name = #NameOf },
    MI_REGIONS(ROW)
#undef ROW
};

static inline bool MiIsInRegion(const void *Va, ULONG Region)
{
    return (ULONG64)Va - MiRegionTable[Region].Base < MiRegionTable[Region].Bytes;
}

static inline bool MiIsUserAddress(const void *Va)
{
    return (ULONG64)Va < MI_USER_END;
}

/* Bits 63 to 47 are all alike, or the processor refuses the address. */
static inline bool MiIsCanonical(const void *Va)
{
    return (ULONG64)((LONG64)((ULONG64)Va << 16) >> 16) == (ULONG64)Va;
}
