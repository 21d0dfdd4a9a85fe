/*
 * The one contract between the loader and the kernel.
 *
 * The loader leaves boot services, loads CR3 with the tables that it built and jumps to the kernel's entry point with
 * RCX = the LOADER_BLOCK's virtual address, RSP = the top of a mapped 32 KiB stack less 40 (as after a call by the
 * Microsoft ABI: a return address, which is 0, under 32 bytes of home space), IF = 0, DF = 0, CR0.WP, CR4.PGE and
 * EFER.NXE set. GDT and IDT are still the firmware's, in memory that the map calls free: load others before using any.
 * Every pointer in the block is a kernel virtual address unless its name says Physical.
 *
 * Mapped at entry, besides the image: the block itself and everything that it points to, from LOADER_REGION_BASE up,
 * read-write, no-execute, consecutive but for an unmapped page on either side of the stack; the page tables, into
 * themselves at 0xFFFFF68000000000; and physical memory below 4 GiB one to one, writable and executable, by 2 MiB pages
 * (the loader's own code runs there or, if the firmware put it higher, in two more pages one to one), which the kernel
 * drops. A page's Global bit is set in every kernel mapping, never in the lower half nor in the
 * self-map. Accessed and dirty bits are set wherever they could become so. The root table lies below 4 GiB, so that a
 * processor can load it from 32-bit code. COM1 is already 115200 8N1.
 *
 * This header is compiled by gcc for the loader and by clang for the kernel: fixed-width types only.
 */
#pragma once

#include <stdint.h>

#define LOADER_BLOCK_SIGNATURE 0x444C464E4950ull /* "PINFLD" */
#define LOADER_BLOCK_VERSION   1u

#define LOADER_IMAGE_REGION_BASE  0xFFFFF80000000000ull /* the kernel lies here, at a base chosen at boot */
#define LOADER_IMAGE_REGION_BYTES 0x0000000800000000ull /* 32 GiB: the base varies in 64 KiB steps */
#define LOADER_IMAGE_FIXED_BASE   0xFFFFF80000200000ull /* the base under `nokaslr` */
#define LOADER_REGION_BASE        0xFFFFF87000000000ull /* the loader's data, from here up */
#define LOADER_SELF_MAP_INDEX     0x1EDu                /* the top-level slot that maps the tables into themselves */

#define LOADER_NAME_BYTES 64u

/* What a run of physical pages is used for when the kernel takes over. */
enum {
    LoaderMemoryFree = 0,    /* conventional memory and what boot services left: usable at once */
    LoaderMemoryKernelImage, /* the kernel's sections */
    LoaderMemoryPageTables,  /* tables that the loader built */
    LoaderMemoryLoaderData,  /* the block, its arrays, files and symbols; the boot stack */
    LoaderMemoryApStartup,   /* the low pages for starting processors, see ApStartupPhysical */
    LoaderMemoryAcpiTables,  /* ACPI tables: RAM, kept */
    LoaderMemoryFirmware,    /* runtime services and other RAM that the firmware keeps */
    LoaderMemoryDevice,      /* not RAM: MMIO and reserved ranges that the map mentions */
};

typedef struct _LOADER_MEMORY_RUN {
    uint64_t BasePage; /* first physical page number */
    uint64_t PageCount;
    uint32_t Type; /* LoaderMemory... */
    uint32_t Reserved;
} LOADER_MEMORY_RUN; /* sorted by BasePage, disjoint, neighbours of one type merged; page 0 is never free */

/* A file taken whole from the archive or the ESP: drivers and programs, in the order in which they are to run. */
typedef struct _LOADER_FILE {
    char     Name[LOADER_NAME_BYTES]; /* as in the archive: "drivers/tour.sys", "apps/test.exe" */
    uint8_t *Base;
    uint64_t ByteCount;
} LOADER_FILE;

typedef struct _LOADER_BLOCK {
    uint64_t Signature;
    uint32_t Version;
    uint32_t ByteCount; /* sizeof(LOADER_BLOCK) as the loader knows it */

    uint64_t KernelBase;        /* virtual address of the image's first byte (its PE header is mapped) */
    uint32_t KernelBytes;       /* span of its mapped pages: discardable and debug sections are not mapped */
    uint32_t KernelSymbolCount; /* COFF symbols, 18 bytes each, at KernelSymbols; 0 when stripped */
    uint8_t *KernelSymbols;     /* the file's COFF symbol table, its string table right behind */
    uint64_t KernelSymbolBytes; /* both tables together */

    uint32_t           MemoryRunCount;
    uint32_t           FileCount;
    LOADER_MEMORY_RUN *MemoryRuns;
    LOADER_FILE       *Files;

    char    *CommandLine;       /* NUL-terminated UTF-8 */
    uint64_t RsdpPhysical;      /* ACPI 2.0 RSDP, 0 if none */
    uint64_t ApStartupPhysical; /* LOADER_AP_STARTUP_PAGES consecutive pages below 640 KiB */

    uint64_t FramebufferPhysical; /* 0 if none */
    uint64_t FramebufferBytes;
    uint32_t FramebufferWidth;  /* pixels */
    uint32_t FramebufferHeight; /* pixels */
    uint32_t FramebufferPixelsPerLine;
    uint32_t FramebufferFormat; /* EFI_GRAPHICS_PIXEL_FORMAT: 0 RGBX, 1 BGRX */

    uint64_t SystemTime;      /* UTC at boot in 100 ns since 1601-01-01, from the firmware's clock */
    uint64_t RandomSeed;      /* from RDRAND or the TSC; the kernel's `seed=` overrides it */
    uint64_t NextFreeVirtual; /* first page above what the loader mapped in its region */
    uint64_t BootStackTop;    /* RSP at entry, rounded up to the page */
    uint64_t BootStackBytes;
} LOADER_BLOCK;

#define LOADER_AP_STARTUP_PAGES 4u
#define LOADER_BOOT_STACK_BYTES 0x8000u
