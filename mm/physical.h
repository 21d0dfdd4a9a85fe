/*
 * What drivers ask about physical memory: MmGetPhysicalAddress, MmGetVirtualForPhysical, MmIsAddressValid,
 * MmIsNonPagedSystemAddressValid and MmGetPhysicalMemoryRanges, all declared by the driver kit.
 */
#pragma once

#include "mm/pfn.h"

/*
 * May [Address, Address + ByteCount) be read by the kernel without a fault? Walks the tables; user pages are refused,
 * since SMAP would. Any IRQL, NMI handlers and bug checks included: what stack walks ask.
 */
bool MiIsReadable(const void *Address, SIZE_T ByteCount);
