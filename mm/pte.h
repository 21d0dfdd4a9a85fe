/* long: the forms of an entry and their inlines belong on one page */
/*
 * Page-table entries: every form, the self-map's arithmetic, and the only code that stores to a page table.
 *
 * Forms. Bit 0 (P) set: the hardware form. Clear: software forms, told apart by bits 1 to 3 (Kind), all-zero meaning
 * "nothing here". Protection stays in bits 5 to 9 in every form that can fault in, so that a fault needs one load to
 * decide.
 *
 *     valid        | NX 63 | 62..52 software | frame 51..12 | software 11..9 | G D/PAT A PCD PWT US RW P |
 *     demand zero  | 0 ................................ 10 | protection 9..5 | Kind 3..1 = 1 | 0 |
 *     transition   | frame 51..12 ..................... 10 | protection 9..5 | Kind 3..1 = 2 | 0 |  frame is in memory
 *     pagefile     | offset 63..32 (pages) | file 15..12 . | protection 9..5 | Kind 3..1 = 3 | 0 |
 *     prototype    | address of the prototype, 63..12 >>.. | protection 9..5 | Kind 3..1 = 4 | 0 |
 *     free system  | two numbers or one, see mm/syspte.c  | role 5..4 ... | Kind 3..1 = 5 | 0 |
 *     no access    | why 63..52 | frame 51..12, 0: none ... | protection 9..5 | Kind 3..1 = 6 | 0 |  kept unmapped
 *
 * Software bit 9 of a valid entry is MI_PTE_COPY_ON_WRITE; bit 10 MI_PTE_WRITE_PERMITTED (the protection allows
 * writing though RW may be clear to catch the first write); bit 11 MI_PTE_OWNED marks a mapping that holds a share of
 * its frame.
 *
 * Invariants. A 64-bit entry is read and written whole. An entry goes from not present to present with a plain store:
 * no processor caches a translation that is not present. Any other change is made by the routines below and is
 * followed by a shootdown by the caller (suffix NoFlush) before the frame or the address is put to another use.
 *
 * Locking. Who may change an entry: system regions, whoever reserved the address; user space, the address space's lock.
 */
#pragma once

#include "kernel/amd64/pte.h"
#include "mm/layout.h"

typedef struct _MMPTE {
    ULONG64 Value;
} MMPTE;

C_ASSERT(sizeof(MMPTE) == 8);

#define MI_PTE_COPY_ON_WRITE   0x200ull
#define MI_PTE_WRITE_PERMITTED 0x400ull
#define MI_PTE_OWNED           0x800ull

typedef enum _MI_PTE_KIND {
    MiPteZero = 0, /* only when the whole entry is 0 */
    MiPteDemandZero = 1,
    MiPteTransition = 2,
    MiPtePageFile = 3,
    MiPtePrototype = 4,
    MiPteFreeSystem = 5,
    MiPteNoAccess = 6,
} MI_PTE_KIND;

#define MI_PTE_KIND_SHIFT 1
#define MI_PTE_KIND_MASK  0x0Eull
#define MI_PTE_PROT_SHIFT 5
#define MI_PTE_PROT_MASK  0x3E0ull

/* Why a MiPteNoAccess entry is what it is. A frame in it keeps its share: the page comes back when access does. */
typedef enum _MI_NO_ACCESS {
    MiNoAccessGuard = 1,  /* below a kernel stack, between mappings */
    MiNoAccessProtection, /* user memory under PAGE_NOACCESS or PAGE_GUARD */
    MiNoAccessReleased,   /* unmapped, not yet for reuse */
} MI_NO_ACCESS;

#define MI_PTE_WHY_SHIFT 52

/* Protections as software forms keep them. */
#define MI_PROT_READ    0x01u
#define MI_PROT_WRITE   0x02u
#define MI_PROT_EXECUTE 0x04u
#define MI_PROT_GUARD   0x08u
#define MI_PROT_COPY    0x10u

/* Self-map: entry of an address, address of an entry. Level 0 is the PTE, 3 the PXE. */
static inline MMPTE *MiPteOf(const void *Va)
{
    return (MMPTE *)(MI_PTE_BASE + (((ULONG64)Va >> 9) & 0x7FFFFFFFF8ull));
}

static inline MMPTE *MiPdeOf(const void *Va)
{
    return MiPteOf(MiPteOf(Va));
}

static inline MMPTE *MiPpeOf(const void *Va)
{
    return MiPteOf(MiPdeOf(Va));
}

static inline MMPTE *MiPxeOf(const void *Va)
{
    return MiPteOf(MiPpeOf(Va));
}

static inline void *MiVaOfPte(const MMPTE *Pte)
{
    return (void *)(ULONG64)((LONG64)((ULONG64)Pte << 25) >> 16);
}

