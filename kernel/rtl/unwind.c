/*
 * Interpreter of x64 unwind information.
 *
 * Problem. Given the registers at some instruction of a function, find them as they were in its caller at the return
 * address. The compiler left a table: for each function the list of what its prologue does to RSP and where it saves
 * nonvolatile registers (.xdata), found by a binary search over code ranges (.pdata). Facts are those of "x64
 * exception handling" in Microsoft's C++ documentation.
 *
 * Terms. A *code* is one prologue operation, in slots of two bytes, the last operation first. The *establisher frame*
 * is RSP as it stands after the prologue's fixed allocation, which is the function's identity in exception handling. A
 * *fragment* is a part of a function with an entry of its own: chained unwind information, or codes without a
 * prologue. A *machine frame* is what the processor pushes for an interrupt: RIP, CS, EFLAGS, RSP, SS.
 *
 * Three places, three ways. In the body all codes are undone. In the prologue only those whose instruction has been
 * executed. In an epilogue the codes no longer describe the stack, so the rest of the epilogue is carried out instead.
 * Version 1 has no record of epilogues: they are recognised by their instructions, which the ABI restricts to
 *     add rsp, constant | lea rsp, [frame pointer + displacement]     at most one
 *     pop register                                                   any number
 *     ret | jmp out of the function                                  one
 * Version 2 lists their places. A handler is offered in the body alone.
 *
 * Invariants. Every byte of the image comes from RtlpImageBytes and every word of the stack from RtlpReadStack: the
 * two check bounds, and nothing else dereferences. Chains and pops are bounded, so each step ends.
 */
#include "kernel/rtl/unwind.h"

#define RTLP_RSP             4u /* its number in codes and in ModRM */
#define RTLP_REGISTER_COUNT  16u
#define RTLP_MAX_CHAIN       32u /* real chains have two or three links */
#define RTLP_EPILOGUE_BYTES  48u /* lea with SIB and disp32 (8), 15 pops with REX (30), jmp with disp32 (7) */
#define RTLP_MAX_INSTRUCTION 8u  /* longest instruction that an epilogue may hold */
#define RTLP_WHOLE_PROLOGUE  MAXULONG

static bool RtlpIsCanonicalKernelAddress(const void *Address, SIZE_T ByteCount)
{
    ULONG64 first = (ULONG_PTR)Address;
    return first >= 0xFFFF800000000000ull && first + ByteCount > first && first % sizeof(ULONG64) == 0;
}

RTLP_IS_READABLE *RtlpIsReadable = RtlpIsCanonicalKernelAddress;

/* Ask the predicate once a page: the range lies in one page or begins in the page that was accepted last. */
static bool RtlpIsPageReadable(RTLP_UNWIND *Unwind, ULONG64 Address, ULONG ByteCount)
{
    if (Unwind->IsReadable == NULL) {
        return true;
    }
    ULONG64 firstPage = Address & ~(ULONG64)(PAGE_SIZE - 1);
    ULONG64 lastPage = (Address + ByteCount - 1) & ~(ULONG64)(PAGE_SIZE - 1);
    if (firstPage == Unwind->ReadablePage && lastPage == firstPage) {
        return true;
    }
    ULONG64 aligned = Address & ~(ULONG64)(sizeof(ULONG64) - 1);
    if (!Unwind->IsReadable((const void *)(ULONG_PTR)aligned, (SIZE_T)(Address + ByteCount - aligned))) {
        return false;
    }
    Unwind->ReadablePage = lastPage;
    return true;
}

static const void *RtlpImageBytes(RTLP_UNWIND *Unwind, ULONG Rva, ULONG ByteCount)
{
    const void *bytes = RtlpImageRange(Unwind->Image, Rva, ByteCount);
    if (bytes == NULL || !RtlpIsPageReadable(Unwind, (ULONG_PTR)bytes, ByteCount)) {
        return NULL;
    }
    return bytes;
}

static NTSTATUS RtlpReadStack(RTLP_UNWIND *Unwind, ULONG64 Address, ULONG64 *Value)
{
    if (Address % sizeof(ULONG64) != 0 || Address < Unwind->StackLow || Address >= Unwind->StackHigh ||
        Unwind->StackHigh - Address < sizeof(ULONG64) || !RtlpIsPageReadable(Unwind, Address, sizeof(ULONG64))) {
        return STATUS_BAD_STACK;
    }
    *Value = *(const ULONG64 *)(ULONG_PTR)Address;
    return STATUS_SUCCESS;
}

