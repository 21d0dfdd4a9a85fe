; Interrupt and exception entry: one stub a vector, one common path that makes a KTRAP_FRAME (kernel/ke/trapframe.h) and
; calls KiHandleTrap with it, one exit that restores everything. Vectors that may arrive with either GS base (NMI,
; double fault, machine check, debug) take the path that looks at the GS base itself. The unwind data describe each
; instruction boundary of the stubs and the frame of the common path, so that stacks are exact across any interrupt.

default rel

%include "kernel/amd64/unwind.mac"

%define TF_XMM      0x020       ; six of them
%define TF_RAX      0x080       ; rcx rdx r8 r9 r10 r11 follow
%define TF_RBX      0x0B8       ; rsi rdi r12 r13 r14 r15 follow
%define TF_FAULT    0x0F0
%define TF_MXCSR    0x0F8
%define TF_IRQL     0x0FC
%define TF_SWAPPED  0x0FD
%define TF_RBP      0x100
%define TF_RIP      0x118
%define TF_CS       0x120
%define PCR_MXCSR   0x180
%define MSR_GS_BASE 0xC0000101
%define STUB_BYTES  16          ; KI_STUB_BYTES in kernel/ke/trap.c

extern KiHandleTrap
global KiVectorStubs, KiTrapEntry

; MOVES save|load, offset, register...: to or from consecutive slots of the frame
%macro MOVES 3-*
    %assign slot %2
    %define way %1
    %rotate 2
    %rep %0 - 2
        %ifidn way, save
            mov [rsp + slot], %1
        %else
            mov %1, [rsp + slot]
        %endif
        %assign slot slot + 8
        %rotate 1
    %endrep
%endmacro

; What the stub of vector %1 is like: does the processor push an error code, and may GS be anyone's?
%macro DESCRIBE 1
    %define stub_unwind UnwindStubNoError
    %define stub_entry KiTrapEntry
    %if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30
        %define stub_unwind UnwindStubError
    %endif
    %if %1 == 1 || %1 == 2 || %1 == 8 || %1 == 18
        %define stub_entry KiParanoidEntry
    %endif
%endmacro

section .text align=STUB_BYTES
KiVectorStubs:
%assign vector 0
%rep 256
    align STUB_BYTES
    DESCRIBE vector
    KiVector%[vector]:
    %ifidn stub_unwind, UnwindStubNoError
        push strict byte 0
    %endif
        push strict dword vector
        jmp near stub_entry
    KiVectorEnd%[vector]:
    %assign vector vector + 1
%endrep
    align STUB_BYTES

; TRAP_ENTRY name, label of its IRETQ; the macro FOREIGN_GS jumps to .kernel_gs when GS is the kernel's.
; RSP -> vector, error code, RIP, CS, RFLAGS, RSP, SS.
%macro TRAP_ENTRY 2
%1:
    push rbp
    sub rsp, TF_RBP
    MOVES save, TF_RBX, rbx, rsi, rdi, r12, r13, r14, r15
    MOVES save, TF_RAX, rax, rcx, rdx, r8, r9, r10, r11
    %assign number 0
    %rep 6
        movaps [rsp + TF_XMM + 16 * number], xmm%[number]
        %assign number number + 1
    %endrep
    stmxcsr [rsp + TF_MXCSR]
    mov rax, cr2
    mov [rsp + TF_FAULT], rax
    mov rax, cr8
    mov [rsp + TF_IRQL], al
    mov byte [rsp + TF_SWAPPED], 0
    cld
    clac
    FOREIGN_GS
    swapgs
    mov byte [rsp + TF_SWAPPED], 1
.kernel_gs:
    ldmxcsr [gs:PCR_MXCSR]
    mov rcx, rsp
    call KiHandleTrap
    cmp byte [rsp + TF_SWAPPED], 0
    je .restore
    swapgs
.restore:
    ldmxcsr [rsp + TF_MXCSR]
    %assign number 0
    %rep 6
        movaps xmm%[number], [rsp + TF_XMM + 16 * number]
        %assign number number + 1
    %endrep
    MOVES load, TF_RAX, rax, rcx, rdx, r8, r9, r10, r11
    MOVES load, TF_RBX, rbx, rsi, rdi, r12, r13, r14, r15
    mov rbp, [rsp + TF_RBP]
    add rsp, TF_RIP
%2:
    iretq
.end:
%endmacro

%macro FOREIGN_GS 0
    test byte [rsp + TF_CS], 3
    jz .kernel_gs
%endmacro
    TRAP_ENTRY KiTrapEntry, KiTrapReturn
%unmacro FOREIGN_GS 0

%macro FOREIGN_GS 0
    mov ecx, MSR_GS_BASE
    rdmsr
    test edx, edx
    js .kernel_gs               ; a kernel address: GS is ours
%endmacro
    TRAP_ENTRY KiParanoidEntry, KiParanoidReturn

section .xdata rdata align=4
; push byte 0 ends at 2, push dword at 7
    UNWIND_INFO UnwindStubNoError, 7, 3
    UNWIND_ALLOC_SMALL 7, 8
    UNWIND_ALLOC_SMALL 2, 8
    UNWIND_MACHINE_FRAME 0, 0
; push dword ends at 5; the machine frame holds an error code
    UNWIND_INFO UnwindStubError, 5, 2
    UNWIND_ALLOC_SMALL 5, 8
    UNWIND_MACHINE_FRAME 0, 1
    UNWIND_INFO UnwindIret, 0, 1
    UNWIND_MACHINE_FRAME 0, 0
; push rbp ends at 1, sub at 8, then come seven moves of 8 bytes each
    UNWIND_INFO UnwindEntry, 64, 19
    UNWIND_SAVE 64, R15, TF_RBX + 48
    UNWIND_SAVE 56, R14, TF_RBX + 40
    UNWIND_SAVE 48, R13, TF_RBX + 32
    UNWIND_SAVE 40, R12, TF_RBX + 24
    UNWIND_SAVE 32, RDI, TF_RBX + 16
    UNWIND_SAVE 24, RSI, TF_RBX + 8
    UNWIND_SAVE 16, RBX, TF_RBX
    UNWIND_ALLOC_LARGE 8, TF_RBP
    UNWIND_PUSH 1, RBP
    UNWIND_ALLOC_SMALL 0, 16    ; vector and error code
    UNWIND_MACHINE_FRAME 0, 0
    align 4, db 0

section .pdata rdata align=4
%assign vector 0
%rep 256
    DESCRIBE vector
    FUNCTION KiVector%[vector], KiVectorEnd%[vector], stub_unwind
    %assign vector vector + 1
%endrep
    FUNCTION KiTrapEntry, KiTrapReturn, UnwindEntry
    FUNCTION KiTrapReturn, KiTrapReturn.end, UnwindIret
    FUNCTION KiParanoidEntry, KiParanoidReturn, UnwindEntry
    FUNCTION KiParanoidReturn, KiParanoidReturn.end, UnwindIret
