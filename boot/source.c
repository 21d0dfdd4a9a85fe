/*
 * Collecting what is to be booted, first from the volume, then from the archive.
 */
#include "boot/source.h"

#include "boot/archive.h"
#include "boot/console.h"
#include "boot/esp.h"
#include "boot/fwcfg.h"
#include "boot/memory.h"

#define ARCHIVE_ITEM   "opt/pinfold/archive"
#define VOLUME_FOLDER  "\\pinfold"
#define DRIVER_FOLDER  "\\pinfold\\drivers"
#define KERNEL_NAME    "ntoskrnl.exe"
#define DRIVER_PREFIX  "drivers/"
#define PROGRAM_PREFIX "apps/"

static bool AddCommandLine(BL_SOURCES *Sources, const BL_BYTES *Text, BL_FAULT *Fault)
{
    if (!BlAppendWords(Sources->CommandLine, sizeof(Sources->CommandLine), Text)) {
        return BlFail(Fault, "the command line is longer than %u bytes", BL_COMMAND_LINE_BYTES - 1);
    }
    return true;
}

/* => the new entry, its name Prefix and Name; NULL with the fault. */
static BL_FILE *AddFile(BL_SOURCES *Sources, const char *Prefix, const char *Name, BL_FAULT *Fault)
{
    if (Sources->FileCount == BL_MAX_FILES) {
        (void)BlFail(Fault, "more than %u files", BL_MAX_FILES);
        return NULL;
    }
    if (BlTextBytes(Prefix) + BlTextBytes(Name) >= LOADER_NAME_BYTES) {
        (void)BlFail(Fault, "%s%s: a name longer than %u bytes", Prefix, Name, LOADER_NAME_BYTES - 1);
        return NULL;
    }
    BL_FILE *file = &Sources->Files[Sources->FileCount++];
    BlFormat(file->Name, sizeof(file->Name), "%s%s", Prefix, Name);
    return file;
}

static bool TakeMember(BL_SOURCES *Sources, const BL_MEMBER *Member, BL_FAULT *Fault)
{
    if (BlTextEquals(Member->Name, "cmdline")) {
        return AddCommandLine(Sources, &Member->Content, Fault);
    }
    if (BlTextEquals(Member->Name, KERNEL_NAME)) {
        Sources->Kernel = Member->Content;
        return true;
    }
    if (!BlTextStartsWith(Member->Name, DRIVER_PREFIX) && !BlTextStartsWith(Member->Name, PROGRAM_PREFIX)) {
        return BlFail(Fault, "archive: %s is neither cmdline, " KERNEL_NAME ", drivers/NAME nor apps/NAME",
                      Member->Name);
    }
    BL_FILE *file = AddFile(Sources, "", Member->Name, Fault);
    if (file == NULL) {
        return false;
    }
    file->Content = Member->Content;
    return true;
}

static bool TakeArchive(BL_SOURCES *Sources, BL_FAULT *Fault)
{
    BL_FWCFG_ITEM item;

    if (!BlFindFwCfgItem(ARCHIVE_ITEM, &item)) {
        return true;
    }
    void *buffer = BlAllocatePages(BlPagesOf(item.ByteCount) + 1, LoaderMemoryFree, BL_ANY_ADDRESS, Fault);
    if (buffer == NULL || !BlReadFwCfgItem(&item, buffer, Fault)) {
        return false;
    }
    BL_ARCHIVE archive = { .Bytes = { .Base = buffer, .ByteCount = item.ByteCount } };
    for (;;) {
        BL_MEMBER member;

        switch (BlReadMember(&archive, &member, Fault)) {
        case BlNextMember:
            if (!TakeMember(Sources, &member, Fault)) {
                return false;
            }
            break;
        case BlNextEnd:
            return true;
        default:
            return false;
        }
    }
}

static char LowerOf(char Character)
{
    return Character >= 'A' && Character <= 'Z' ? (char)(Character + ('a' - 'A')) : Character;
}

/* The order of names, blind to case as the volume is: below, at or above zero. */
static int CompareNames(const char *A, const char *B)
{
    while (*A != '\0' && LowerOf(*A) == LowerOf(*B)) {
        A++;
        B++;
    }
    return LowerOf(*A) - LowerOf(*B);
}

/* Visited for each file of the driver folder: keeps those named *.sys, sorted by name, without content yet. */
static bool NoteDriver(void *Context, const char *Name, BL_FAULT *Fault)
{
    BL_SOURCES *sources = Context;
    size_t      nameBytes = BlTextBytes(Name);

    if (nameBytes <= 4 || CompareNames(Name + nameBytes - 4, ".sys") != 0) {
        return true;
    }
    BL_FILE *file = AddFile(sources, DRIVER_PREFIX, Name, Fault);
    if (file == NULL) {
        return false;
    }
    for (; file != sources->Files && CompareNames(file[-1].Name, file->Name) > 0; file--) {
        BL_FILE swapped = file[-1];
        file[-1] = *file;
        *file = swapped;
    }
    return true;
}

static bool TakeVolumeFiles(BL_SOURCES *Sources, const BL_VOLUME *Volume, BL_FAULT *Fault)
{
    BL_BYTES commandLine;

    if (!BlReadVolumeFile(Volume, VOLUME_FOLDER, "cmdline.txt", &commandLine, Fault) ||
        !AddCommandLine(Sources, &commandLine, Fault) ||
        !BlListVolumeFolder(Volume, DRIVER_FOLDER, NoteDriver, Sources, Fault)) {
        return false;
    }
    for (uint32_t i = 0; i < Sources->FileCount; i++) {
        BL_FILE    *file = &Sources->Files[i];
        const char *name = file->Name + BlTextBytes(DRIVER_PREFIX);

        if (!BlReadVolumeFile(Volume, DRIVER_FOLDER, name, &file->Content, Fault)) {
            return false;
        }
    }
    return true;
}

bool BlGatherSources(EFI_HANDLE Loader, BL_SOURCES *Sources, BL_FAULT *Fault)
{
    BL_VOLUME volume;

    BlOpenBootVolume(Loader, &volume);
    if (!TakeVolumeFiles(Sources, &volume, Fault) || !TakeArchive(Sources, Fault)) {
        return false;
    }
    const char *origin = Sources->Kernel.Base != NULL ? "the archive" : "the EFI system partition";
    if (Sources->Kernel.Base == NULL &&
        !BlReadVolumeFile(&volume, VOLUME_FOLDER, KERNEL_NAME, &Sources->Kernel, Fault)) {
        return false;
    }
    if (Sources->Kernel.Base == NULL) {
        return BlFail(Fault, KERNEL_NAME ": not found, neither in the archive nor as \\pinfold\\" KERNEL_NAME
                                         " on the EFI system partition");
    }
    BlPrintLine(KERNEL_NAME ": %lu bytes from %s; %u other files", Sources->Kernel.ByteCount, origin,
                Sources->FileCount);
    return true;
}
