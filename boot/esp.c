/*
 * Files through EFI's simple file system. Volumes tell of absence and of trouble apart: the first is no fault.
 */
#include "boot/esp.h"

#include <efilib.h>

#include "boot/memory.h"

#define PATH_CHARACTERS 320u /* a folder of ours and a file name of at most 255 */

/* EFI_FILE_INFO ends with the name; this is room for one of at most 255 characters. */
typedef union _FILE_INFO_ROOM {
    EFI_FILE_INFO Info;
    uint8_t       Bytes[sizeof(EFI_FILE_INFO) + 256 * sizeof(CHAR16)];
} FILE_INFO_ROOM;

void BlOpenBootVolume(EFI_HANDLE Loader, BL_VOLUME *Volume)
{
    EFI_LOADED_IMAGE      *image;
    EFI_FILE_IO_INTERFACE *fileSystem;

    Volume->Root = NULL;
    if (!EFI_ERROR(BS->HandleProtocol(Loader, &LoadedImageProtocol, (void **)&image)) &&
        !EFI_ERROR(BS->HandleProtocol(image->DeviceHandle, &FileSystemProtocol, (void **)&fileSystem)) &&
        EFI_ERROR(fileSystem->OpenVolume(fileSystem, &Volume->Root))) {
        Volume->Root = NULL;
    }
}

/* Opens the file Name in FolderPath, the folder itself if Name is empty. NULL: with *Absent set, or with the fault. */
static EFI_FILE_HANDLE OpenFile(const BL_VOLUME *Volume, const char *FolderPath, const char *Name, bool *Absent,
                                BL_FAULT *Fault)
{
    char            path[PATH_CHARACTERS];
    CHAR16          widePath[PATH_CHARACTERS];
    EFI_FILE_HANDLE file = NULL;
    EFI_STATUS      status = EFI_NOT_FOUND;

    BlFormat(path, sizeof(path), "%s%s%s", FolderPath, Name[0] != '\0' ? "\\" : "", Name);
    for (size_t i = 0; i <= BlTextBytes(path); i++) {
        widePath[i] = (CHAR16)path[i];
    }
    if (Volume->Root != NULL) {
        status = Volume->Root->Open(Volume->Root, &file, widePath, EFI_FILE_MODE_READ, 0);
    }
    *Absent = status == EFI_NOT_FOUND;
    if (!EFI_ERROR(status)) {
        return file;
    }
    if (!*Absent) {
        (void)BlFail(Fault, "%s cannot be opened: EFI error %lu", path, BlErrorNumber(status));
    }
    return NULL;
}

static bool ReadWhole(EFI_FILE_HANDLE File, const char *Name, BL_BYTES *Content, BL_FAULT *Fault)
{
    FILE_INFO_ROOM room;
    UINTN          roomBytes = sizeof(room);

    if (EFI_ERROR(File->GetInfo(File, &GenericFileInfo, &roomBytes, &room)) ||
        (room.Info.Attribute & EFI_FILE_DIRECTORY) != 0) {
        return BlFail(Fault, "%s is not a file", Name);
    }
    UINTN    byteCount = room.Info.FileSize;
    uint8_t *buffer = BlAllocatePages(BlPagesOf(byteCount) + 1, LoaderMemoryFree, BL_ANY_ADDRESS, Fault);
    if (buffer == NULL) {
        return false;
    }
    EFI_STATUS status = File->Read(File, &byteCount, buffer);
    if (EFI_ERROR(status) || byteCount != room.Info.FileSize) {
        return BlFail(Fault, "%s cannot be read: EFI error %lu, %lu of %lu bytes", Name, BlErrorNumber(status),
                      byteCount, room.Info.FileSize);
    }
    *Content = (BL_BYTES){ .Base = buffer, .ByteCount = byteCount };
    return true;
}

bool BlReadVolumeFile(const BL_VOLUME *Volume, const char *FolderPath, const char *Name, BL_BYTES *Content,
                      BL_FAULT *Fault)
{
    bool            absent;
    EFI_FILE_HANDLE file = OpenFile(Volume, FolderPath, Name, &absent, Fault);

    *Content = (BL_BYTES){ 0 };
    if (file == NULL) {
        return absent;
    }
    bool read = ReadWhole(file, Name, Content, Fault);
    (void)file->Close(file);
    return read;
}

/* => false when the name does not fit or is not ASCII. */
static bool NarrowName(const CHAR16 *Wide, char *Name, size_t Capacity)
{
    size_t count = 0;

    for (; Wide[count] != L'\0'; count++) {
        if (count + 1 >= Capacity || Wide[count] < L' ' || Wide[count] > L'~') {
            return false;
        }
        Name[count] = (char)Wide[count];
    }
    Name[count] = '\0';
    return true;
}

bool BlListVolumeFolder(const BL_VOLUME *Volume, const char *FolderPath, BL_VISIT_FILE *Visit, void *Context,
                        BL_FAULT *Fault)
{
    bool            visited = true;
    bool            absent;
    EFI_FILE_HANDLE folder = OpenFile(Volume, FolderPath, "", &absent, Fault);

    if (folder == NULL) {
        return absent;
    }
    while (visited) {
        FILE_INFO_ROOM room;
        UINTN          roomBytes = sizeof(room);
        char           name[256];

        if (EFI_ERROR(folder->Read(folder, &roomBytes, &room))) {
            visited = BlFail(Fault, "%s cannot be listed", FolderPath);
            break;
        }
        if (roomBytes == 0) {
            break;
        }
        if ((room.Info.Attribute & EFI_FILE_DIRECTORY) == 0 && NarrowName(room.Info.FileName, name, sizeof(name))) {
            visited = Visit(Context, name, Fault);
        }
    }
    (void)folder->Close(folder);
    return visited;
}
