/*
 * The images that are loaded: the kernel and the drivers.
 *
 * Unwinding, symbols and blame all begin with "which image holds this address?", and ask it at any IRQL, in NMI
 * handlers and in a bug check. So the registry is a singly linked list that is read without a lock.
 *
 * Locking: insertions and removals are serialised by the caller (boot, then the driver loader's lock). A reader walks
 * the list with interrupts off. A removed entry keeps its link, so a reader that stands on it walks on.
 *
 * Grace: after RtlpRemoveImage the entry and the image may be freed once every CPU has answered an IPI that was sent
 * after the removal, since a CPU that answers one is not inside a lookup. The TLB flush of the image's pages is such
 * an IPI. What RtlpFindImage returns stays valid while something keeps the image loaded: code of it that runs, a
 * return address into it on a live stack, or the loader's lock.
 */
#pragma once

#include "kernel/ddk.h"

#define RTLP_IMAGE_NAME_BYTES 64u

/* Filled by RtlpInitializeImage; constant from RtlpInsertImage on, but for Next. */
typedef struct _RTLP_IMAGE {
    struct _RTLP_IMAGE     *Next;                        /* toward older entries; written by the serialised updaters */
    CHAR                    Name[RTLP_IMAGE_NAME_BYTES]; /* "ntoskrnl.exe", "mydriver.sys" */
    ULONG64                 Base;                        /* the mapped PE header */
    ULONG                   ByteCount;     /* mapped span from Base; every RVA that is read lies below it */
    ULONG                   FunctionCount; /* entries of the .pdata table; 0 if there is none */
    const RUNTIME_FUNCTION *FunctionTable;
    ULONG                   SectionCount; /* section headers at SectionTableRva; 0 if the PE header is damaged */
    ULONG                   SectionTableRva;
    const UCHAR            *Symbols;     /* COFF symbol table with its string table behind it, or NULL */
    SIZE_T                  SymbolBytes; /* both tables together */
    ULONG                   SymbolCount; /* records of the symbol table */
} RTLP_IMAGE;

/*
 * Describe the image mapped at Base: its name, its sections and the .pdata table. Where the PE header is damaged, or a
 * table lies outside the image, that table is left out; the image can be registered all the same.
 *
 * => [Base, Base + ByteCount) is readable; pages that are later discarded are never read by the unwinder's predicate.
 * => Name is cut to fit. Symbols are absent until RtlpSetImageSymbols.
 */
void RtlpInitializeImage(RTLP_IMAGE *Image, const char *Name, const void *Base, ULONG ByteCount);

/* Attach the file's COFF symbol table: SymbolCount records, the string table behind them, ByteCount bytes in all. */
void RtlpSetImageSymbols(RTLP_IMAGE *Image, const void *Symbols, ULONG SymbolCount, SIZE_T ByteCount);

void RtlpInsertImage(RTLP_IMAGE *Image);

/* => Image is in the list; see Grace above for what the caller owes before it frees anything. */
void RtlpRemoveImage(RTLP_IMAGE *Image);

/* The image that holds Address, or NULL. Any IRQL, NMI included; touches neither locks nor the image itself. */
const RTLP_IMAGE *RtlpFindImage(const void *Address);

/* The range [Rva, Rva + ByteCount) of the image, or NULL when it does not lie inside. */
const void *RtlpImageRange(const RTLP_IMAGE *Image, ULONG Rva, ULONG ByteCount);

PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID *BaseOfImage);
