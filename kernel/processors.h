/*
 * Starting the other processors: the part that needs the memory manager.
 */
#pragma once

#include "boot/loaderblock.h"
#include "kernel/hal/acpi.h"

/* Start every other processor that ACPI lists; those that do not come are named in the log. PASSIVE_LEVEL, once. */
void KiStartProcessors(const LOADER_BLOCK *Block, const HALP_ACPI_INFO *Acpi);
