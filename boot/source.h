/*
 * What there is to boot: the kernel's file, the command line, and the files to hand on.
 *
 * Two places are asked. The EFI system partition holds \pinfold\ntoskrnl.exe, \pinfold\cmdline.txt and
 * \pinfold\drivers\*.sys. An archive in QEMU's fw_cfg, opt/pinfold/archive, lets a run differ from the last without a
 * new disk image: its `cmdline` goes behind the partition's, its `ntoskrnl.exe` replaces the partition's, and its
 * drivers/NAME and apps/NAME follow the partition's drivers in the order of the archive.
 */
#pragma once

#include <efi.h>

#include "boot/loaderblock.h"
#include "boot/text.h"

#define BL_COMMAND_LINE_BYTES 4096u
#define BL_MAX_FILES          128u

typedef struct _BL_FILE {
    char     Name[LOADER_NAME_BYTES];
    BL_BYTES Content;
} BL_FILE;

typedef struct _BL_SOURCES {
    BL_BYTES Kernel;
    char     CommandLine[BL_COMMAND_LINE_BYTES]; /* terminated */
    uint32_t FileCount;
    BL_FILE  Files[BL_MAX_FILES];
} BL_SOURCES;

/* => all contents stay where they are until the kernel runs. */
bool BlGatherSources(EFI_HANDLE Loader, BL_SOURCES *Sources, BL_FAULT *Fault);
