/*
 * Driver images: from a file in memory to code that runs, and back.
 *
 * Invariants.
 *  - No page of an image is ever writable and executable. An image is filled, relocated and bound while all of it is
 *    writable and nothing is executable; then each section gets its protection for good. A section that asks for both
 *    (INIT often does) becomes code.
 *  - Pages outside every section are read-only. One page behind each image is never mapped.
 *  - An image is registered with RtlpInsertImage, with its function table and symbols, exactly while it is mapped.
 *
 * Locking: registration and removal are serialised by LdrpLock (LOCK_DRIVER). All routines here run at PASSIVE_LEVEL.
 */
#pragma once

#include "io/binding.h"
#include "io/ldr/pe.h"
#include "kernel/rtl/image.h"
#include "mm/pte.h"

/* Constant once loaded. */
typedef struct _LDRP_IMAGE {
    RTLP_IMAGE         Registered; /* name, base, size */
    LDRP_PE            Pe;         /* its File is the mapped headers */
    MMPTE             *FirstPte;
    PFN_COUNT          PageCount; /* of the image; one more is reserved */
    LDRP_BINDING       Binding;
    PDRIVER_INITIALIZE EntryPoint;
    void              *Symbols; /* a copy in pool, or NULL */
} LDRP_IMAGE;

/* Once, at boot, before the first image; the command line has been parsed. */
void LdrpInitialize(void);

/*
 * Map File as an image called Name ("mydriver.sys"), bind its imports by Binding, protect and register it. The file is
 * not needed afterwards.
 *
 * => a failure leaves nothing behind and says why in the log: STATUS_INVALID_IMAGE_FORMAT,
 *    STATUS_DRIVER_ENTRYPOINT_NOT_FOUND, STATUS_DRIVER_ORDINAL_NOT_FOUND, STATUS_CONFLICTING_ADDRESSES,
 *    STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS LdrpLoadImage(const char *Name, const void *File, SIZE_T FileBytes, LDRP_BINDING Binding, LDRP_IMAGE **Image);

/* Unmap the discardable sections (INIT, relocations): nothing of the image runs or reads them any more. */
void LdrpDiscardSections(LDRP_IMAGE *Image);

/* Undo LdrpLoadImage. => no CPU runs the image's code or has its addresses on a stack. */
void LdrpUnloadImage(LDRP_IMAGE *Image);
