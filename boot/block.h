/*
 * The loader's region of the kernel's address space, and the loader block with everything that it points to.
 */
#pragma once

#include <efi.h>

#include "boot/image.h"
#include "boot/loaderblock.h"
#include "boot/memory.h"
#include "boot/paging.h"
#include "boot/source.h"

typedef struct _BL_REGION {
    BL_TABLES *Tables;
    uint64_t   NextVirtual; /* begins at LOADER_REGION_BASE */
} BL_REGION;

/* The block while it is being made: the kernel's addresses are in it, the loader's are here. */
typedef struct _BL_BLOCK {
    LOADER_BLOCK      *Block;
    uint64_t           BlockVirtual;
    LOADER_MEMORY_RUN *MemoryRuns; /* filled after boot services, room made before */
} BL_BLOCK;

/*
 * Build the block in pages of its own, mapped into the region, with files, symbols, command line, boot stack, the low
 * pages for starting processors and all that the firmware can tell. What remains are KernelBase, KernelBytes and the
 * memory runs.
 */
bool BlBuildBlock(BL_TABLES *Tables, const BL_SOURCES *Sources, const BL_IMAGE *Image, const BL_MEMORY_MAP *Map,
                  BL_BLOCK *Result, BL_FAULT *Fault);
