/*
 * Binding by name. The tables are read through the view, so a malformed image ends in a status whatever it says; the
 * number of slots is bounded, since descriptors of a crafted image can all point to one long table.
 */
#include "io/ldr/import.h"

#define LDRP_MAX_IMPORTS      65536u
#define LDRP_MAX_IMPORT_CHARS 127u

typedef struct _LDRP_BINDER {
    const LDRP_VIEW *View;
    LDRP_BINDING     Binding;
    const char      *ImageName;
    ULONG            SlotCount; /* seen so far */
    NTSTATUS         Missing;   /* of the first missing import; STATUS_SUCCESS while there is none */
} LDRP_BINDER;

static int LdrpCompareNames(const char *First, const char *Second)
{
    while (*First != '\0' && *First == *Second) {
        First++;
        Second++;
    }
    return (int)(UCHAR)*First - (int)(UCHAR)*Second;
}

const LDRP_EXPORT *LdrpFindExport(const char *Name)
{
    ULONG low = 0;
    ULONG high = LdrpExportCount;
    while (low < high) {
        ULONG middle = low + (high - low) / 2;
        int   order = LdrpCompareNames(Name, LdrpExports[middle].Name);
        if (order == 0) {
            return &LdrpExports[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const LDRP_EXPORT *LdrpFindRoutine(const UNICODE_STRING *SystemRoutineName)
{
    char  name[LDRP_MAX_IMPORT_CHARS + 1];
    ULONG charCount = SystemRoutineName->Length / sizeof(WCHAR);
    if (charCount > LDRP_MAX_IMPORT_CHARS) {
        return NULL;
    }
    for (ULONG index = 0; index < charCount; index++) {
        WCHAR character = SystemRoutineName->Buffer[index];
        if (character <= L' ' || character > L'~') {
            return NULL;
        }
        name[index] = (char)character;
    }
    name[charCount] = '\0';
    return LdrpFindExport(name);
}

/* Does Module match Stem, in lower case, with or without Extension? */
static bool LdrpIsModule(const char *Module, const char *Stem, const char *Extension)
{
    for (; *Stem != '\0'; Module++, Stem++) {
        if ((*Module | 0x20) != *Stem) {
            return false;
        }
    }
    if (*Module == '\0') {
        return true;
    }
    for (; *Extension != '\0'; Module++, Extension++) {
        if (*Module != *Extension && (*Module | 0x20) != *Extension) {
            return false;
        }
    }
    return *Module == '\0';
}

static void LdrpReportMissing(LDRP_BINDER *Binder, const char *Module, const char *Name, ULONG64 Thunk)
{
    if (Name != NULL) {
        DbgPrint("%s: missing import %s!%s\n", Binder->ImageName, Module, Name);
    } else {
        DbgPrint("%s: missing import %s!#%u\n", Binder->ImageName, Module, (unsigned int)IMAGE_ORDINAL64(Thunk));
    }
    if (Binder->Missing == STATUS_SUCCESS) {
        Binder->Missing = Name != NULL ? STATUS_DRIVER_ENTRYPOINT_NOT_FOUND : STATUS_DRIVER_ORDINAL_NOT_FOUND;
    }
}

/* Bind one slot, whose name table entry is Thunk; false when the entry is malformed. */
static bool LdrpBindSlot(LDRP_BINDER *Binder, const char *Module, bool IsKernel, ULONG64 Thunk, ULONG64 SlotRva)
{
    const char *name = NULL;
    if (!IMAGE_SNAP_BY_ORDINAL64(Thunk)) {
        ULONG64 nameRva = Thunk + FIELD_OFFSET(IMAGE_IMPORT_BY_NAME, Name);
        name = LdrpViewName(Binder->View, nameRva, LDRP_MAX_IMPORT_CHARS);
        if (name == NULL) {
            return false;
        }
    }
    const LDRP_EXPORT *row = name != NULL && IsKernel ? LdrpFindExport(name) : NULL;
    if (row == NULL) {
        LdrpReportMissing(Binder, Module, name, Thunk);
        return true;
    }
    ULONG64 address = (ULONG_PTR)row->Entry[Binder->Binding];
    return LdrpWriteView(Binder->View, SlotRva, &address, sizeof(address));
}

/* Bind all slots of one descriptor. */
static bool LdrpBindModule(LDRP_BINDER *Binder, const IMAGE_IMPORT_DESCRIPTOR *Descriptor)
{
    const char *module = LdrpViewName(Binder->View, Descriptor->Name, LDRP_MAX_IMPORT_CHARS);
    if (module == NULL) {
        return false;
    }
    bool isKernel = LdrpIsModule(module, "ntoskrnl", ".exe") || LdrpIsModule(module, "hal", ".dll");

    /* Without a name table of its own the address table holds the names until it is bound. */
    ULONG64 nameRva = Descriptor->OriginalFirstThunk != 0 ? Descriptor->OriginalFirstThunk : Descriptor->FirstThunk;
    ULONG64 slotRva = Descriptor->FirstThunk;
    for (;; nameRva += sizeof(ULONG64), slotRva += sizeof(ULONG64)) {
        ULONG64 thunk;
        if (++Binder->SlotCount > LDRP_MAX_IMPORTS || !LdrpReadView(Binder->View, nameRva, &thunk, sizeof(thunk))) {
            return false;
        }
        if (thunk == 0) {
            return true;
        }
        if (!LdrpBindSlot(Binder, module, isKernel, thunk, slotRva)) {
            return false;
        }
    }
}

NTSTATUS LdrpBindImports(const LDRP_PE *Pe, const LDRP_VIEW *View, LDRP_BINDING Binding, const char *ImageName)
{
    LDRP_BINDER binder = { .View = View, .Binding = Binding, .ImageName = ImageName, .Missing = STATUS_SUCCESS };
    ULONG64     rva = Pe->Header.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    if (rva == 0) {
        return STATUS_SUCCESS;
    }

    /* The directory's size covers more than the descriptors in many images; a zero descriptor ends them. */
    IMAGE_IMPORT_DESCRIPTOR descriptor;
    for (;; rva += sizeof(descriptor)) {
        if (!LdrpReadView(View, rva, &descriptor, sizeof(descriptor))) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
        if (descriptor.Name == 0 || descriptor.FirstThunk == 0) {
            return binder.Missing;
        }
        if (!LdrpBindModule(&binder, &descriptor)) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
    }
}

PVOID NTAPI MmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName)
{
    const LDRP_EXPORT *row = LdrpFindRoutine(SystemRoutineName);
    return row == NULL ? NULL : row->Entry[LdrpBindBare];
}
