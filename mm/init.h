/*
 * Bringing the memory manager up, and the processors' way in.
 */
#pragma once

#include "boot/loaderblock.h"
#include "kernel/ddk.h"

/*
 * Everything of mm's raw half, once: PFN database, page tables for every region, page lists, PTE regions, windows,
 * the system's address space, KUSER_SHARED_DATA (mapped, zero), CPU 0's PAT, the calls of page faults. Drops the
 * loader's one-to-one map.
 *
 * => CPU 0 alone, on the boot stack, its PCR loaded, descriptor tables and serial port working.
 */
VOID MiInitSystem(const LOADER_BLOCK *Block);

/*
 * Give back what lies in [Va, Va + ByteCount) of the loader's region: whole pages inside only. The boot stack, files
 * that have been loaded. IRQL <= APC_LEVEL.
 */
VOID MiFreeLoaderMemory(PVOID Va, SIZE_T ByteCount);

#define MI_IDENTITY_TABLE_PAGES 3u

/*
 * Build the tables on which a starting processor turns paging on: the first 2 MiB of physical memory one to one,
 * writable and executable, and the kernel's half as the system has it. The last MI_IDENTITY_TABLE_PAGES of the
 * PageCount pages at Physical (the loader's LoaderMemoryApStartup) become the tables, the others are left alone.
 * *RootPhysical is for CR3. A processor leaves these tables by loading its real CR3, which drops the one-to-one
 * translations with it.
 *
 * => IRQL <= DISPATCH_LEVEL.
 */
VOID MiMapIdentity(ULONG64 Physical, ULONG PageCount, ULONG64 *RootPhysical);

/* Clear those tables again: no processor runs on them. */
VOID MiUnmapIdentity(ULONG64 Physical, ULONG PageCount);
