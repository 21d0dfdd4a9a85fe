/*
 * Stack unwinding by .pdata and .xdata: the interpreter of x64 unwind information.
 *
 * The interpreter is pure: it changes the CONTEXT that it is given and reads an image's mapped bytes and the stack,
 * both only within bounds that its caller states. Neither a damaged driver nor a smashed stack makes it fault.
 * Any IRQL, any stack, NMI handlers included.
 */
#pragma once

#include "kernel/ddk.h"

#include "kernel/rtl/image.h"

/* May these bytes be read here and now, without a fault? Called at any IRQL, in NMI handlers and in a bug check. */
typedef bool RTLP_IS_READABLE(const void *Address, SIZE_T ByteCount);

/*
 * The predicate that stack walks and RtlVirtualUnwind ask. Until mm sets it, once at boot, it accepts each aligned
 * address of the upper half of the address space.
 */
extern RTLP_IS_READABLE *RtlpIsReadable;

typedef union _UNWIND_CODE {
    struct {
        UCHAR CodeOffset;   /* end of the prologue's instruction, in bytes from the function's start */
        UCHAR UnwindOp : 4; /* UWOP_... */
        UCHAR OpInfo : 4;
    };
    USHORT FrameOffset; /* as an operand of the code before it */
} UNWIND_CODE;

enum {
    UWOP_PUSH_NONVOL = 0,
    UWOP_ALLOC_LARGE = 1,
    UWOP_ALLOC_SMALL = 2,
    UWOP_SET_FPREG = 3,
    UWOP_SAVE_NONVOL = 4,
    UWOP_SAVE_NONVOL_FAR = 5,
    UWOP_EPILOG = 6, /* version 2 alone */
    UWOP_SAVE_XMM128 = 8,
    UWOP_SAVE_XMM128_FAR = 9,
    UWOP_PUSH_MACHFRAME = 10,
};

/* Behind the codes, padded to an even count: the handler's RVA and its data, or the RUNTIME_FUNCTION of the chain. */
typedef struct _UNWIND_INFO {
    UCHAR       Version : 3;
    UCHAR       Flags : 5;         /* UNW_FLAG_... */
    UCHAR       SizeOfProlog;      /* bytes */
    UCHAR       CountOfCodes;      /* slots of UnwindCode */
    UCHAR       FrameRegister : 4; /* 0: the function has no frame pointer */
    UCHAR       FrameOffset : 4;   /* the frame pointer's distance from RSP, in units of 16 bytes */
    UNWIND_CODE UnwindCode[];
} UNWIND_INFO;

C_ASSERT(sizeof(UNWIND_CODE) == 2);
C_ASSERT(sizeof(UNWIND_INFO) == 4);
C_ASSERT(sizeof(RUNTIME_FUNCTION) == 12);

/*
 * One step of unwinding: from the function that Context stands in to its caller. The step keeps
 * CONTEXT_UNWOUND_TO_CALL of Context->ContextFlags: set for a caller, cleared for what an interrupt interrupted.
 */
typedef struct _RTLP_UNWIND {
    const RTLP_IMAGE              *Image; /* holds ControlPc; NULL only if there is no function entry */
    ULONG64                        ControlPc;
    CONTEXT                       *Context;  /* in: at ControlPc; out: at the return to the caller */
    KNONVOLATILE_CONTEXT_POINTERS *Pointers; /* filled with where registers were found; may be NULL */
    ULONG64                        StackLow; /* stack reads stay within [StackLow, StackHigh) */
    ULONG64                        StackHigh;
    RTLP_IS_READABLE              *IsReadable;  /* asked for each page that is read, as well; NULL: bounds suffice */
    ULONG                          HandlerType; /* UNW_FLAG_EHANDLER or UHANDLER: which handler to look for */
    bool                           IsUnwoundToCall; /* ControlPc is a return address: never in an epilogue */

    ULONG64            EstablisherFrame; /* out */
    PEXCEPTION_ROUTINE LanguageHandler;  /* out: NULL in a prologue, in an epilogue, and without one */
    PVOID              HandlerData;      /* out: valid if LanguageHandler is */

    ULONG64 ReadablePage; /* scratch: the page that IsReadable accepted last, or 0 */
} RTLP_UNWIND;

/*
 * Unwind one frame. Function is the entry that covers ControlPc; NULL says that it is a leaf function.
 *
 * => STATUS_BAD_FUNCTION_TABLE when the unwind information is damaged or of a version that is not known,
 *    STATUS_BAD_STACK when a saved register lies outside the readable stack; Context is then half unwound.
 */
NTSTATUS RtlpUnwind(RTLP_UNWIND *Unwind, const RUNTIME_FUNCTION *Function);

/* The entry of Image's function table that covers Rva, indirect entries resolved; NULL if none does. */
const RUNTIME_FUNCTION *RtlpFindFunction(const RTLP_IMAGE *Image, ULONG Rva);

/*
 * NULL: a leaf function, or no image at all (*ImageBase is 0 then). HistoryTable is a cache in the interface that is
 * not needed here: neither read nor written.
 */
PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                               PUNWIND_HISTORY_TABLE HistoryTable);

/*
 * => ImageBase is that of a registered image. Where that does not hold, or unwinding fails, the result is NULL and
 *    Context->Rip is 0, which ends every walk.
 */
PEXCEPTION_ROUTINE NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          PRUNTIME_FUNCTION FunctionEntry, PCONTEXT ContextRecord, PVOID *HandlerData,
                                          PULONG64 EstablisherFrame, PKNONVOLATILE_CONTEXT_POINTERS ContextPointers);
