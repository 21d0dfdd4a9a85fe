/*
 * Frames for what must exist before the page lists do: page tables and the first parts of the PFN database.
 */
#pragma once

#include "boot/loaderblock.h"
#include "mm/pfn.h"

/* Choose the run of free memory to take frames from. */
void MiInitializeBootMemory(const LOADER_BLOCK *Block);

/*
 * Take the next frame, zeroed through the loader's one-to-one map; bug check 0x7D when memory is too small. Until
 * the page lists stand, on CPU 0 alone. The signature is MI_TABLE_SOURCE's.
 */
PFN_NUMBER MiTakeBootFrame(void *Context, MMPTE *Entry);

/* What has been taken, and the run it comes from: [Lowest taken, End of the run). */
PFN_NUMBER MiLowestBootFrame(void);
PFN_NUMBER MiBootFramesEnd(void);
