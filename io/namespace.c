/*
 * The name space; namespace.h states the contract.
 *
 * A walk keeps its path in a buffer of its own: where it meets a symbolic link, the link's target takes the place of
 * what was walked, and the walk begins again, at most OBP_MAX_LINKS times.
 */
#include "io/namespace.h"

#include "io/object.h"
#include "kernel/ke/lock.h"
#include "kernel/rtl/print.h"

#define OBP_NAME_TAG       'mnOP' /* "POnm" */
#define OBP_MAX_PATH_CHARS 512u
#define OBP_MAX_LINKS      8u
#define OBP_SEPARATOR      OBJ_NAME_PATH_SEPARATOR

typedef struct _OBP_DIRECTORY {
    LIST_ENTRY Names; /* OBP_NAME.Links */
} OBP_DIRECTORY;

typedef struct _OBP_SYMBOLIC_LINK {
    UNICODE_STRING Target; /* the characters follow */
} OBP_SYMBOLIC_LINK;

typedef struct _OBP_NAME {
    LIST_ENTRY     Links;
    OBP_DIRECTORY *Directory; /* that it stands in; the directory outlives its names */
    PVOID          Object;    /* referenced */
    UNICODE_STRING Text;      /* the characters follow */
} OBP_NAME;

typedef struct _OBP_WALK {
    OBP_LOOKUP     Lookup;
    ULONG          CharCount;
    OBP_DIRECTORY *Directory; /* result: where the last component stands or would stand; NULL for the root itself */
    UNICODE_STRING Leaf;      /* result: the last component, in Chars */
    OBP_NAME      *Found;     /* result: its name, or NULL */
    UNICODE_STRING Rest;      /* result of ObpStopAtDevice: what follows the device's name, in Chars */
    WCHAR          Chars[OBP_MAX_PATH_CHARS];
} OBP_WALK;

OBP_TYPE(ObpDirectoryType, "Directory", NULL);
OBP_TYPE(ObpSymbolicLinkType, "SymbolicLink", NULL);

static FAST_MUTEX     ObpNameMutex;
static OBP_DIRECTORY *ObpRoot; /* constant after ObpInitializeNames */

static OBP_NAME *ObpFindNameLocked(OBP_DIRECTORY *Directory, PCUNICODE_STRING Leaf)
{
    for (LIST_ENTRY *link = Directory->Names.Flink; link != &Directory->Names; link = link->Flink) {
        OBP_NAME *name = CONTAINING_RECORD(link, OBP_NAME, Links);
        if (RtlEqualUnicodeString(&name->Text, Leaf, TRUE)) {
            return name;
        }
    }
    return NULL;
}

/* Put the link's target in front of what follows the first Walked characters of the path. */
static NTSTATUS ObpFollowLink(OBP_WALK *Walk, const OBP_SYMBOLIC_LINK *Link, ULONG Walked)
{
    ULONG targetChars = Link->Target.Length / sizeof(WCHAR);
    ULONG restChars = Walk->CharCount - Walked;
    if (targetChars + restChars > OBP_MAX_PATH_CHARS) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    RtlMoveMemory(Walk->Chars + targetChars, Walk->Chars + Walked, restChars * sizeof(WCHAR));
    RtlCopyMemory(Walk->Chars, Link->Target.Buffer, Link->Target.Length);
    Walk->CharCount = targetChars + restChars;
    return STATUS_REPARSE;
}

/* Walk from the root to the last component; STATUS_REPARSE when a symbolic link changed the path on the way. */
static NTSTATUS ObpWalkOnceLocked(OBP_WALK *Walk)
{
    OBP_DIRECTORY *directory = ObpRoot;
    if (Walk->CharCount == 0 || Walk->Chars[0] != OBP_SEPARATOR) {
        return STATUS_OBJECT_PATH_SYNTAX_BAD;
    }
    Walk->Directory = NULL;
    for (ULONG start = 1; Walk->CharCount > 1;) {
        ULONG end = start;
        while (end < Walk->CharCount && Walk->Chars[end] != OBP_SEPARATOR) {
            end++;
        }
        if (end == start) {
            return STATUS_OBJECT_NAME_INVALID;
        }
        USHORT leafBytes = (USHORT)((end - start) * sizeof(WCHAR));
        Walk->Leaf = (UNICODE_STRING){ leafBytes, leafBytes, Walk->Chars + start };
        Walk->Directory = directory;
        Walk->Found = ObpFindNameLocked(directory, &Walk->Leaf);
        bool               isLast = end == Walk->CharCount;
        const OBJECT_TYPE *type = Walk->Found == NULL ? NULL : ObpHeaderOf(Walk->Found->Object)->Type;
        if (type == &ObpSymbolicLinkType && !(isLast && Walk->Lookup == ObpOpenLink)) {
            return ObpFollowLink(Walk, Walk->Found->Object, end);
        }
        bool isStop = Walk->Lookup == ObpStopAtDevice && type == &ObpDeviceType;
        if (isLast || isStop) {
            USHORT restBytes = (USHORT)((Walk->CharCount - end) * sizeof(WCHAR));
            Walk->Rest = (UNICODE_STRING){ restBytes, restBytes, Walk->Chars + end };
            break;
        }
        if (type != &ObpDirectoryType) {
            return STATUS_OBJECT_PATH_NOT_FOUND;
        }
        directory = Walk->Found->Object;
        start = end + 1;
    }
    return STATUS_SUCCESS;
}

