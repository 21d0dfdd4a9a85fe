/*
 * What the driver kit's headers of mingw-w64 lack or have wrong, each with the document that it follows
 * (file names of MicrosoftDocs/windows-driver-docs-ddi). Nothing that those headers declare stands here.
 */
#pragma once

/* nf-wdm-mmmaplockedpagesspecifycache.md: bits that may be ORed into the page priority. */
#ifndef MdlMappingNoWrite
#define MdlMappingNoWrite       0x80000000
#define MdlMappingNoExecute     0x40000000
#define MdlMappingWithGuardPtes 0x20000000
#endif

/*
 * Structured exception handling (cpp-docs, exception-handling-x64.md; sdk-api, ns-winnt-runtime_function.md and
 * nf-winnt-rtlvirtualunwind.md). mingw-w64 declares these in winnt.h alone, which a driver cannot include.
 */
#define EXCEPTION_UNWINDING       0x02
#define EXCEPTION_EXIT_UNWIND     0x04
#define EXCEPTION_STACK_INVALID   0x08
#define EXCEPTION_NESTED_CALL     0x10
#define EXCEPTION_TARGET_UNWIND   0x20
#define EXCEPTION_COLLIDED_UNWIND 0x40
#define EXCEPTION_UNWIND \
    (EXCEPTION_UNWINDING | EXCEPTION_EXIT_UNWIND | EXCEPTION_TARGET_UNWIND | EXCEPTION_COLLIDED_UNWIND)

#define UNW_FLAG_NHANDLER  0x0
#define UNW_FLAG_EHANDLER  0x1
#define UNW_FLAG_UHANDLER  0x2
#define UNW_FLAG_CHAININFO 0x4

/* Rip is a return address, set by unwinding: the instruction that counts is the call before it. */
#define CONTEXT_UNWOUND_TO_CALL 0x20000000

typedef struct _IMAGE_RUNTIME_FUNCTION_ENTRY {
    ULONG BeginAddress;
    ULONG EndAddress;
    union {
        ULONG UnwindInfoAddress;
        ULONG UnwindData;
    };
} RUNTIME_FUNCTION, *PRUNTIME_FUNCTION;

#define UNWIND_HISTORY_TABLE_SIZE 12

typedef struct _UNWIND_HISTORY_TABLE_ENTRY {
    ULONG64           ImageBase;
    PRUNTIME_FUNCTION FunctionEntry;
} UNWIND_HISTORY_TABLE_ENTRY, *PUNWIND_HISTORY_TABLE_ENTRY;

typedef struct _UNWIND_HISTORY_TABLE {
    ULONG                      Count;
    UCHAR                      LocalHint;
    UCHAR                      GlobalHint;
    UCHAR                      Search;
    UCHAR                      Once;
    ULONG64                    LowAddress;
    ULONG64                    HighAddress;
    UNWIND_HISTORY_TABLE_ENTRY Entry[UNWIND_HISTORY_TABLE_SIZE];
} UNWIND_HISTORY_TABLE, *PUNWIND_HISTORY_TABLE;

typedef struct _DISPATCHER_CONTEXT {
    ULONG64               ControlPc;
    ULONG64               ImageBase;
    PRUNTIME_FUNCTION     FunctionEntry;
    ULONG64               EstablisherFrame;
    ULONG64               TargetIp;
    PCONTEXT              ContextRecord;
    PEXCEPTION_ROUTINE    LanguageHandler;
    PVOID                 HandlerData;
    PUNWIND_HISTORY_TABLE HistoryTable;
    ULONG                 ScopeIndex;
    ULONG                 Fill0;
} DISPATCHER_CONTEXT, *PDISPATCHER_CONTEXT;

typedef struct _KNONVOLATILE_CONTEXT_POINTERS {
    PM128A   FloatingContext[16];
    PULONG64 IntegerContext[16];
} KNONVOLATILE_CONTEXT_POINTERS, *PKNONVOLATILE_CONTEXT_POINTERS;

typedef struct _SCOPE_TABLE_AMD64 {
    ULONG Count;
    struct {
        ULONG BeginAddress;
        ULONG EndAddress;
        ULONG HandlerAddress;
        ULONG JumpTarget;
    } ScopeRecord[1];
} SCOPE_TABLE_AMD64, *PSCOPE_TABLE_AMD64;

/* Pool and pages: pool_flags.md; nf-wdm-exallocatepool2.md; nf-wdm-mmallocatepagesformdlex.md. */
#ifndef POOL_FLAG_NON_PAGED
typedef ULONG64 POOL_FLAGS;
#define POOL_FLAG_USE_QUOTA         0x0000000000000001ull
#define POOL_FLAG_UNINITIALIZED     0x0000000000000002ull
#define POOL_FLAG_SESSION           0x0000000000000004ull
#define POOL_FLAG_CACHE_ALIGNED     0x0000000000000008ull
#define POOL_FLAG_RESERVED1         0x0000000000000010ull
#define POOL_FLAG_RAISE_ON_FAILURE  0x0000000000000020ull
#define POOL_FLAG_NON_PAGED         0x0000000000000040ull
#define POOL_FLAG_NON_PAGED_EXECUTE 0x0000000000000080ull
#define POOL_FLAG_PAGED             0x0000000000000100ull
#define POOL_FLAG_RESERVED2         0x0000000000000200ull
#define POOL_FLAG_RESERVED3         0x0000000000000400ull
#define POOL_FLAG_SPECIAL_POOL      0x0000000100000000ull
#define POOL_FLAG_REQUIRED_END      0x0000000080000000ull

NTKERNELAPI PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
#endif

#ifndef MM_ALLOCATE_FAST_LARGE_PAGES
#define MM_ALLOCATE_FAST_LARGE_PAGES  0x00000040
#define MM_ALLOCATE_TRIM_IF_NECESSARY 0x00000080
#define MM_ALLOCATE_AND_HOT_REMOVE    0x00000100
#endif

/* Intrinsics that mingw-w64's intrin.h declares and clang's, which has the bodies, does not reach for this target. */
#define _disable() __asm__ volatile("cli" : : : "memory")
#define _enable()  __asm__ volatile("sti" : : : "memory")

/* Bug checks that the headers lack: bug-check-0xda--system-pte-misuse.md, -0x12e--invalid-mdl-range.md,
 * -0xc9--driver-verifier-iomanager-violation.md, -0x139--kernel-security-check-failure.md. */
#define SYSTEM_PTE_MISUSE 0x000000DAu
#ifndef DRIVER_VERIFIER_IOMANAGER_VIOLATION
#define DRIVER_VERIFIER_IOMANAGER_VIOLATION 0x000000C9u
#endif
#ifndef INVALID_MDL_RANGE
#define INVALID_MDL_RANGE 0x0000012Eu
#endif
#define KERNEL_SECURITY_CHECK_FAILURE 0x00000139u
#ifndef MACHINE_CHECK_EXCEPTION
#define MACHINE_CHECK_EXCEPTION 0x0000009Cu /* bug-check-0x9c--machine-check-exception.md */
#endif

/* mingw-w64 leaves this intrinsic to clang's own headers from clang 19 on, which for this target lack it too. */
void __cpuidex(int Registers[4], int Leaf, int Subleaf);
