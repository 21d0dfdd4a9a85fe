; The processor's registers as a CONTEXT, and the two calls of exception handling that need unwind data of their own.
;
; Offsets of CONTEXT and DISPATCHER_CONTEXT are asserted in kernel/ke/exdispatch.c.
CONTEXT_FLAGS   equ 0x30
CONTEXT_MXCSR   equ 0x34
CONTEXT_SEGCS   equ 0x38
CONTEXT_SEGSS   equ 0x42
CONTEXT_EFLAGS  equ 0x44
CONTEXT_RAX     equ 0x78        ; then RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15, RIP, 8 bytes each
CONTEXT_RDX     equ 0x88
CONTEXT_RSP     equ 0x98
CONTEXT_RBP     equ 0xA0
CONTEXT_RIP     equ 0xF8
CONTEXT_FLTSAVE_MXCSR equ 0x118
CONTEXT_XMM0    equ 0x1A0       ; XMM1 to XMM15 follow, 16 bytes each
CONTEXT_REGISTERS equ 0x100003  ; CONTEXT_CONTROL | CONTEXT_INTEGER
CONTEXT_FULL    equ 0x10000B    ; and CONTEXT_FLOATING_POINT
DISPATCHER_LANGUAGE_HANDLER equ 0x30
UNW_FLAGS_HANDLERS equ 3        ; UNW_FLAG_EHANDLER | UNW_FLAG_UHANDLER

        extern RtlpExceptionHandler, RtlpUnwindHandler
        global RtlCaptureContext, RtlpCaptureRegisters, RtlRestoreContext
        global KiSaveNonvolatileXmm, KiLoadNonvolatileXmm, RtlpExecuteHandlerForException, RtlpExecuteHandlerForUnwind

        section .xdata rdata align=4
        section .pdata rdata align=4
        section .text code align=16

; Vector registers %2 to %3 to (store) or from (load) the CONTEXT at RCX.
%macro VECTORS 3
%assign n %2
%rep %3 - %2 + 1
%ifidn %1, store
        movups  [rcx + CONTEXT_XMM0 + n * 16], xmm%[n]
%else
        movups  xmm%[n], [rcx + CONTEXT_XMM0 + n * 16]
%endif
%assign n n + 1
%endrep
%endmacro

; The same for the registers named from %3 on, which stand one after the other from offset %2 of the CONTEXT.
%macro REGISTERS 3-*
%define direction %1
%assign offset %2
%rotate 2
%rep %0 - 2
%ifidn direction, store
        mov     [rcx + offset], %1
%else
        mov     %1, [rcx + offset]
%endif
%assign offset offset + 8
%rotate 1
%endrep
%endmacro

; Function %1's prologue moves RSP down by %2 bytes and nothing else; %3 are its flags, %4 is its handler if it has one:
; one UWOP_ALLOC_SMALL in unwind information of version 1.
%macro UNWIND_DATA 3-4
        section .xdata
%%info: db      1 | %3 << 3, %1.prologue_end - %1, 1, 0
        db      %1.prologue_end - %1, 2 | (%2 / 8 - 1) << 4, 0, 0
%if %0 == 4
        dd      %4 wrt ..imagebase
%endif
        section .pdata
        dd      %1 wrt ..imagebase, %1.end wrt ..imagebase, %%info wrt ..imagebase
        section .text
%endmacro

; VOID RtlCaptureContext(PCONTEXT ContextRecord): all of it, as it is when the call returns.
RtlCaptureContext:
        mov     dword [rcx + CONTEXT_FLAGS], CONTEXT_FULL
        VECTORS store, 0, 15
        stmxcsr [rcx + CONTEXT_MXCSR]
        stmxcsr [rcx + CONTEXT_FLTSAVE_MXCSR]
        jmp     RtlpStoreRegisters
; void RtlpCaptureRegisters(CONTEXT *Context): the integer and control registers.
RtlpCaptureRegisters:
        mov     dword [rcx + CONTEXT_FLAGS], CONTEXT_REGISTERS
RtlpStoreRegisters:
        pushfq
.prologue_end:
        REGISTERS store, CONTEXT_RAX, rax, rcx, rdx, rbx
        REGISTERS store, CONTEXT_RBP, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        lea     rax, [rsp + 16]         ; behind the flags and the return address
        mov     [rcx + CONTEXT_RSP], rax
        mov     rax, [rsp + 8]
        mov     [rcx + CONTEXT_RIP], rax
        mov     eax, [rsp]
        mov     [rcx + CONTEXT_EFLAGS], eax
        mov     [rcx + CONTEXT_SEGCS], cs
        mov     [rcx + CONTEXT_SEGSS], ss
        add     rsp, 8
        ret
.end:
        UNWIND_DATA RtlpStoreRegisters, 8, 0

; VOID RtlRestoreContext(PCONTEXT ContextRecord, PEXCEPTION_RECORD ExceptionRecord): become ContextRecord; no return.
; The machine frame is built before any register is lost, and RCX, which holds the CONTEXT, is loaded last.
        align 16
RtlRestoreContext:
        sub     rsp, 0x28
.prologue_end:
        mov     rax, [rcx + CONTEXT_RIP]
        mov     [rsp], rax
        movzx   eax, word [rcx + CONTEXT_SEGCS]
        mov     [rsp + 0x08], rax
        mov     eax, [rcx + CONTEXT_EFLAGS]
        mov     [rsp + 0x10], rax
        mov     rax, [rcx + CONTEXT_RSP]
        mov     [rsp + 0x18], rax
        movzx   eax, word [rcx + CONTEXT_SEGSS]
        mov     [rsp + 0x20], rax
        VECTORS load, 0, 15
        ldmxcsr [rcx + CONTEXT_MXCSR]
        REGISTERS load, CONTEXT_RBP, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        REGISTERS load, CONTEXT_RDX, rdx, rbx
        REGISTERS load, CONTEXT_RAX, rax, rcx
        iretq
.end:
        UNWIND_DATA RtlRestoreContext, 0x28, 0

; void KiSaveNonvolatileXmm(CONTEXT *Context), void KiLoadNonvolatileXmm(const CONTEXT *Context): XMM6 to XMM15.
        align 16
KiSaveNonvolatileXmm:
        VECTORS store, 6, 15
        ret
KiLoadNonvolatileXmm:
        VECTORS load, 6, 15
        ret

; EXCEPTION_DISPOSITION %1(EXCEPTION_RECORD *, PVOID EstablisherFrame, CONTEXT *, DISPATCHER_CONTEXT *): call the
; language handler of the DISPATCHER_CONTEXT, which is kept at [rsp + 0x20] for %2, this function's own handler.
%macro EXECUTE_HANDLER 2
        align 16
%1:     sub     rsp, 0x28
.prologue_end:
        mov     [rsp + 0x20], r9
        call    [r9 + DISPATCHER_LANGUAGE_HANDLER]
        nop                             ; the return address must not stand in the epilogue: no handler is called there
        add     rsp, 0x28
        ret
.end:
        UNWIND_DATA %1, 0x28, UNW_FLAGS_HANDLERS, %2
%endmacro

        EXECUTE_HANDLER RtlpExecuteHandlerForException, RtlpExceptionHandler
        EXECUTE_HANDLER RtlpExecuteHandlerForUnwind, RtlpUnwindHandler