static NTSTATUS ObpWalkLocked(OBP_WALK *Walk)
{
    NTSTATUS status = STATUS_REPARSE;
    for (ULONG links = 0; status == STATUS_REPARSE && links <= OBP_MAX_LINKS; links++) {
        status = ObpWalkOnceLocked(Walk);
    }
    return status == STATUS_REPARSE ? STATUS_OBJECT_PATH_NOT_FOUND : status;
}

static NTSTATUS ObpBeginWalk(PCUNICODE_STRING Path, OBP_LOOKUP Lookup, OBP_WALK **Walk)
{
    ULONG charCount = Path->Length / sizeof(WCHAR);
    if (charCount > OBP_MAX_PATH_CHARS) {
        return STATUS_OBJECT_NAME_INVALID;
    }
    OBP_WALK *walk = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*walk), OBP_NAME_TAG);
    if (walk == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(walk, FIELD_OFFSET(OBP_WALK, Chars));
    walk->Lookup = Lookup;
    walk->CharCount = charCount;
    RtlCopyMemory(walk->Chars, Path->Buffer, charCount * sizeof(WCHAR));
    *Walk = walk;
    return STATUS_SUCCESS;
}

static NTSTATUS ObpEnterNameLocked(OBP_WALK *Walk, PVOID Object)
{
    NTSTATUS status = ObpWalkLocked(Walk);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (Walk->Directory == NULL || Walk->Found != NULL) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    OBP_NAME *name = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*name) + Walk->Leaf.Length, OBP_NAME_TAG);
    if (name == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *name = (OBP_NAME){
        .Directory = Walk->Directory,
        .Object = Object,
        .Text = { Walk->Leaf.Length, Walk->Leaf.Length, (WCHAR *)(name + 1) },
    };
    RtlCopyMemory(name->Text.Buffer, Walk->Leaf.Buffer, Walk->Leaf.Length);
    InsertTailList(&Walk->Directory->Names, &name->Links);
    ObfReferenceObject(Object);
    ObpHeaderOf(Object)->Name = name;
    return STATUS_SUCCESS;
}

NTSTATUS ObpInsertName(PVOID Object, PCUNICODE_STRING Path)
{
    IRQL_MAX(APC_LEVEL);
    OBP_WALK *walk;
    NTSTATUS  status = ObpBeginWalk(Path, ObpOpenLink, &walk);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    ExAcquireFastMutex(&ObpNameMutex);
    status = ObpEnterNameLocked(walk, Object);
    ExReleaseFastMutex(&ObpNameMutex);
    ExFreePoolWithTag(walk, OBP_NAME_TAG);
    return status;
}

void ObpRemoveName(PVOID Object)
{
    IRQL_MAX(APC_LEVEL);
    ExAcquireFastMutex(&ObpNameMutex);
    OBP_NAME *name = ObpHeaderOf(Object)->Name;
    if (name != NULL) {
        ObpHeaderOf(Object)->Name = NULL;
        RemoveEntryList(&name->Links);
    }
    ExReleaseFastMutex(&ObpNameMutex);
    if (name != NULL) {
        ExFreePoolWithTag(name, OBP_NAME_TAG);
        ObfDereferenceObject(Object);
    }
}

static NTSTATUS ObpLookUpLocked(OBP_WALK *Walk, POBJECT_TYPE Type, PVOID *Object)
{
    NTSTATUS status = ObpWalkLocked(Walk);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (Walk->Directory != NULL && Walk->Found == NULL) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    PVOID object = Walk->Directory == NULL ? (PVOID)ObpRoot : Walk->Found->Object;
    if (Type != NULL && ObpHeaderOf(object)->Type != Type) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ObfReferenceObject(object);
    *Object = object;
    return STATUS_SUCCESS;
}

NTSTATUS ObpReferenceByName(PCUNICODE_STRING Path, POBJECT_TYPE Type, OBP_LOOKUP Lookup, PVOID *Object)
{
    IRQL_MAX(APC_LEVEL);
    OBP_WALK *walk;
    NTSTATUS  status = ObpBeginWalk(Path, Lookup, &walk);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    ExAcquireFastMutex(&ObpNameMutex);
    status = ObpLookUpLocked(walk, Type, Object);
    ExReleaseFastMutex(&ObpNameMutex);
    ExFreePoolWithTag(walk, OBP_NAME_TAG);
    return status;
}

NTSTATUS ObpCopyString(const UNICODE_STRING *From, UNICODE_STRING *To)
{
    *To = (UNICODE_STRING){ 0 };
    if (From->Length == 0) {
        return STATUS_SUCCESS;
    }
    To->Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, From->Length, OBP_NAME_TAG);
    if (To->Buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    To->MaximumLength = From->Length;
    RtlCopyUnicodeString(To, From);
    return STATUS_SUCCESS;
}

