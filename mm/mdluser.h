/*
 * Mappings of MDLs in the current process's user space.
 */
#pragma once

#include "mm/mdlmap.h"

/*
 * Map Mdl at RequestedAddress, rounded down to a page, or anywhere if that is NULL. *Va is the address, the MDL's byte
 * offset included. The MDL does not change: such a mapping is known by its address and process alone.
 *
 * => IRQL <= APC_LEVEL; acquires the process's SpaceLock.
 */
NTSTATUS MiMapToUser(MDL *Mdl, const MI_MAPPING *Mapping, PVOID RequestedAddress, PVOID *Va);

/*
 * Undo it, in the same process. No CPU can reach the pages through it on return.
 *
 * => IRQL <= APC_LEVEL. An address at which Mdl is not mapped is bug check 0xDA/0x303.
 */
VOID MiUnmapFromUser(PVOID Va, MDL *Mdl);
