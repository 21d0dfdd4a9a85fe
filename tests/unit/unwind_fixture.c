/*
 * The unwinder's test fixture; unwind_fixture.h says what it is.
 */
#include "tests/unit/unwind_fixture.h"

#include <ntimage.h>

static UF_FIXTURE UfFixture;

static void UfWriteHeader(UCHAR *Bytes)
{
    IMAGE_DOS_HEADER *dos = (IMAGE_DOS_HEADER *)Bytes;
    dos->e_magic = IMAGE_DOS_SIGNATURE;
    dos->e_lfanew = 0x80;
    IMAGE_NT_HEADERS64 *headers = (IMAGE_NT_HEADERS64 *)(Bytes + 0x80);
    headers->Signature = IMAGE_NT_SIGNATURE;
    headers->FileHeader.NumberOfSections = 1;
    headers->FileHeader.SizeOfOptionalHeader = sizeof(headers->OptionalHeader);
    headers->OptionalHeader.Magic = IMAGE_NT_OPTIONAL_HDR64_MAGIC;
    headers->OptionalHeader.NumberOfRvaAndSizes = IMAGE_NUMBEROF_DIRECTORY_ENTRIES;
    headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXCEPTION] = (IMAGE_DATA_DIRECTORY){
        .VirtualAddress = UF_PDATA_RVA, .Size = UF_MAX_FUNCTIONS * (ULONG)sizeof(RUNTIME_FUNCTION)
    };
    IMAGE_SECTION_HEADER *section = (IMAGE_SECTION_HEADER *)(headers + 1);
    *section = (IMAGE_SECTION_HEADER){ .VirtualAddress = UF_TEXT_RVA, .Misc.VirtualSize = UF_TEXT_BYTES };
}

UF_FIXTURE *UfOpen(void)
{
    UF_FIXTURE *fixture = &UfFixture;
    *fixture = (UF_FIXTURE){ .Bytes = calloc(1, UF_IMAGE_BYTES),
                             .NextXdata = UF_XDATA_RVA,
                             .Stack = calloc(UF_STACK_WORDS, sizeof(ULONG64)) };
    UfWriteHeader(fixture->Bytes);
    RtlpInitializeImage(&fixture->Image, "test.sys", fixture->Bytes, UF_IMAGE_BYTES);
    fixture->Image.FunctionCount = 0;
    RtlpInsertImage(&fixture->Image);
    for (ULONG index = 0; index < UF_STACK_WORDS; index++) {
        fixture->Stack[index] = 0x5000 + index;
    }
    ULONG64 *registers = &fixture->Context.Rax;
    for (ULONG index = 0; index < 16; index++) {
        registers[index] = 0x100 + index;
    }
    fixture->Context.Rsp = (ULONG_PTR)fixture->Stack;
    return fixture;
}

void UfClose(UF_FIXTURE *Fixture)
{
    RtlpRemoveImage(&Fixture->Image);
    free(Fixture->Stack);
    free(Fixture->Bytes);
}

ULONG UfAddInfo(UF_FIXTURE *Fixture, const void *Info, ULONG ByteCount)
{
    ULONG rva = Fixture->NextXdata;
    UfSetCode(Fixture, rva, Info, ByteCount);
    Fixture->NextXdata = (rva + ByteCount + 3) & ~3u;
    return rva;
}

RUNTIME_FUNCTION *UfAddFunction(UF_FIXTURE *Fixture, ULONG BeginRva, ULONG EndRva, const void *Info, ULONG ByteCount)
{
    RUNTIME_FUNCTION *table = (RUNTIME_FUNCTION *)(Fixture->Bytes + UF_PDATA_RVA);
    RUNTIME_FUNCTION *function = &table[Fixture->FunctionCount++];
    *function = (RUNTIME_FUNCTION){ .BeginAddress = BeginRva,
                                    .EndAddress = EndRva,
                                    .UnwindData = UfAddInfo(Fixture, Info, ByteCount) };
    Fixture->Image.FunctionCount = Fixture->FunctionCount;
    return function;
}

void UfSetCode(UF_FIXTURE *Fixture, ULONG Rva, const void *Code, ULONG ByteCount)
{
    for (ULONG index = 0; index < ByteCount; index++) {
        Fixture->Bytes[Rva + index] = ((const UCHAR *)Code)[index];
    }
}

NTSTATUS UfUnwind(UF_FIXTURE *Fixture, ULONG Rva, ULONG HandlerType)
{
    Fixture->Context.Rip = Fixture->Image.Base + Rva;
    Fixture->Unwind = (RTLP_UNWIND){
        .Image = &Fixture->Image,
        .ControlPc = Fixture->Context.Rip,
        .Context = &Fixture->Context,
        .Pointers = &Fixture->Pointers,
        .StackLow = (ULONG_PTR)Fixture->Stack,
        .StackHigh = (ULONG_PTR)(Fixture->Stack + UF_STACK_WORDS),
        .HandlerType = HandlerType,
    };
    return RtlpUnwind(&Fixture->Unwind, RtlpFindFunction(&Fixture->Image, Rva));
}
