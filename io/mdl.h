/*
 * MDLs as the I/O manager hands them out: IoAllocateMdl, IoBuildPartialMdl, IoFreeMdl, declared by the driver kit.
 */
#pragma once

#include "mm/mdl.h"

/* Append Mdl to Irp's chain, or (no chain yet, or not secondary) make it the chain. */
typedef enum _IOP_MDL_PLACE {
    IopMdlPrimary,
    IopMdlSecondary,
} IOP_MDL_PLACE;

VOID IopLinkMdl(IRP *Irp, MDL *Mdl, IOP_MDL_PLACE Place);
