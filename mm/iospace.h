/*
 * Physical addresses into the kernel's space: MmMapIoSpace and MmUnmapIoSpace, declared by the driver kit, and
 * MmMapIoSpaceEx.
 */
#pragma once

#include "mm/syspte.h"

extern MI_PTE_REGION MiIoPteRegion; /* MI_REGION_MMIO */

void MiInitializeIoSpace(void);

/* nf-wdm-mmmapiospaceex.md: one PAGE_... protection, and PAGE_NOCACHE or PAGE_WRITECOMBINE or neither. */
PVOID NTAPI MmMapIoSpaceEx(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG Protect);
