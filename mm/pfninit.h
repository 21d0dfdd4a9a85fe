/*
 * Building the PFN database at boot.
 */
#pragma once

#include "boot/loaderblock.h"
#include "mm/pfn.h"

/* Learn from the loader which frames are RAM. First of all. */
void MiFindRam(const LOADER_BLOCK *Block);

/* Make the page tables that hold the database's entries, all of them. Source gives the frames. */
void MiMapPfnTables(const MI_TABLE_SOURCE *Source);

/*
 * Describe every frame that is not wholly among free ones, leave the rest dormant, fill the free list. Takes the last
 * boot frames: from here on MiAllocateFrame works and MiTakeBootFrame does not.
 */
void MiBuildPfnDatabase(const LOADER_BLOCK *Block);
