/*
 * Driver objects, and the life of the drivers that a boot is given.
 *
 * DriverEntry and DriverUnload run on a system thread of their own at PASSIVE_LEVEL, so that nothing that a driver
 * does to its thread outlasts the call. A driver whose DriverEntry fails is unloaded without DriverUnload. What a
 * driver left behind is reported while its image is mapped, so that its functions have names; an image whose code may
 * still run (a thread, timer or work item was left) stays mapped.
 */
#include "io/driver.h"

#include "io/device.h"
#include "io/irp.h"
#include "io/ldr/load.h"
#include "io/namespace.h"
#include "io/object.h"
#include "io/psthread.h"
#include "io/tracker/report.h"
#include "kernel/ke/dbgprint.h"
#include "kernel/ke/lock.h"
#include "kernel/rtl/print.h"

#define IOP_DRIVER_TAG 'vrDP' /* "PDrv" */
#define IOP_FOLDER     "drivers/"
#define IOP_NAME_CHARS LOADER_NAME_BYTES
#define IOP_PATH_CHARS (LOADER_NAME_BYTES + 64u)
#define IOP_SERVICES   L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\"
#define IOP_HARDWARE   L"\\Registry\\Machine\\Hardware\\Description\\System"

/* The body of a driver object: what drivers see, and behind it what they do not. */
typedef struct _IOP_DRIVER {
    DRIVER_OBJECT    Object;
    DRIVER_EXTENSION Extension;
    LDRP_IMAGE      *Image;
    UNICODE_STRING   RegistryPath;
    WCHAR            NameText[IOP_PATH_CHARS];
    WCHAR            RegistryText[IOP_PATH_CHARS];
    WCHAR            ServiceText[IOP_NAME_CHARS];
} IOP_DRIVER;

/* One driver of the run. */
typedef struct _IOP_RUN {
    const LOADER_FILE *File;
    const char        *Name;    /* "mydriver.sys" */
    IOP_DRIVER        *Driver;  /* NULL: it could not be loaded */
    bool               Started; /* DriverEntry succeeded */
} IOP_RUN;

/* A call into a driver, made on a thread of its own. */
typedef struct _IOP_CALL {
    IOP_DRIVER *Driver;
    bool        IsUnload;
    NTSTATUS    Status; /* what DriverEntry returned */
    KIRQL       Irql;   /* at return */
} IOP_CALL;

OBP_TYPE(ObpDriverType, "Driver", NULL);

static UNICODE_STRING IopHardwareDatabase = RTL_CONSTANT_STRING(IOP_HARDWARE);
static ULONG          IopResultCount;
static ULONG          IopFailedCount;

typedef enum _IOP_OUTCOME {
    IopPassed,
    IopFailed,
    IopSkipped
} IOP_OUTCOME;

static void IopReport(const char *What, const char *Name, IOP_OUTCOME Outcome, const char *SkipReason)
{
    IopResultCount++;
    if (Outcome == IopFailed) {
        IopFailedCount++;
        KiPrintFormat("not ok %lu %s %s", IopResultCount, What, Name);
    } else if (Outcome == IopSkipped) {
        KiPrintFormat("ok %lu %s %s # SKIP %s", IopResultCount, What, Name, SkipReason);
    } else {
        KiPrintFormat("ok %lu %s %s", IopResultCount, What, Name);
    }
}

