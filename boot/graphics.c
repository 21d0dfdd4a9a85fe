/*
 * The display, through the graphics output protocol.
 */
#include "boot/graphics.h"

#include <efilib.h>

EFI_HANDLE BlFindGraphicsAdapter(void)
{
    EFI_HANDLE *handles;
    EFI_HANDLE  adapter = NULL;
    UINTN       count;

    if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &GraphicsOutputProtocol, NULL, &count, &handles))) {
        return NULL;
    }
    for (UINTN i = 0; i < count && adapter == NULL; i++) {
        void *devicePath;

        if (!EFI_ERROR(BS->HandleProtocol(handles[i], &DevicePathProtocol, &devicePath))) {
            adapter = handles[i];
        }
    }
    (void)BS->FreePool(handles);
    return adapter;
}

void BlDescribeFramebuffer(LOADER_BLOCK *Block)
{
    EFI_HANDLE                    adapter = BlFindGraphicsAdapter();
    EFI_GRAPHICS_OUTPUT_PROTOCOL *graphics;

    if (adapter == NULL || EFI_ERROR(BS->HandleProtocol(adapter, &GraphicsOutputProtocol, (void **)&graphics))) {
        return;
    }
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode = graphics->Mode->Info;
    if (mode->PixelFormat != PixelRedGreenBlueReserved8BitPerColor &&
        mode->PixelFormat != PixelBlueGreenRedReserved8BitPerColor) {
        return;
    }
    Block->FramebufferPhysical = graphics->Mode->FrameBufferBase;
    Block->FramebufferBytes = graphics->Mode->FrameBufferSize;
    Block->FramebufferWidth = mode->HorizontalResolution;
    Block->FramebufferHeight = mode->VerticalResolution;
    Block->FramebufferPixelsPerLine = mode->PixelsPerScanLine;
    Block->FramebufferFormat = mode->PixelFormat;
}
