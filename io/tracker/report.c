/*
 * Writing what a driver left behind, one line a thing.
 */
#include "io/tracker/report.h"

#include "io/namespace.h"
#include "kernel/ke/dbgprint.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/lock.h"
#include "kernel/rtl/print.h"
#include "kernel/rtl/symbols.h"
#include "mm/layout.h"
#include "mm/pool.h"

#define VF_LINE_BYTES   1024u /* a thing and up to twelve frames; cut where names are longer */
#define VF_DETAIL_BYTES 128u

typedef struct _VF_LINE {
    SIZE_T ByteCount;
    char   Text[VF_LINE_BYTES];
} VF_LINE;

static VF_LINE VfLine; /* reports come one at a time */

static const char *const VfKindNames[VF_KIND_COUNT] = {
    [VfPoolBlock] = "pool block",
    [VfMdl] = "MDL",
    [VfLockedMdl] = "locked MDL",
    [VfMdlPages] = "pages of MDL",
    [VfMapping] = "mapping",
    [VfDevice] = "device",
    [VfSymbolicLink] = "symbolic link",
    [VfThread] = "thread",
    [VfTimer] = "timer",
    [VfWorkItem] = "work item",
    [VfRunningEntry] = "entry",
};

static void VfAppend(const char *Format, ...) RTLP_FORMAT_CHECK(1, 2);

static void VfAppend(const char *Format, ...)
{
    va_list arguments;
    va_start(arguments, Format);
    SIZE_T room = VF_LINE_BYTES - VfLine.ByteCount;
    SIZE_T wanted = RtlpVFormat(VfLine.Text + VfLine.ByteCount, room, RtlpUtf8, Format, arguments);
    va_end(arguments);
    VfLine.ByteCount += wanted < room ? wanted : room - 1;
}

static void VfAppendMdlFlags(const MDL *Mdl)
{
    /* An MDL that a path unknown to the tracker has freed may be gone. */
    if (MmIsAddressValid((PVOID)(ULONG_PTR)Mdl)) {
        VfAppend(", flags 0x%04X", (USHORT)Mdl->MdlFlags);
    }
}

static void VfAppendTag(ULONG Tag)
{
    VfAppend(", tag '");
    for (ULONG index = 0; index < sizeof(Tag); index++) {
        UCHAR character = (UCHAR)(Tag >> (8 * index));
        VfAppend("%c", character >= ' ' && character <= '~' ? character : '.');
    }
    VfAppend("'");
}

static void VfAppendDetail(const VF_RECORD *Record)
{
    char name[VF_DETAIL_BYTES];
    switch (Record->Kind) {
    case VfPoolBlock:
        VfAppendTag((ULONG)Record->Detail);
        break;
    case VfMdl:
    case VfLockedMdl:
    case VfMdlPages:
        VfAppendMdlFlags(Record->Address);
        break;
    case VfMapping:
        VfAppend(Record->Detail != 0 ? ", MDL 0x%016llX" : ", device memory", Record->Detail);
        break;
    case VfTimer:
        VfAppend(", period %lu ms", (ULONG)Record->Detail);
        break;
    case VfDevice:
    case VfSymbolicLink:
        ObpFormatName((PVOID)(ULONG_PTR)Record->Address, name, sizeof(name));
        VfAppend(name[0] != '\0' ? ", %s" : ", without a name%s", name);
        break;
    default:
        break;
    }
}

/* The driver's frames, innermost first; what called the driver adds nothing. */
static void VfAppendStack(const VF_RECORD *Record)
{
    bool inDriver = false;
    for (ULONG index = 0; index < Record->FrameCount; index++) {
        bool isDriver = MiIsInRegion(Record->Frames[index], MI_REGION_DRIVER_IMAGES);
        if (inDriver && !isDriver) {
            return;
        }
        inDriver = isDriver;
        char symbol[RTLP_SYMBOL_BYTES];
        RtlpFormatAddress(Record->Frames[index], symbol, sizeof(symbol));
        VfAppend(index == 0 ? ", made by %s" : " < %s", symbol);
    }
}

static void VfPrintRecord(const VF_RECORD *Record)
{
    VfLine.ByteCount = 0;
    VfAppend("# leak: %s 0x%016llX, %llu bytes", VfKindNames[Record->Kind], (ULONG64)(ULONG_PTR)Record->Address,
             (ULONG64)Record->ByteCount);
    VfAppendDetail(Record);
    VfAppendStack(Record);
    KiPrintLine(VfLine.Text);
}

/*
 * Has the timer expired, or gone with the memory that it lay in? Nothing tells the tracker, so its memory is looked at:
 * once freed it is patterned or holds something else, which does not pass for a timer in the queue.
 */
static bool VfIsTimerGone(const VF_RECORD *Record)
{
    const KTIMER *timer = Record->Address;
    if (!MmIsAddressValid((PVOID)(ULONG_PTR)timer) || !MmIsAddressValid((PVOID)(ULONG_PTR)(timer + 1))) {
        return true;
    }
    bool isTimer = timer->Header.Type == TimerNotificationObject || timer->Header.Type == TimerSynchronizationObject;
    return !isTimer || !timer->Header.Inserted;
}

/*
 * Was the thing given back on a path that drivers do not call? Completion of a packet unlocks its MDLs, which ends the
 * mappings that drivers made of them, and frees them.
 */
static bool VfIsGone(const VF_RECORD *Record)
{
    switch (Record->Kind) {
    case VfTimer:
        return VfIsTimerGone(Record);
    case VfMapping:
        return !MmIsAddressValid((PVOID)(ULONG_PTR)Record->Address);
    case VfMdl:
        return ExpQueryBlockBytes(Record->Address) == 0;
    default:
        return false;
    }
}

VF_LEAKS VfReportLeaks(const RTLP_IMAGE *Owner)
{
    IRQL_MAX(PASSIVE_LEVEL);
    VF_LEAKS leaks = { .Count = VfTakeLostCount() };
    if (leaks.Count != 0) {
        DbgPrint("leak: %lu things could not be recorded for want of memory\n", leaks.Count);
    }
    LIST_ENTRY list;
    VfTakeRecords(Owner, &list);
    while (!IsListEmpty(&list)) {
        VF_RECORD *record = CONTAINING_RECORD(RemoveHeadList(&list), VF_RECORD, OrderLinks);
        if (!VfIsGone(record)) {
            VfPrintRecord(record);
            leaks.Count++;
            leaks.CodeInUse |= record->Kind == VfThread || record->Kind == VfTimer || record->Kind == VfWorkItem;
        }
        VfFreeRecord(record);
    }
    return leaks;
}
