/*
 * Frames for MDLs without an address: MmAllocatePagesForMdl, MmAllocatePagesForMdlEx, MmFreePagesFromMdl, declared by
 * the driver kit.
 */
#pragma once

#include "mm/mdl.h"