/* The symbolic name of the statuses that a driver's author meets most; "a status" for the others. */
static const char *IopStatusName(NTSTATUS Status)
{
    static const struct {
        NTSTATUS    Status;
        const char *Name;
    } names[] = {
#define ROW(Name) { Name, #Name }
        ROW(STATUS_UNSUCCESSFUL),
        ROW(STATUS_NOT_IMPLEMENTED),
        ROW(STATUS_INVALID_PARAMETER),
        ROW(STATUS_ACCESS_DENIED),
        ROW(STATUS_NO_MEMORY),
        ROW(STATUS_INSUFFICIENT_RESOURCES),
        ROW(STATUS_INVALID_IMAGE_FORMAT),
        ROW(STATUS_CONFLICTING_ADDRESSES),
        ROW(STATUS_OBJECT_NAME_NOT_FOUND),
        ROW(STATUS_OBJECT_NAME_COLLISION),
        ROW(STATUS_NOT_SUPPORTED),
        ROW(STATUS_NO_SUCH_DEVICE),
        ROW(STATUS_DEVICE_DOES_NOT_EXIST),
        ROW(STATUS_DRIVER_ORDINAL_NOT_FOUND),
        ROW(STATUS_DRIVER_ENTRYPOINT_NOT_FOUND),
#undef ROW
    };
    for (ULONG index = 0; index < RTL_NUMBER_OF(names); index++) {
        if (names[index].Status == Status) {
            return names[index].Name;
        }
    }
    return "a status";
}

/* Prefix and the driver's name without extension, in Text; Name is ASCII and fits. */
static UNICODE_STRING IopMakeName(WCHAR *Text, const WCHAR *Prefix, const char *Name)
{
    const char *extension = strrchr(Name, '.');
    ULONG       stemChars = (ULONG)(extension != NULL ? (SIZE_T)(extension - Name) : strlen(Name));
    ULONG       charCount = 0;
    for (; *Prefix != L'\0'; Prefix++) {
        Text[charCount++] = *Prefix;
    }
    for (ULONG index = 0; index < stemChars; index++) {
        Text[charCount++] = (UCHAR)Name[index];
    }
    USHORT byteCount = (USHORT)(charCount * sizeof(WCHAR));
    return (UNICODE_STRING){ byteCount, (USHORT)(byteCount + sizeof(WCHAR)), Text };
}

static void IopInitializeDriver(IOP_DRIVER *Driver, LDRP_IMAGE *Image, const char *Name)
{
    DRIVER_OBJECT *object = &Driver->Object;
    Driver->Image = Image;
    Driver->RegistryPath = IopMakeName(Driver->RegistryText, IOP_SERVICES, Name);
    Driver->Extension.DriverObject = object;
    Driver->Extension.ServiceKeyName = IopMakeName(Driver->ServiceText, L"", Name);

    object->Type = IO_TYPE_DRIVER;
    object->Size = sizeof(*object);
    object->Flags = DRVO_LEGACY_DRIVER;
    object->DriverStart = (PVOID)(ULONG_PTR)Image->Registered.Base;
    object->DriverSize = Image->Registered.ByteCount;
    object->DriverSection = Image;
    object->DriverExtension = &Driver->Extension;
    object->DriverName = IopMakeName(Driver->NameText, L"\\Driver\\", Name);
    object->HardwareDatabase = &IopHardwareDatabase;
    object->DriverInit = Image->EntryPoint;
    for (ULONG major = 0; major <= IRP_MJ_MAXIMUM_FUNCTION; major++) {
        object->MajorFunction[major] = IopInvalidDeviceRequest;
    }
}

/* Make the driver object of a loaded image. */
static NTSTATUS IopCreateDriver(LDRP_IMAGE *Image, const char *Name, IOP_DRIVER **Driver)
{
    IOP_DRIVER *driver;
    NTSTATUS    status = ObpCreateObject(&ObpDriverType, sizeof(*driver), (PVOID *)&driver);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    IopInitializeDriver(driver, Image, Name);
    status = ObpInsertName(driver, &driver->Object.DriverName);
    if (!NT_SUCCESS(status)) {
        ObfDereferenceObject(driver);
        return status;
    }
    *Driver = driver;
    return STATUS_SUCCESS;
}

