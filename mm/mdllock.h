/*
 * Locking pages: MmProbeAndLockPages and MmUnlockPages, declared by the driver kit.
 */
#pragma once

#include "mm/mdl.h"

/*
 * MmProbeAndLockPages with a status: on failure no page is locked and Mdl is as it was, but for its frame array.
 *
 * => IRQL <= DISPATCH_LEVEL; <= APC_LEVEL when a page may not be resident.
 */
NTSTATUS MiProbeAndLock(MDL *Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation);
