/*
 * RTL_BITMAP: the driver kit declares its routines; two of them are written over these searches, which the memory
 * manager uses directly.
 */
#pragma once

#include "kernel/ddk.h"

#define RTLP_NO_BIT MAXULONG

/*
 * The first clear (set) bit at StartingIndex or above.
 *
 * => BitMap->SizeOfBitMap where there is none.
 */
ULONG RtlpNextClearBit(const RTL_BITMAP *BitMap, ULONG StartingIndex);
ULONG RtlpNextSetBit(const RTL_BITMAP *BitMap, ULONG StartingIndex);
