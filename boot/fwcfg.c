/*
 * fw_cfg over its I/O ports: select an item, then read it from its beginning, a byte at a time or by DMA.
 */
#include "boot/fwcfg.h"

#include "boot/cpu.h"

#define FWCFG_SELECTOR_PORT 0x510u
#define FWCFG_DATA_PORT     0x511u
#define FWCFG_DMA_PORT_HIGH 0x514u /* big-endian address, upper half */
#define FWCFG_DMA_PORT_LOW  0x518u /* lower half; writing it starts the transfer */

#define FWCFG_ITEM_SIGNATURE 0x0000u
#define FWCFG_ITEM_FEATURES  0x0001u
#define FWCFG_ITEM_DIRECTORY 0x0019u

#define FWCFG_FEATURE_DMA 0x02u

#define FWCFG_DMA_ERROR  0x01u
#define FWCFG_DMA_READ   0x02u
#define FWCFG_DMA_SELECT 0x08u /* the selector is in the upper half */

#define FWCFG_NAME_BYTES 56u

typedef struct _FWCFG_FILE {
    uint32_t ByteCount; /* big-endian */
    uint16_t Selector;  /* big-endian */
    uint16_t Reserved;
    char     Name[FWCFG_NAME_BYTES];
} FWCFG_FILE;

typedef struct _FWCFG_DMA {
    uint32_t Control;   /* big-endian; 0 when the transfer is done */
    uint32_t ByteCount; /* big-endian */
    uint64_t Address;   /* big-endian, physical */
} FWCFG_DMA;

_Static_assert(sizeof(FWCFG_FILE) == 64, "a directory entry");
_Static_assert(sizeof(FWCFG_DMA) == 16, "a DMA descriptor");

/* Read the first ByteCount bytes of the item. */
static void ReadItem(uint16_t Selector, void *Buffer, uint64_t ByteCount)
{
    BlOutWord(FWCFG_SELECTOR_PORT, Selector);
    BlInBytes(FWCFG_DATA_PORT, Buffer, ByteCount);
}

static bool IsPresent(void)
{
    char signature[5] = { 0 };

    if (!BlIsVirtualMachine()) {
        return false;
    }
    ReadItem(FWCFG_ITEM_SIGNATURE, signature, sizeof(signature) - 1);
    return BlTextEquals(signature, "QEMU");
}

bool BlFindFwCfgItem(const char *Name, BL_FWCFG_ITEM *Item)
{
    uint32_t count;

    if (!IsPresent()) {
        return false;
    }
    ReadItem(FWCFG_ITEM_DIRECTORY, &count, sizeof(count));
    for (uint32_t left = __builtin_bswap32(count); left != 0; left--) {
        FWCFG_FILE file;

        BlInBytes(FWCFG_DATA_PORT, &file, sizeof(file)); /* goes on where the last read ended */
        file.Name[FWCFG_NAME_BYTES - 1] = '\0';
        if (BlTextEquals(file.Name, Name)) {
            *Item = (BL_FWCFG_ITEM){
                .Selector = __builtin_bswap16(file.Selector),
                .ByteCount = __builtin_bswap32(file.ByteCount),
            };
            return true;
        }
    }
    return false;
}

static bool CanTransferByDma(void)
{
    uint32_t features; /* little-endian, unlike the rest */

    ReadItem(FWCFG_ITEM_FEATURES, &features, sizeof(features));
    return (features & FWCFG_FEATURE_DMA) != 0;
}

bool BlReadFwCfgItem(const BL_FWCFG_ITEM *Item, void *Buffer, BL_FAULT *Fault)
{
    volatile FWCFG_DMA transfer = {
        .Control = __builtin_bswap32((uint32_t)Item->Selector << 16 | FWCFG_DMA_SELECT | FWCFG_DMA_READ),
        .ByteCount = __builtin_bswap32(Item->ByteCount),
        .Address = __builtin_bswap64((uint64_t)Buffer),
    };
    uint64_t address = (uint64_t)&transfer;

    if (!CanTransferByDma()) {
        ReadItem(Item->Selector, Buffer, Item->ByteCount);
        return true;
    }
    BlOutDword(FWCFG_DMA_PORT_HIGH, __builtin_bswap32((uint32_t)(address >> 32)));
    BlOutDword(FWCFG_DMA_PORT_LOW, __builtin_bswap32((uint32_t)address));
    while ((transfer.Control & ~__builtin_bswap32(FWCFG_DMA_ERROR)) != 0) {
        __builtin_ia32_pause();
    }
    if (transfer.Control != 0) {
        return BlFail(Fault, "fw_cfg: the archive of %u bytes cannot be transferred", Item->ByteCount);
    }
    return true;
}
