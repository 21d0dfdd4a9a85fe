/*
 * What the tour shows: page-table entries through the self-map, MDL flags in words, and the kernel's counters.
 *
 * Everything here is what any driver can do. The self-map's base is where x64 Windows had it up to 10.0.14316; the
 * counters come from an export that only Pinfold has, so it is looked up at run time and its absence shown as such.
 */
#pragma once

#include <ntddk.h>

#ifndef MdlMappingNoExecute /* in the driver kit since Windows 8; older headers lack it */
#define MdlMappingNoExecute 0x40000000
#endif

/* Show a call as it is written, then make it. */
#define TOUR_CALL(Call) (DbgPrint("   %s\n", #Call), (Call))

/* One line: what is said of an address's PTE, with its entry spelled out. */
void TourShowPte(const char *When, const void *Address);

/* One line: the MDL's flags by name. */
void TourShowMdl(const char *When, const MDL *Mdl);

/* Remember the counters now; show what has changed since. */
void TourMark(void);
void TourShowChange(const char *What);

/* Have every CPU read Address, so that each holds a translation for it: how many did not read Expected. */
ULONG TourReadOnEveryCpu(const volatile UCHAR *Address, UCHAR Expected);

/* The raw entry that maps Address, 0 when some level of the tables is not there. */
ULONG64 TourReadPte(const void *Address);
