/*
 * QEMU's fw_cfg device: named items that the command line hands to the guest (QEMU, docs/specs/fw_cfg).
 */
#pragma once

#include "boot/text.h"

typedef struct _BL_FWCFG_ITEM {
    uint16_t Selector;
    uint32_t ByteCount;
} BL_FWCFG_ITEM;

/* => false when there is no such item, or no such device. */
bool BlFindFwCfgItem(const char *Name, BL_FWCFG_ITEM *Item);

/*
 * Read the whole item. By DMA where the device can: byte by byte, a megabyte takes an emulator seconds.
 *
 * => Buffer has Item->ByteCount bytes and lies at its physical address.
 */
bool BlReadFwCfgItem(const BL_FWCFG_ITEM *Item, void *Buffer, BL_FAULT *Fault);
