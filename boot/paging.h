/*
 * The first page tables: four levels, made page by page as mappings are added.
 *
 * The root lies below 4 GiB, where a processor that is being started can load it from 32-bit code. Kernel mappings are
 * global and W^X; the entries above the last level permit everything, so that a mapping's own entry decides. Accessed
 * and dirty bits are set ahead, so that the processor never writes to the tables.
 */
#pragma once

#include "boot/image.h"
#include "boot/text.h"

typedef struct _BL_TABLES {
    uint64_t *Root; /* 512 entries; physical address and, in the loader, virtual */
} BL_TABLES;

/* Tables that map themselves at LOADER_SELF_MAP_INDEX and the low 4 GiB of physical memory one to one. */
bool BlCreateTables(BL_TABLES *Tables, BL_FAULT *Fault);

/* Map PageCount pages of the kernel's. => not mapped before. */
bool BlMapKernelPages(BL_TABLES *Tables, uint64_t Virtual, uint64_t Physical, uint64_t PageCount,
                      BL_PROTECTION Protection, BL_FAULT *Fault);

/* See that the page at Physical can be executed where it lies: nothing to do below 4 GiB. */
bool BlMapOneToOne(BL_TABLES *Tables, uint64_t Physical, BL_FAULT *Fault);
