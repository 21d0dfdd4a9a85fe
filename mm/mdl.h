/*
 * Memory descriptor lists: what is common to the routines that build, lock, map and free them.
 */
#pragma once

#include "mm/pte.h"

C_ASSERT(sizeof(MDL) == 0x30);
C_ASSERT(FIELD_OFFSET(MDL, Size) == 0x08 && FIELD_OFFSET(MDL, MdlFlags) == 0x0A);
C_ASSERT(FIELD_OFFSET(MDL, Process) == 0x10 && FIELD_OFFSET(MDL, MappedSystemVa) == 0x18);
C_ASSERT(FIELD_OFFSET(MDL, StartVa) == 0x20 && FIELD_OFFSET(MDL, ByteCount) == 0x28);
C_ASSERT(sizeof(PFN_NUMBER) == 8);

#define MI_TAG_MDL 0x206C644Du /* "Mdl ": the pool tag of every MDL that the kernel allocates */

#define MI_MDL_MAX_BYTES (0x100000000ull - PAGE_SIZE) /* that one MDL may describe: nf-wdm-ioallocatemdl.md */

/* Filled in once and not yet undone. */
#define MI_MDL_BOUND (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)

/* How far the base kernel goes where the table is broken; the verifier always stops. */
typedef enum _MI_MDL_GATE {
    MiMdlTolerated,     /* the call goes on and does what it can */
    MiMdlNeedsEnforced, /* a bug check where a needed flag is missing */
    MiMdlEnforced,      /* a bug check */
} MI_MDL_GATE;

/*
 * The flags that each call needs and bears: at least one of Needs (0: nothing), none of Forbids, and the gate. The one
 * table, for the checks that are always on and for the verifier.
 */
#define MI_MDL_RULES(ROW)                                                                                           \
    ROW(Build, 0, MI_MDL_BOUND | MDL_PARTIAL, MiMdlTolerated)                                                       \
    ROW(Lock, 0, MI_MDL_BOUND | MDL_PARTIAL, MiMdlTolerated)                                                        \
    ROW(Unlock, MDL_PAGES_LOCKED, MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL, MiMdlNeedsEnforced)                    \
    ROW(Map, MDL_PAGES_LOCKED | MDL_PARTIAL, MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL, MiMdlTolerated) \
    ROW(Unmap, MDL_MAPPED_TO_SYSTEM_VA, MDL_PARENT_MAPPED_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL, MiMdlEnforced)   \
    ROW(FreePages, MDL_PAGES_LOCKED, MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL, MiMdlEnforced)                      \
    ROW(Free, 0, MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA, MiMdlTolerated)

typedef enum _MI_MDL_CALL {
#define ROW(Call, Needs, Forbids, Gate) MiMdl##Call,
    MI_MDL_RULES(ROW)
#undef ROW
    MI_MDL_CALLS
} MI_MDL_CALL;

typedef struct _MI_MDL_RULE {
    USHORT      Needs;
    USHORT      Forbids;
    MI_MDL_GATE Gate;
} MI_MDL_RULE;

extern const MI_MDL_RULE MiMdlRules[MI_MDL_CALLS];

/* MdlFlags as an unsigned quantity. */
static inline ULONG MiMdlFlags(const MDL *Mdl)
{
    return (USHORT)Mdl->MdlFlags;
}

static inline void MiSetMdlFlags(MDL *Mdl, ULONG Set)
{
    Mdl->MdlFlags = (CSHORT)(MiMdlFlags(Mdl) | Set);
}

static inline void MiClearMdlFlags(MDL *Mdl, ULONG Clear)
{
    Mdl->MdlFlags = (CSHORT)(MiMdlFlags(Mdl) & ~Clear);
}

/* The flags because of which the table does not permit Call on Mdl as it stands: none of these is set, or these are. */
static inline ULONG MiMissingMdlFlags(const MDL *Mdl, MI_MDL_CALL Call)
{
    return (MiMdlFlags(Mdl) & MiMdlRules[Call].Needs) != 0 ? 0 : MiMdlRules[Call].Needs;
}

static inline ULONG MiWrongMdlFlags(const MDL *Mdl, MI_MDL_CALL Call)
{
    return MiMdlFlags(Mdl) & MiMdlRules[Call].Forbids;
}

/* Must the base kernel stop? */
static inline bool MiIsMdlCallStopped(const MDL *Mdl, MI_MDL_CALL Call)
{
    MI_MDL_GATE gate = MiMdlRules[Call].Gate;
    return (gate != MiMdlTolerated && MiMissingMdlFlags(Mdl, Call) != 0) ||
           (gate == MiMdlEnforced && MiWrongMdlFlags(Mdl, Call) != 0);
}

/* The pages that [Va, Va + ByteCount) touches, without the DDK macro's 32-bit cut. */
static inline SIZE_T MiSpanPages(const void *Va, SIZE_T ByteCount)
{
    return (ByteCount >> PAGE_SHIFT) + ((BYTE_OFFSET(Va) + BYTE_OFFSET(ByteCount) + (PAGE_SIZE - 1)) >> PAGE_SHIFT);
}

/* The entries of Mdl's frame array: from ByteCount, since Size has 16 bits and wraps. */
static inline PFN_COUNT MiMdlPageCount(const MDL *Mdl)
{
    return (PFN_COUNT)MiSpanPages((const void *)(ULONG_PTR)Mdl->ByteOffset, Mdl->ByteCount);
}

static inline PFN_NUMBER *MiMdlFrames(const MDL *Mdl)
{
    return (PFN_NUMBER *)(Mdl + 1);
}

/* What an MDL over [Va, Va + ByteCount) takes, its frame array included. */
static inline SIZE_T MiMdlBytes(const void *Va, SIZE_T ByteCount)
{
    return sizeof(MDL) + MiSpanPages(Va, ByteCount) * sizeof(PFN_NUMBER);
}

/*
 * Write the header of an MDL over [Va, Va + ByteCount): MmInitializeMdl, and the two fields that it leaves. MdlBytes is
 * MiMdlBytes of the range.
 */
static inline void MiFormatMdlOf(MDL *Mdl, SIZE_T MdlBytes, const void *Va, ULONG ByteCount)
{
    *Mdl = (MDL){
        .Size = (CSHORT)MdlBytes,
        .StartVa = PAGE_ALIGN(Va),
        .ByteOffset = BYTE_OFFSET(Va),
        .ByteCount = ByteCount,
    };
}

static inline void MiFormatMdl(MDL *Mdl, const void *Va, ULONG ByteCount)
{
    MiFormatMdlOf(Mdl, MiMdlBytes(Va, ByteCount), Va, ByteCount);
}