static VOID NTAPI IopCallThread(PVOID Context)
{
    IOP_CALL      *call = Context;
    DRIVER_OBJECT *object = &call->Driver->Object;
    VF_RESOURCE    entry = { .Kind = VfRunningEntry, .Address = KeGetCurrentThread() };
    VfRecordFor(&entry, &call->Driver->Image->Registered);
    if (call->IsUnload) {
        object->DriverUnload(object);
    } else {
        call->Status = object->DriverInit(object, &call->Driver->RegistryPath);
    }
    call->Irql = KeGetCurrentIrql();
    KeLowerIrql(PASSIVE_LEVEL);
    VfForget(VfRunningEntry, entry.Address);
}

/* Make the call and wait for it. => a failure means that it was not made. */
static NTSTATUS IopCallDriver(IOP_CALL *Call)
{
    PETHREAD thread;
    NTSTATUS status = PspStartSystemThread(IopCallThread, Call, &thread);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    ObfDereferenceObject(thread);
    return STATUS_SUCCESS;
}

/* Report a call that came back with the wrong IRQL; the results after it count on nothing else. */
static bool IopCheckIrql(const IOP_CALL *Call, const char *What, const char *Name)
{
    if (Call->Irql != PASSIVE_LEVEL) {
        DbgPrint("%s: %s returned at IRQL %lu\n", Name, What, (ULONG)Call->Irql);
    }
    return Call->Irql == PASSIVE_LEVEL;
}

static void IopLoadDriver(IOP_RUN *Run)
{
    LDRP_IMAGE *image;
    NTSTATUS    status = LdrpLoadImage(Run->Name, Run->File->Base, Run->File->ByteCount, LdrpBindTracked, &image);
    if (NT_SUCCESS(status)) {
        status = IopCreateDriver(image, Run->Name, &Run->Driver);
        if (!NT_SUCCESS(status)) {
            LdrpUnloadImage(image);
        }
    }
    if (!NT_SUCCESS(status)) {
        DbgPrint("%s: loading failed with %s (0x%08lX)\n", Run->Name, IopStatusName(status), (ULONG)status);
    }
    IopReport("load", Run->Name, NT_SUCCESS(status) ? IopPassed : IopFailed, NULL);
}

static void IopStartDriver(IOP_RUN *Run)
{
    if (Run->Driver == NULL) {
        IopReport("DriverEntry", Run->Name, IopSkipped, "it was not loaded");
        return;
    }
    IOP_CALL call = { .Driver = Run->Driver };
    NTSTATUS status = IopCallDriver(&call);
    if (NT_SUCCESS(status)) {
        status = call.Status;
    }
    Run->Started = NT_SUCCESS(status);
    if (Run->Started) {
        Run->Driver->Object.Flags |= DRVO_INITIALIZED;
        IopFinishDeviceInitialization(&Run->Driver->Object);
    } else {
        DbgPrint("%s: DriverEntry failed with %s (0x%08lX)\n", Run->Name, IopStatusName(status), (ULONG)status);
    }
    LdrpDiscardSections(Run->Driver->Image);
    bool passed = IopCheckIrql(&call, "DriverEntry", Run->Name) && Run->Started;
    IopReport("DriverEntry", Run->Name, passed ? IopPassed : IopFailed, NULL);
}

/* => whether the driver's code is done with: DriverUnload ran, or DriverEntry failed. */
static bool IopStopDriver(IOP_RUN *Run)
{
    if (!Run->Started) {
        IopReport("unload", Run->Name, IopSkipped, Run->Driver == NULL ? "it was not loaded" : "DriverEntry failed");
        return true;
    }
    if (Run->Driver->Object.DriverUnload == NULL) {
        IopReport("unload", Run->Name, IopSkipped, "no DriverUnload");
        return false;
    }
    IOP_CALL call = { .Driver = Run->Driver, .IsUnload = true };
    Run->Driver->Object.Flags |= DRVO_UNLOAD_INVOKED;
    NTSTATUS status = IopCallDriver(&call);
    if (!NT_SUCCESS(status)) {
        DbgPrint("%s: DriverUnload could not be called: 0x%08lX\n", Run->Name, (ULONG)status);
    }
    bool passed = IopCheckIrql(&call, "DriverUnload", Run->Name) && NT_SUCCESS(status);
    IopReport("unload", Run->Name, passed ? IopPassed : IopFailed, NULL);
    return NT_SUCCESS(status);
}

