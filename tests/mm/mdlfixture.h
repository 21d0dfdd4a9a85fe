/*
 * What the MDL suites share: locking with a status, and looks behind the addresses.
 */
#pragma once

#include "mm/mdl.h"
#include "mm/pfn.h"
#include "tests/mm/spacelib.h"

/* Change the protection of pages, or free the allocation that begins at Va. */
void KtProtectUserPages(KT_SPACE *Space, void *Va, PFN_COUNT PageCount, ULONG Protect);
void KtFreeUserPages(KT_SPACE *Space, void *Va);

/* MmProbeAndLockPages, with what it raised. */
NTSTATUS KtLockPages(MDL *Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation);

/* The frame behind a resident address, MI_PFN_NONE if there is none, and its references. */
PFN_NUMBER KtFrameOf(const void *Va);
LONG       KtReferences(PFN_NUMBER Frame);

/* One byte of a frame, read or written without any of its mappings. IRQL <= DISPATCH_LEVEL. */
UCHAR KtReadFrameByte(PFN_NUMBER Frame, ULONG Offset);
void  KtWriteFrameByte(PFN_NUMBER Frame, ULONG Offset, UCHAR Value);

/*
 * Frames of its own without an address, from MmAllocatePagesForMdlEx, byte 0 of page i holding Seed + i; NULL: a
 * failure.
 */
MDL *KtAllocateMarkedPages(PFN_COUNT PageCount, UCHAR Seed);

/* MmFreePagesFromMdl and ExFreePool. */
void KtFreeMarkedPages(MDL *Mdl);
