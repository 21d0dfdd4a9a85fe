/*
 * Files of the EFI system partition: the volume that the loader itself was loaded from.
 */
#pragma once

#include <efi.h>

#include "boot/text.h"

typedef struct _BL_VOLUME {
    EFI_FILE_HANDLE Root; /* NULL when the loader came from no volume: every file is then absent */
} BL_VOLUME;

void BlOpenBootVolume(EFI_HANDLE Loader, BL_VOLUME *Volume);

/*
 * Read the file FolderPath\Name whole; FolderPath is absolute, both are ASCII.
 *
 * => true with Content->Base NULL when there is no such file; else Content is whole pages that nobody frees: they are
 *    the kernel's as soon as it runs.
 */
bool BlReadVolumeFile(const BL_VOLUME *Volume, const char *FolderPath, const char *Name, BL_BYTES *Content,
                      BL_FAULT *Fault);

/*
 * Called for each file of a folder, in the folder's order. Name is ASCII; files with other names are passed over.
 *
 * => false, with the fault, ends the listing and is what the listing returns.
 */
typedef bool BL_VISIT_FILE(void *Context, const char *Name, BL_FAULT *Fault);

/* => true also when there is no such folder. */
bool BlListVolumeFolder(const BL_VOLUME *Volume, const char *FolderPath, BL_VISIT_FILE *Visit, void *Context,
                        BL_FAULT *Fault);
