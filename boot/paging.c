/*
 * Four-level page tables, written through the firmware's own one-to-one map of all memory.
 */
#include "boot/paging.h"

#include "boot/memory.h"
#include "kernel/amd64/pte.h"

#define TABLE_ENTRIES    512u
#define LEVEL_BITS       9u
#define ROOT_LEVEL       3u /* levels count from the last: 0 holds the entries of 4 KiB pages */
#define LARGE_LEVEL      1u /* whose entries may map 2 MiB */
#define LARGE_PAGE_BYTES 0x200000ull
#define ONE_TO_ONE_BYTES 0x100000000ull

#define TABLE_BITS      (X86_PTE_P | X86_PTE_RW | X86_PTE_A)
#define ONE_TO_ONE_BITS (X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D)

static uint32_t IndexOf(uint64_t Virtual, uint32_t Level)
{
    return (uint32_t)(Virtual >> (X86_PAGE_SHIFT + Level * LEVEL_BITS)) % TABLE_ENTRIES;
}

/* The entry of Virtual in the table of that level, the tables above it made as needed. NULL with the fault. */
static uint64_t *EntryOf(BL_TABLES *Tables, uint64_t Virtual, uint32_t Level, BL_FAULT *Fault)
{
    uint64_t *table = Tables->Root;

    for (uint32_t level = ROOT_LEVEL; level != Level; level--) {
        uint64_t *entry = &table[IndexOf(Virtual, level)];

        if ((*entry & X86_PTE_P) == 0) {
            void *page = BlAllocatePages(1, LoaderMemoryPageTables, BL_ANY_ADDRESS, Fault);
            if (page == NULL) {
                return NULL;
            }
            *entry = (uint64_t)page | TABLE_BITS;
        }
        table = (uint64_t *)(*entry & X86_PTE_FRAME);
    }
    return &table[IndexOf(Virtual, Level)];
}

bool BlCreateTables(BL_TABLES *Tables, BL_FAULT *Fault)
{
    Tables->Root = BlAllocatePages(1, LoaderMemoryPageTables, BL_BELOW_4_GIB, Fault);
    if (Tables->Root == NULL) {
        return false;
    }
    Tables->Root[LOADER_SELF_MAP_INDEX] = (uint64_t)Tables->Root | ONE_TO_ONE_BITS | X86_PTE_NX;
    for (uint64_t address = 0; address < ONE_TO_ONE_BYTES; address += LARGE_PAGE_BYTES) {
        uint64_t *entry = EntryOf(Tables, address, LARGE_LEVEL, Fault);
        if (entry == NULL) {
            return false;
        }
        *entry = address | ONE_TO_ONE_BITS | X86_PTE_PS;
    }
    return true;
}

static uint64_t BitsOf(BL_PROTECTION Protection)
{
    const uint64_t always = X86_PTE_P | X86_PTE_A | X86_PTE_G;

    switch (Protection) {
    case BlProtectReadExecute:
        return always;
    case BlProtectReadWrite:
        return always | X86_PTE_RW | X86_PTE_D | X86_PTE_NX;
    default:
        return always | X86_PTE_NX;
    }
}

bool BlMapKernelPages(BL_TABLES *Tables, uint64_t Virtual, uint64_t Physical, uint64_t PageCount,
                      BL_PROTECTION Protection, BL_FAULT *Fault)
{
    for (uint64_t page = 0; page < PageCount; page++) {
        uint64_t  offset = page * BL_PAGE_BYTES;
        uint64_t *entry = EntryOf(Tables, Virtual + offset, 0, Fault);
        if (entry == NULL) {
            return false;
        }
        *entry = (Physical + offset) | BitsOf(Protection);
    }
    return true;
}

bool BlMapOneToOne(BL_TABLES *Tables, uint64_t Physical, BL_FAULT *Fault)
{
    if (Physical < ONE_TO_ONE_BYTES) {
        return true;
    }
    uint64_t *entry = EntryOf(Tables, Physical, 0, Fault);
    if (entry == NULL) {
        return false;
    }
    *entry = (Physical & X86_PTE_FRAME) | X86_PTE_P | X86_PTE_A;
    return true;
}