static inline MMPTE MiReadPte(const MMPTE *Pte)
{
    return (MMPTE){ .Value = *(const volatile ULONG64 *)&Pte->Value };
}

static inline bool MiPteIsValid(MMPTE Pte)
{
    return (Pte.Value & X86_PTE_P) != 0;
}

static inline PFN_NUMBER MiPteFrame(MMPTE Pte)
{
    return (Pte.Value & X86_PTE_FRAME) >> X86_PAGE_SHIFT;
}

static inline MI_PTE_KIND MiPteKind(MMPTE Pte)
{
    return (MI_PTE_KIND)((Pte.Value & MI_PTE_KIND_MASK) >> MI_PTE_KIND_SHIFT);
}

static inline ULONG MiPteProtection(MMPTE Pte)
{
    return (ULONG)((Pte.Value & MI_PTE_PROT_MASK) >> MI_PTE_PROT_SHIFT);
}

/*
 * The valid entry for Frame: Bits are X86_PTE_... and MI_PTE_..., P is added. A is always set and D with RW, so that
 * the processor never has to write the entry itself; G comes from the caller (kernel space only).
 */
static inline MMPTE MiMakeValidPte(PFN_NUMBER Frame, ULONG64 Bits)
{
    return (MMPTE){ .Value = (Frame << X86_PAGE_SHIFT) | Bits | X86_PTE_P | X86_PTE_A };
}

static inline MMPTE MiMakeSoftwarePte(MI_PTE_KIND Kind, ULONG Protection)
{
    return (MMPTE){ .Value = ((ULONG64)Kind << MI_PTE_KIND_SHIFT) | ((ULONG64)Protection << MI_PTE_PROT_SHIFT) };
}

static inline MMPTE MiMakeTransitionPte(PFN_NUMBER Frame, ULONG Protection)
{
    return (MMPTE){ .Value = (Frame << X86_PAGE_SHIFT) | MiMakeSoftwarePte(MiPteTransition, Protection).Value };
}

static inline MMPTE MiMakeNoAccessPte(MI_NO_ACCESS Why, PFN_NUMBER Frame)
{
    return (MMPTE){ .Value = ((ULONG64)Why << MI_PTE_WHY_SHIFT) | (Frame << X86_PAGE_SHIFT) |
                             MiMakeSoftwarePte(MiPteNoAccess, 0).Value };
}

#define MI_KERNEL_RW (X86_PTE_RW | X86_PTE_D | X86_PTE_G | X86_PTE_NX)

/* Not present to present: no flush is owed. */
static inline void MiWriteValidPte(MMPTE *Pte, MMPTE Value)
{
    *(volatile ULONG64 *)&Pte->Value = Value.Value;
}

/* Present to anything, atomically against the processor's own A and D updates; the old entry comes back. */
static inline MMPTE MiExchangePteNoFlush(MMPTE *Pte, MMPTE Value)
{
    return (MMPTE){ .Value = (ULONG64)_InterlockedExchange64((volatile LONG64 *)&Pte->Value, (LONG64)Value.Value) };
}

/*
 * The level-0 entry that maps Va, or NULL when some level is not present or a large page maps it. Reads only tables
 * that are present. Any IRQL; for a user address at PASSIVE_LEVEL or APC_LEVEL, the tables of a live space stay.
 */
MMPTE *MiFindValidPte(const void *Va);

/* The physical address of Va, or false. Follows large pages. Any IRQL. */
bool MiTranslate(const void *Va, PHYSICAL_ADDRESS *Physical);

/* Are the tables there, so that MiPteOf(Va) may be read? Any IRQL. */
bool MiTablesExist(const void *Va);

/* Where new page tables come from and what the entries that point to them say besides. */
typedef struct _MI_TABLE_SOURCE {
    PFN_NUMBER (*TakeZeroedFrame)(void *Context, MMPTE *Entry); /* for Entry to point to; MI_PFN_NONE: out of memory */
    void   *Context;
    ULONG64 EntryBits; /* X86_PTE_... of the upper entries */
} MI_TABLE_SOURCE;

/*
 * See that the tables under every level exist for [First, Last], so that its PTEs can be touched; MiFillTables does
 * the same for whoever brings its own frames and exclusion. STATUS_INSUFFICIENT_RESOURCES leaves the tables made so
 * far: harmless, the next call finds them.
 *
 * => MiMakeTables: kernel space only, IRQL <= DISPATCH_LEVEL; acquires LOCK_TABLES.
 * => MiFillTables: the address space is this CPU's; the caller keeps others from filling the same range.
 */
NTSTATUS MiMakeTables(const void *First, const void *Last);
NTSTATUS MiFillTables(const void *First, const void *Last, const MI_TABLE_SOURCE *Source);

/* One step of it: see that Entry, of any level above 0, points to a table. False when memory is out. */
bool MiFillEntry(MMPTE *Entry, const MI_TABLE_SOURCE *Source);
