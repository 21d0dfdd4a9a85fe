/*
 * The display: which adapter is the screen, and its framebuffer.
 */
#pragma once

#include <efi.h>

#include "boot/loaderblock.h"

/*
 * The first handle that is a graphics adapter itself: it has a device path, which the firmware's collective console has
 * not. NULL when there is no adapter.
 */
EFI_HANDLE BlFindGraphicsAdapter(void);

/* Describe the framebuffer in Block; all zero when there is none or its pixels are not 32-bit RGBX or BGRX. */
void BlDescribeFramebuffer(LOADER_BLOCK *Block);