static ULONG64 *RtlpRegister(CONTEXT *Context, ULONG Register)
{
    return (ULONG64 *)((UCHAR *)Context + FIELD_OFFSET(CONTEXT, Rax)) + Register;
}

static NTSTATUS RtlpLoadRegister(RTLP_UNWIND *Unwind, ULONG Register, ULONG64 Address)
{
    NTSTATUS status = RtlpReadStack(Unwind, Address, RtlpRegister(Unwind->Context, Register));
    if (NT_SUCCESS(status) && Unwind->Pointers != NULL) {
        Unwind->Pointers->IntegerContext[Register] = (ULONG64 *)(ULONG_PTR)Address;
    }
    return status;
}

static NTSTATUS RtlpLoadXmm(RTLP_UNWIND *Unwind, ULONG Register, ULONG64 Address)
{
    ULONG64  low;
    ULONG64  high;
    NTSTATUS status = RtlpReadStack(Unwind, Address, &low);
    if (NT_SUCCESS(status)) {
        status = RtlpReadStack(Unwind, Address + sizeof(low), &high);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    Unwind->Context->FltSave.XmmRegisters[Register] = (M128A){ .Low = low, .High = (LONGLONG)high };
    if (Unwind->Pointers != NULL) {
        Unwind->Pointers->FloatingContext[Register] = (M128A *)(ULONG_PTR)Address;
    }
    return status;
}

static NTSTATUS RtlpPopReturnAddress(RTLP_UNWIND *Unwind)
{
    CONTEXT *context = Unwind->Context;
    NTSTATUS status = RtlpReadStack(Unwind, context->Rsp, &context->Rip);
    context->Rsp += sizeof(ULONG64);
    context->ContextFlags |= CONTEXT_UNWOUND_TO_CALL;
    return status;
}

/* The unwind information at Rva with all its codes and what follows them (a handler's RVA or a chained entry). */
static const UNWIND_INFO *RtlpUnwindInfo(RTLP_UNWIND *Unwind, ULONG Rva)
{
    const UNWIND_INFO *info = RtlpImageBytes(Unwind, Rva, sizeof(*info));
    if (info == NULL || Rva % 4 != 0 || info->Version < 1 || info->Version > 2) {
        return NULL;
    }
    ULONG byteCount = sizeof(*info) + ((info->CountOfCodes + 1u) & ~1u) * (ULONG)sizeof(UNWIND_CODE);
    if (info->Flags & UNW_FLAG_CHAININFO) {
        byteCount += sizeof(RUNTIME_FUNCTION);
    } else if (info->Flags & (UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER)) {
        byteCount += sizeof(ULONG);
    }
    return RtlpImageBytes(Unwind, Rva, byteCount);
}

static const void *RtlpBehindCodes(const UNWIND_INFO *Info)
{
    return &Info->UnwindCode[(Info->CountOfCodes + 1u) & ~1u];
}

/* Slots that the code takes with its operands; 0 for an operation that the version does not know. */
static ULONG RtlpCodeSlots(const UNWIND_INFO *Info, const UNWIND_CODE *Code)
{
    switch (Code->UnwindOp) {
    case UWOP_PUSH_NONVOL:
    case UWOP_ALLOC_SMALL:
    case UWOP_SET_FPREG:
    case UWOP_PUSH_MACHFRAME:
        return 1;
    case UWOP_SAVE_NONVOL:
    case UWOP_SAVE_XMM128:
        return 2;
    case UWOP_SAVE_NONVOL_FAR:
    case UWOP_SAVE_XMM128_FAR:
        return 3;
    case UWOP_ALLOC_LARGE:
        return Code->OpInfo == 0 ? 2 : 3;
    case UWOP_EPILOG:
        return Info->Version == 2 ? 1 : 0;
    default:
        return 0;
    }
}

/* The operand of a code of two or three slots, in bytes: 16 bits times Scale, or 32 bits as they are. */
static ULONG RtlpCodeOperand(const UNWIND_CODE *Code, ULONG Slots, ULONG Scale)
{
    if (Slots == 2) {
        return Code[1].FrameOffset * Scale;
    }
    return Code[1].FrameOffset | (ULONG)Code[2].FrameOffset << 16;
}

/* RIP and RSP as the processor pushed them, behind an error code if HasErrorCode is 1. */
static NTSTATUS RtlpPopMachineFrame(RTLP_UNWIND *Unwind, ULONG HasErrorCode)
{
    CONTEXT *context = Unwind->Context;
    ULONG64  frame = context->Rsp + HasErrorCode * sizeof(ULONG64);
    NTSTATUS status = RtlpReadStack(Unwind, frame, &context->Rip);
    if (NT_SUCCESS(status)) {
        status = RtlpReadStack(Unwind, frame + 3 * sizeof(ULONG64), &context->Rsp);
    }
    context->ContextFlags &= ~(ULONG)CONTEXT_UNWOUND_TO_CALL;
    return status;
}

/* The frame pointer less its distance: RSP after the fixed allocation. */
static ULONG64 RtlpFrameFromRegister(const RTLP_UNWIND *Unwind, const UNWIND_INFO *Info)
{
    return *RtlpRegister(Unwind->Context, Info->FrameRegister) - Info->FrameOffset * 16ull;
}

/* Undo one code; Frame is the base that register saves are relative to. */
static NTSTATUS RtlpUndoCode(RTLP_UNWIND *Unwind, const UNWIND_INFO *Info, const UNWIND_CODE *Code, ULONG64 Frame)
{
    CONTEXT *context = Unwind->Context;
    ULONG    slots = RtlpCodeSlots(Info, Code);
    NTSTATUS status = STATUS_SUCCESS;
    switch (Code->UnwindOp) {
    case UWOP_PUSH_NONVOL: {
        ULONG64 slot = context->Rsp;
        context->Rsp = slot + sizeof(ULONG64);
        status = RtlpLoadRegister(Unwind, Code->OpInfo, slot);
        break;
    }
    case UWOP_ALLOC_LARGE:
        context->Rsp += RtlpCodeOperand(Code, slots, sizeof(ULONG64));
        break;
    case UWOP_ALLOC_SMALL:
        context->Rsp += (Code->OpInfo + 1ull) * sizeof(ULONG64);
        break;
    case UWOP_SET_FPREG:
        context->Rsp = RtlpFrameFromRegister(Unwind, Info);
        break;
    case UWOP_SAVE_NONVOL:
    case UWOP_SAVE_NONVOL_FAR:
        status = RtlpLoadRegister(Unwind, Code->OpInfo, Frame + RtlpCodeOperand(Code, slots, sizeof(ULONG64)));
        break;
    case UWOP_SAVE_XMM128:
    case UWOP_SAVE_XMM128_FAR:
        status = RtlpLoadXmm(Unwind, Code->OpInfo, Frame + RtlpCodeOperand(Code, slots, sizeof(M128A)));
        break;
    case UWOP_PUSH_MACHFRAME:
        status = RtlpPopMachineFrame(Unwind, Code->OpInfo);
        break;
    default:
        break; /* UWOP_EPILOG describes no change of the stack */
    }
    return status;
}

/*
 * Undo those of Info's codes whose instructions end at or before PrologueOffset.
 *
 * => *HasMachineFrame is set, never cleared: the caller's RIP is then known already.
 */
static NTSTATUS RtlpUndoCodes(RTLP_UNWIND *Unwind, const UNWIND_INFO *Info, ULONG PrologueOffset, bool *HasMachineFrame)
{
    ULONG64 frame = Unwind->Context->Rsp;
    if (PrologueOffset == RTLP_WHOLE_PROLOGUE && Info->FrameRegister != 0) {
        frame = RtlpFrameFromRegister(Unwind, Info);
    }
    ULONG slots;
    for (ULONG index = 0; index < Info->CountOfCodes; index += slots) {
        const UNWIND_CODE *code = &Info->UnwindCode[index];
        slots = RtlpCodeSlots(Info, code);
        if (slots == 0 || slots > Info->CountOfCodes - index) {
            return STATUS_BAD_FUNCTION_TABLE;
        }
        if (code->UnwindOp == UWOP_EPILOG || code->CodeOffset > PrologueOffset) {
            continue;
        }
        NTSTATUS status = RtlpUndoCode(Unwind, Info, code, frame);
        if (!NT_SUCCESS(status)) {
            return status;
        }
        *HasMachineFrame = *HasMachineFrame || code->UnwindOp == UWOP_PUSH_MACHFRAME;
    }
    return STATUS_SUCCESS;
}

/* What is left of an epilogue: RSP = Base register + Displacement, then pops, then the return address. */
typedef struct _RTLP_EPILOGUE {
    ULONG BaseRegister;
    LONG  Displacement;
    ULONG PopCount;
    UCHAR Pops[RTLP_EPILOGUE_BYTES];
} RTLP_EPILOGUE;

/* Instruction bytes from ControlPc to the end of the function, at most an epilogue's worth; 0 (no epilogue) behind. */
typedef struct _RTLP_CODE_BYTES {
    ULONG Rva;   /* of Byte[0] */
    ULONG Index; /* next byte to decode */
    UCHAR Byte[RTLP_EPILOGUE_BYTES + RTLP_MAX_INSTRUCTION];
} RTLP_CODE_BYTES;

static void RtlpFetchCode(RTLP_UNWIND *Unwind, const RUNTIME_FUNCTION *Function, ULONG Rva, RTLP_CODE_BYTES *Code)
{
    *Code = (RTLP_CODE_BYTES){ .Rva = Rva };
    ULONG byteCount = Function->EndAddress - Rva;
    byteCount = byteCount < RTLP_EPILOGUE_BYTES ? byteCount : RTLP_EPILOGUE_BYTES;
    const UCHAR *bytes = RtlpImageBytes(Unwind, Rva, byteCount);
    for (ULONG index = 0; bytes != NULL && index < byteCount; index++) {
        Code->Byte[index] = bytes[index];
    }
}

static LONG RtlpSigned32(const UCHAR *Byte)
{
    return (LONG)(Byte[0] | (ULONG)Byte[1] << 8 | (ULONG)Byte[2] << 16 | (ULONG)Byte[3] << 24);
}

static LONG RtlpSigned8(UCHAR Byte)
{
    return (LONG)Byte - (Byte >= 0x80 ? 0x100 : 0);
}

/* add rsp, imm8 | add rsp, imm32 | lea rsp, [FrameRegister + disp]; none of them is no change. */
static void RtlpDecodeStackAdjust(RTLP_CODE_BYTES *Code, ULONG FrameRegister, RTLP_EPILOGUE *Epilogue)
{
    const UCHAR *byte = &Code->Byte[Code->Index];
    if (byte[0] == 0x48 && byte[1] == 0x83 && byte[2] == 0xC4) {
        Epilogue->Displacement = RtlpSigned8(byte[3]);
        Code->Index += 4;
    } else if (byte[0] == 0x48 && byte[1] == 0x81 && byte[2] == 0xC4) {
        Epilogue->Displacement = RtlpSigned32(&byte[3]);
        Code->Index += 7;
    } else if ((byte[0] & 0xFE) == 0x48 && byte[1] == 0x8D && ((byte[2] >> 3) & 7) == RTLP_RSP) {
        ULONG base = (byte[2] & 7u) | (byte[0] & 1u) << 3;
        ULONG mode = byte[2] >> 6;
        /* R12 as a base takes a SIB byte without index; mode 0 with RBP or R13 would be RIP-relative. */
        ULONG sibBytes = (base & 7) == RTLP_RSP ? 1 : 0;
        if (FrameRegister == 0 || base != FrameRegister || mode == 3 || (mode == 0 && (base & 7) == 5) ||
            (sibBytes == 1 && byte[3] != 0x24)) {
            return;
        }
        static const UCHAR displacementBytes[] = { 0, 1, 4 };
        const UCHAR       *displacement = &byte[3 + sibBytes];
        Epilogue->BaseRegister = base;
        Epilogue->Displacement = mode == 0 ? 0 : mode == 1 ? RtlpSigned8(*displacement) : RtlpSigned32(displacement);
        Code->Index += 3 + sibBytes + displacementBytes[mode];
    }
}

static void RtlpDecodePops(RTLP_CODE_BYTES *Code, RTLP_EPILOGUE *Epilogue)
{
    while (Code->Index < RTLP_EPILOGUE_BYTES) {
        const UCHAR *byte = &Code->Byte[Code->Index];
        ULONG        rexBytes = (byte[0] & 0xF0) == 0x40 ? 1 : 0;
        ULONG        highBit = rexBytes == 1 ? (byte[0] & 1u) << 3 : 0;
        ULONG        poppedRegister = (byte[rexBytes] & 7u) | highBit;
        if ((byte[rexBytes] & 0xF8) != 0x58 || poppedRegister == RTLP_RSP) {
            return;
        }
        Epilogue->Pops[Epilogue->PopCount++] = (UCHAR)poppedRegister;
        Code->Index += 1 + rexBytes;
    }
}

/* Does a jump of Function to Rva leave it: is the target neither inside it nor a fragment's beginning or middle? */
static bool RtlpIsTailCallTarget(RTLP_UNWIND *Unwind, ULONG Rva)
{
    const RUNTIME_FUNCTION *target = RtlpFindFunction(Unwind->Image, Rva);
    if (target == NULL) {
        return true; /* a leaf function, or a thunk to another image */
    }
    const UNWIND_INFO *info = RtlpUnwindInfo(Unwind, target->UnwindData);
    bool               isFragment = info == NULL || (info->Flags & UNW_FLAG_CHAININFO) != 0 ||
                      (info->SizeOfProlog == 0 && info->CountOfCodes != 0);
    return Rva == target->BeginAddress && !isFragment;
}

/* ret, or a jump that the ABI admits as a tail call: direct, through memory without displacement, or with REX.W. */
static bool RtlpIsEpilogueEnd(RTLP_UNWIND *Unwind, const RTLP_CODE_BYTES *Code)
{
    const UCHAR *byte = &Code->Byte[Code->Index];
    ULONG        nextRva = Code->Rva + Code->Index;
    switch (byte[0]) {
    case 0xC3: /* ret */
    case 0xC2: /* ret imm16 */
        return true;
    case 0xF2: /* bnd ret */
    case 0xF3: /* rep ret */
        return byte[1] == 0xC3;
    case 0xEB: /* jmp rel8 */
        return RtlpIsTailCallTarget(Unwind, nextRva + 2 + (ULONG)RtlpSigned8(byte[1]));
    case 0xE9: /* jmp rel32 */
        return RtlpIsTailCallTarget(Unwind, nextRva + 5 + (ULONG)RtlpSigned32(&byte[1]));
    case 0xFF: /* jmp [memory] */
        return ((byte[1] >> 3) & 7) == 4 && byte[1] >> 6 == 0;
    default: { /* REX.W marks a jump through a register as a tail call */
        ULONG mode = byte[2] >> 6;
        return (byte[0] & 0xF8) == 0x48 && byte[1] == 0xFF && ((byte[2] >> 3) & 7) == 4 && (mode == 0 || mode == 3);
    }
    }
}

/* Does one of the epilogues that version 2 lists cover Rva? */
static bool RtlpIsInListedEpilogue(const UNWIND_INFO *Info, const RUNTIME_FUNCTION *Function, ULONG Rva)
{
    ULONG epilogueBytes = 0;
    for (ULONG index = 0; index < Info->CountOfCodes && Info->UnwindCode[index].UnwindOp == UWOP_EPILOG; index++) {
        const UNWIND_CODE *code = &Info->UnwindCode[index];
        ULONG              distance; /* from the epilogue's first byte to the end of the function; 0 pads */
        if (index == 0) {
            epilogueBytes = code->CodeOffset;
            distance = (code->OpInfo & 1) != 0 ? epilogueBytes : 0;
        } else {
            distance = code->CodeOffset | (ULONG)code->OpInfo << 8;
        }
        ULONG remaining = Function->EndAddress - Rva;
        if (remaining <= distance && distance - remaining < epilogueBytes) {
            return true;
        }
    }
    return false;
}

/* Is Rva, behind the prologue, in an epilogue? If so, *Epilogue is what remains of it. */
static bool RtlpIsInEpilogue(RTLP_UNWIND *Unwind, const RUNTIME_FUNCTION *Function, const UNWIND_INFO *Info, ULONG Rva,
                             RTLP_EPILOGUE *Epilogue)
{
    if (Info->Version == 2 && !RtlpIsInListedEpilogue(Info, Function, Rva)) {
        return false;
    }
    RTLP_CODE_BYTES code;
    RtlpFetchCode(Unwind, Function, Rva, &code);
    *Epilogue = (RTLP_EPILOGUE){ .BaseRegister = RTLP_RSP };
    RtlpDecodeStackAdjust(&code, Info->FrameRegister, Epilogue);
    RtlpDecodePops(&code, Epilogue);
    /* Where version 2 says "epilogue", what follows the pops leaves the function, whatever its form. */
    return Info->Version == 2 || RtlpIsEpilogueEnd(Unwind, &code);
}

static NTSTATUS RtlpFinishEpilogue(RTLP_UNWIND *Unwind, const RTLP_EPILOGUE *Epilogue)
{
    CONTEXT *context = Unwind->Context;
    context->Rsp = *RtlpRegister(context, Epilogue->BaseRegister) + (ULONG64)(LONG64)Epilogue->Displacement;
    for (ULONG index = 0; index < Epilogue->PopCount; index++) {
        ULONG64 slot = context->Rsp;
        context->Rsp = slot + sizeof(ULONG64);
        NTSTATUS status = RtlpLoadRegister(Unwind, Epilogue->Pops[index], slot);
        if (!NT_SUCCESS(status)) {
            return status;
        }
    }
    return RtlpPopReturnAddress(Unwind);
}

/* RSP after the fixed allocation: from the frame pointer once the prologue has set it, else RSP itself. */
static ULONG64 RtlpEstablisherFrame(const RTLP_UNWIND *Unwind, const UNWIND_INFO *Info, ULONG PrologueOffset)
{
    bool  isSet = PrologueOffset >= Info->SizeOfProlog || (Info->Flags & UNW_FLAG_CHAININFO) != 0;
    ULONG slots = 1;
    for (ULONG index = 0; index < Info->CountOfCodes && slots != 0; index += slots) {
        const UNWIND_CODE *code = &Info->UnwindCode[index];
        slots = RtlpCodeSlots(Info, code);
        isSet = isSet || (code->UnwindOp == UWOP_SET_FPREG && code->CodeOffset <= PrologueOffset);
    }
    return Info->FrameRegister != 0 && isSet ? RtlpFrameFromRegister(Unwind, Info) : Unwind->Context->Rsp;
}

/* Offer the handler that Info, the end of the chain, names for the wanted pass. */
static NTSTATUS RtlpFindHandler(RTLP_UNWIND *Unwind, const UNWIND_INFO *Info)
{
    if ((Info->Flags & Unwind->HandlerType & (UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER)) == 0) {
        return STATUS_SUCCESS;
    }
    const ULONG *handlerRva = RtlpBehindCodes(Info);
    const void  *handler = RtlpImageRange(Unwind->Image, *handlerRva, 1);
    if (handler == NULL) {
        return STATUS_BAD_FUNCTION_TABLE;
    }
    Unwind->LanguageHandler = (PEXCEPTION_ROUTINE)(ULONG_PTR)handler;
    Unwind->HandlerData = (PVOID)(ULONG_PTR)(handlerRva + 1);
    return STATUS_SUCCESS;
}

/* Undo Info's codes up to PrologueOffset and all of the chain's; *Info becomes the end of the chain. */
static NTSTATUS RtlpUndoChain(RTLP_UNWIND *Unwind, const UNWIND_INFO **Info, ULONG PrologueOffset)
{
    bool     hasMachineFrame = false;
    NTSTATUS status = RtlpUndoCodes(Unwind, *Info, PrologueOffset, &hasMachineFrame);
    for (ULONG depth = 0; NT_SUCCESS(status) && ((*Info)->Flags & UNW_FLAG_CHAININFO) != 0; depth++) {
        const RUNTIME_FUNCTION *chained = RtlpBehindCodes(*Info);
        *Info = RtlpUnwindInfo(Unwind, chained->UnwindData);
        if (*Info == NULL || depth == RTLP_MAX_CHAIN) {
            return STATUS_BAD_FUNCTION_TABLE;
        }
        status = RtlpUndoCodes(Unwind, *Info, RTLP_WHOLE_PROLOGUE, &hasMachineFrame);
    }
    if (NT_SUCCESS(status) && !hasMachineFrame) {
        status = RtlpPopReturnAddress(Unwind);
    }
    return status;
}

NTSTATUS RtlpUnwind(RTLP_UNWIND *Unwind, const RUNTIME_FUNCTION *Function)
{
    Unwind->LanguageHandler = NULL;
    Unwind->HandlerData = NULL;
    Unwind->ReadablePage = 0;
    Unwind->EstablisherFrame = Unwind->Context->Rsp;
    if (Function == NULL) {
        return RtlpPopReturnAddress(Unwind);
    }
    const UNWIND_INFO *info = RtlpUnwindInfo(Unwind, Function->UnwindData);
    ULONG              rva = (ULONG)(Unwind->ControlPc - Unwind->Image->Base);
    if (info == NULL || rva < Function->BeginAddress || rva >= Function->EndAddress) {
        return STATUS_BAD_FUNCTION_TABLE;
    }

    ULONG prologueOffset = rva - Function->BeginAddress;
    bool  isInPrologue = prologueOffset < info->SizeOfProlog;
    Unwind->EstablisherFrame = RtlpEstablisherFrame(Unwind, info, prologueOffset);
    RTLP_EPILOGUE epilogue;
    if (!isInPrologue && !Unwind->IsUnwoundToCall && RtlpIsInEpilogue(Unwind, Function, info, rva, &epilogue)) {
        return RtlpFinishEpilogue(Unwind, &epilogue);
    }
    NTSTATUS status = RtlpUndoChain(Unwind, &info, isInPrologue ? prologueOffset : RTLP_WHOLE_PROLOGUE);
    if (!NT_SUCCESS(status) || isInPrologue) {
        return status;
    }
    return RtlpFindHandler(Unwind, info);
}

const RUNTIME_FUNCTION *RtlpFindFunction(const RTLP_IMAGE *Image, ULONG Rva)
{
    ULONG low = 0;
    ULONG high = Image->FunctionCount;
    while (low < high) {
        ULONG                   middle = low + (high - low) / 2;
        const RUNTIME_FUNCTION *function = &Image->FunctionTable[middle];
        if (Rva < function->BeginAddress) {
            high = middle;
        } else if (Rva >= function->EndAddress) {
            low = middle + 1;
        } else if ((function->UnwindData & 1) == 0) {
            return function;
        } else {
            /* Indirect: another entry stands for this one; UnwindInfoAddress is its RVA plus 1. */
            ULONG target = function->UnwindData & ~1u;
            return target % 4 == 0 ? RtlpImageRange(Image, target, sizeof(*function)) : NULL;
        }
    }
    return NULL;
}

PRUNTIME_FUNCTION NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                               PUNWIND_HISTORY_TABLE HistoryTable)
{
    UNREFERENCED_PARAMETER(HistoryTable);
    const RTLP_IMAGE *image = RtlpFindImage((const void *)(ULONG_PTR)ControlPc);
    *ImageBase = image == NULL ? 0 : image->Base;
    if (image == NULL) {
        return NULL;
    }
    return (PRUNTIME_FUNCTION)(ULONG_PTR)RtlpFindFunction(image, (ULONG)(ControlPc - image->Base));
}

PEXCEPTION_ROUTINE NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          PRUNTIME_FUNCTION FunctionEntry, PCONTEXT ContextRecord, PVOID *HandlerData,
                                          PULONG64 EstablisherFrame, PKNONVOLATILE_CONTEXT_POINTERS ContextPointers)
{
    RTLP_UNWIND unwind = {
        .Image = RtlpFindImage((const void *)(ULONG_PTR)ImageBase),
        .ControlPc = ControlPc,
        .Context = ContextRecord,
        .Pointers = ContextPointers,
        .StackHigh = MAXULONG_PTR,
        .IsReadable = RtlpIsReadable,
        .HandlerType = HandlerType,
        .EstablisherFrame = ContextRecord->Rsp,
    };
    if (unwind.Image == NULL || !NT_SUCCESS(RtlpUnwind(&unwind, FunctionEntry))) {
        unwind.LanguageHandler = NULL;
        ContextRecord->Rip = 0;
    }
    *HandlerData = unwind.HandlerData;
    *EstablisherFrame = unwind.EstablisherFrame;
    return unwind.LanguageHandler;
}