static void IopDeleteDriver(IOP_DRIVER *Driver)
{
    LDRP_IMAGE *image = Driver->Image;
    ObpRemoveName(Driver);
    ObfDereferenceObject(Driver);
    KeFlushQueuedDpcs(); /* a DPC that was queued before the driver let go may still run its code */
    LdrpUnloadImage(image);
}

/* Is any of these drivers loaded? */
static bool IopIsAnyLoaded(const IOP_RUN *Runs, ULONG Count)
{
    for (ULONG index = 0; index < Count; index++) {
        if (Runs[index].Driver != NULL) {
            return true;
        }
    }
    return false;
}

/* Finish the last of Count drivers; those behind it are finished. */
static void IopFinishDriver(IOP_RUN *Runs, ULONG Count)
{
    IOP_RUN *run = &Runs[Count - 1];
    bool     stopped = IopStopDriver(run);
    if (run->Driver == NULL) {
        IopReport("leaks", run->Name, IopSkipped, "it was not loaded");
        return;
    }
    VF_LEAKS leaks = VfReportLeaks(&run->Driver->Image->Registered);
    if (!IopIsAnyLoaded(Runs, Count - 1)) {
        /* What has no owner can only be this driver's. */
        VF_LEAKS orphans = VfReportLeaks(NULL);
        leaks.Count += orphans.Count;
        leaks.CodeInUse |= orphans.CodeInUse;
    }
    IopReport("leaks", run->Name, leaks.Count == 0 ? IopPassed : IopFailed, NULL);
    if (stopped && !leaks.CodeInUse) {
        IopDeleteDriver(run->Driver);
    }
}

/* The driver's name when the file is one, or NULL. */
static const char *IopDriverName(const LOADER_FILE *File)
{
    SIZE_T folderChars = strlen(IOP_FOLDER);
    return strncmp(File->Name, IOP_FOLDER, folderChars) == 0 ? File->Name + folderChars : NULL;
}

/* List the drivers of the block in Runs, which is long enough for all of its files; how many there are comes back. */
static ULONG IopListDrivers(const LOADER_BLOCK *Block, IOP_RUN *Runs)
{
    ULONG count = 0;
    for (ULONG index = 0; index < Block->FileCount; index++) {
        const char *name = IopDriverName(&Block->Files[index]);
        if (name != NULL) {
            Runs[count++] = (IOP_RUN){ .File = &Block->Files[index], .Name = name };
        }
    }
    return count;
}

ULONG IopRunDrivers(const LOADER_BLOCK *Block)
{
    IRQL_MAX(PASSIVE_LEVEL);
    IOP_RUN *runs = ExAllocatePoolWithTag(NonPagedPoolNx, (Block->FileCount + 1) * sizeof(*runs), IOP_DRIVER_TAG);
    if (runs == NULL) {
        DbgPrint("no memory to list the drivers\n");
        return 1;
    }
    ULONG count = IopListDrivers(Block, runs);
    KiPrintLine("KTAP version 1");
    KiPrintFormat(count == 0 ? "1..%lu # SKIP no drivers" : "1..%lu", 4 * count);
    for (ULONG index = 0; index < count; index++) {
        IopLoadDriver(&runs[index]);
        IopStartDriver(&runs[index]);
    }
    for (ULONG index = count; index > 0; index--) {
        IopFinishDriver(runs, index);
    }
    ExFreePoolWithTag(runs, IOP_DRIVER_TAG);
    return IopFailedCount;
}
