/*
 * The tour's view of the machine. See view.h.
 */
#include "view.h"

#define TOUR_PTE_FRAME 0x000FFFFFFFFFF000ull

/* The layout of Pinfold's PinfoldReadCounters, see io/counters.h there. */
typedef struct _TOUR_COUNTERS {
    ULONG64 SystemPtesTotal;
    ULONG64 SystemPtesFree;
    ULONG64 FlushRequests;
    ULONG64 FlushInterrupts;
    ULONG64 FramesFree;
} TOUR_COUNTERS;

typedef VOID(NTAPI *TOUR_READ_COUNTERS)(TOUR_COUNTERS *Counters);

static TOUR_COUNTERS TourMarked;

static const ULONG64 *TourEntry(ULONG64 Base, ULONG Shift, const void *Address)
{
    ULONG64 index = ((ULONG64)Address & 0x0000FFFFFFFFFFFFull) >> Shift;
    return (const ULONG64 *)(Base + index * sizeof(ULONG64));
}

ULONG64 TourReadPte(const void *Address)
{
    static const struct {
        ULONG64 Base;
        ULONG   Shift;
    } levels[] = { { PXE_BASE, 39 }, { PPE_BASE, 30 }, { PDE_BASE, 21 }, { PTE_BASE, 12 } };
    ULONG64 entry = 0;
    for (ULONG level = 0; level < RTL_NUMBER_OF(levels); level++) {
        entry = *(const volatile ULONG64 *)TourEntry(levels[level].Base, levels[level].Shift, Address);
        if ((entry & 1) == 0) {
            return level == 3 ? entry : 0;
        }
    }
    return entry;
}

void TourShowPte(const char *When, const void *Address)
{
    ULONG64     entry = TourReadPte(Address);
    const void *where = TourEntry(PTE_BASE, 12, Address);
    if ((entry & 1) == 0) {
        DbgPrint("       %-11s PTE %p = %016I64X  not present\n", When, where, entry);
        return;
    }
    DbgPrint("       %-11s PTE %p = %016I64X  frame %06I64X  %s%s%s%s%s%s\n", When, where, entry,
             (entry & TOUR_PTE_FRAME) >> 12, (entry & 0x002) != 0 ? "writable " : "read-only ",
             (entry & 0x004) != 0 ? "user " : "kernel ", (entry & 0x020) != 0 ? "accessed " : "",
             (entry & 0x040) != 0 ? "dirty " : "", (entry & 0x100) != 0 ? "global " : "",
             (entry >> 63) != 0 ? "no-execute" : "executable");
}

void TourShowMdl(const char *When, const MDL *Mdl)
{
    static const struct {
        CSHORT      Flag;
        const char *Name;
    } names[] = {
        { MDL_MAPPED_TO_SYSTEM_VA, "MAPPED_TO_SYSTEM_VA" },
        { MDL_PAGES_LOCKED, "PAGES_LOCKED" },
        { MDL_SOURCE_IS_NONPAGED_POOL, "SOURCE_IS_NONPAGED_POOL" },
        { MDL_ALLOCATED_FIXED_SIZE, "ALLOCATED_FIXED_SIZE" },
        { MDL_PARTIAL, "PARTIAL" },
        { MDL_PARTIAL_HAS_BEEN_MAPPED, "PARTIAL_HAS_BEEN_MAPPED" },
        { MDL_WRITE_OPERATION, "WRITE_OPERATION" },
        { MDL_IO_SPACE, "IO_SPACE" },
    };
    char  text[160];
    char *end = text;
    for (ULONG index = 0; index < RTL_NUMBER_OF(names); index++) {
        if ((Mdl->MdlFlags & names[index].Flag) != 0) {
            *end++ = ' ';
            for (const char *name = names[index].Name; *name != '\0'; name++) {
                *end++ = *name;
            }
        }
    }
    *end = '\0';
    DbgPrint("       %-11s MdlFlags %04X%s\n", When, (USHORT)Mdl->MdlFlags, text);
}

static BOOLEAN TourReadCounters(TOUR_COUNTERS *Counters)
{
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, L"PinfoldReadCounters");
    TOUR_READ_COUNTERS read = (TOUR_READ_COUNTERS)(ULONG_PTR)MmGetSystemRoutineAddress(&name);
    if (read == NULL) {
        return FALSE;
    }
    read(Counters);
    return TRUE;
}

void TourMark(void)
{
    TourReadCounters(&TourMarked);
}

void TourShowChange(const char *What)
{
    TOUR_COUNTERS now;
    if (!TourReadCounters(&now)) {
        DbgPrint("       (this kernel has no PinfoldReadCounters: no counts here)\n");
        return;
    }
    DbgPrint("       %-11s %I64d system PTEs in use (%+I64d), %I64u shootdown interrupts sent\n", What,
             now.SystemPtesTotal - now.SystemPtesFree, TourMarked.SystemPtesFree - now.SystemPtesFree,
             now.FlushInterrupts - TourMarked.FlushInterrupts);
}

typedef struct _TOUR_READ {
    const volatile UCHAR *Address;
    UCHAR                 Expected;
    volatile LONG         Wrong;
} TOUR_READ;

static ULONG_PTR NTAPI TourReadHere(ULONG_PTR Context)
{
    TOUR_READ *read = (TOUR_READ *)Context;
    if (*read->Address != read->Expected) {
        InterlockedIncrement(&read->Wrong);
    }
    return 0;
}

ULONG TourReadOnEveryCpu(const volatile UCHAR *Address, UCHAR Expected)
{
    TOUR_READ read = { .Address = Address, .Expected = Expected };
    KeIpiGenericCall(TourReadHere, (ULONG_PTR)&read);
    return (ULONG)read.Wrong;
}