NTSTATUS ObpReferenceDevice(PCUNICODE_STRING Path, PDEVICE_OBJECT *Device, UNICODE_STRING *Rest)
{
    IRQL_MAX(APC_LEVEL);
    OBP_WALK *walk;
    PVOID     device;
    NTSTATUS  status = ObpBeginWalk(Path, ObpStopAtDevice, &walk);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    ExAcquireFastMutex(&ObpNameMutex);
    status = ObpLookUpLocked(walk, &ObpDeviceType, &device);
    ExReleaseFastMutex(&ObpNameMutex);
    if (NT_SUCCESS(status)) {
        status = ObpCopyString(&walk->Rest, Rest);
        if (NT_SUCCESS(status)) {
            *Device = device;
        } else {
            ObfDereferenceObject(device);
        }
    }
    ExFreePoolWithTag(walk, OBP_NAME_TAG);
    return status;
}

NTSTATUS ObpCreateSymbolicLink(PCUNICODE_STRING Target, PVOID *Link)
{
    OBP_SYMBOLIC_LINK *link;
    NTSTATUS           status = ObpCreateObject(&ObpSymbolicLinkType, sizeof(*link) + Target->Length, (PVOID *)&link);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    link->Target = (UNICODE_STRING){ Target->Length, Target->Length, (WCHAR *)(link + 1) };
    RtlCopyMemory(link->Target.Buffer, Target->Buffer, Target->Length);
    *Link = link;
    return STATUS_SUCCESS;
}

void ObpFormatName(PVOID Object, char *Buffer, ULONG ByteCount)
{
    IRQL_MAX(APC_LEVEL);
    Buffer[0] = '\0';
    ExAcquireFastMutex(&ObpNameMutex);
    const OBP_NAME *name = ObpHeaderOf(Object)->Name;
    const OBP_NAME *outer = name == NULL ? NULL : ObpHeaderOf(name->Directory)->Name;
    /* Directories stand in the root (ObpInitializeNames), so two components are the whole path. */
    if (outer != NULL) {
        RtlpFormat(Buffer, ByteCount, RtlpUtf8, "\\%wZ\\%wZ", &outer->Text, &name->Text);
    } else if (name != NULL) {
        RtlpFormat(Buffer, ByteCount, RtlpUtf8, "\\%wZ", &name->Text);
    }
    ExReleaseFastMutex(&ObpNameMutex);
}

static NTSTATUS ObpAddDirectory(PCUNICODE_STRING Path)
{
    OBP_DIRECTORY *directory;
    NTSTATUS       status = ObpCreateObject(&ObpDirectoryType, sizeof(*directory), (PVOID *)&directory);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    InitializeListHead(&directory->Names);
    status = ObpInsertName(directory, Path);
    ObfDereferenceObject(directory);
    return status;
}

static NTSTATUS ObpAddLink(PCUNICODE_STRING Path, PCUNICODE_STRING Target)
{
    PVOID    link;
    NTSTATUS status = ObpCreateSymbolicLink(Target, &link);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = ObpInsertName(link, Path);
    ObfDereferenceObject(link);
    return status;
}

void ObpInitializeNames(void)
{
    static const UNICODE_STRING directories[] = {
        RTL_CONSTANT_STRING(L"\\Device"),           RTL_CONSTANT_STRING(L"\\Driver"),
        RTL_CONSTANT_STRING(L"\\FileSystem"),       RTL_CONSTANT_STRING(L"\\GLOBAL??"),
        RTL_CONSTANT_STRING(L"\\BaseNamedObjects"), RTL_CONSTANT_STRING(L"\\KernelObjects"),
    };
    static const struct {
        UNICODE_STRING Path;
        UNICODE_STRING Target;
    } links[] = {
        { RTL_CONSTANT_STRING(L"\\??"), RTL_CONSTANT_STRING(L"\\GLOBAL??") },
        { RTL_CONSTANT_STRING(L"\\DosDevices"), RTL_CONSTANT_STRING(L"\\??") },
    };

    ExInitializeFastMutex(&ObpNameMutex);
    NTSTATUS status = ObpCreateObject(&ObpDirectoryType, sizeof(*ObpRoot), (PVOID *)&ObpRoot);
    if (NT_SUCCESS(status)) {
        InitializeListHead(&ObpRoot->Names);
    }
    for (ULONG index = 0; NT_SUCCESS(status) && index < RTL_NUMBER_OF(directories); index++) {
        status = ObpAddDirectory(&directories[index]);
    }
    for (ULONG index = 0; NT_SUCCESS(status) && index < RTL_NUMBER_OF(links); index++) {
        status = ObpAddLink(&links[index].Path, &links[index].Target);
    }
    if (!NT_SUCCESS(status)) {
        KeBugCheckEx(OBJECT_INITIALIZATION_FAILED, (ULONG_PTR)status, 0, 0, 0);
    }
}
