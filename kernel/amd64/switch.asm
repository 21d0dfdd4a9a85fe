; The context switch and a thread's first instructions.
;
; A thread that does not run keeps on its stack what KI_SWITCH_FRAME (kernel/ke/thread.c) describes: RFLAGS and the
; nonvolatile integer registers; its x87 and vector state lies in KTHREAD.FloatingState. RFLAGS are the thread's own: AC
; is set in thread code and clear in code that an interrupt entered.

THREAD_KERNEL_STACK equ 0x18            ; KTHREAD, asserted in kernel/ke/thread.h
THREAD_FLOATING     equ 0x30
PCR_CURRENT_THREAD  equ 0x188           ; asserted in kernel/ke/pcr.h

%include "kernel/amd64/unwind.mac"

        extern KiEnterThread
        global KiSwapContext, KiSwapContextResume, KiThreadStartup

        section .text code align=16

; VOID KiSwapContext(KTHREAD *From, KTHREAD *To)
;
; Between the two stack pointers interrupts are off: an interrupt would find a stack that is not the current thread's.
KiSwapContext:
        push    rbp
.p1:    push    rbx
.p2:    push    rsi
.p3:    push    rdi
.p4:    push    r12
.p5:    push    r13
.p6:    push    r14
.p7:    push    r15
.p8:    pushfq
.p9:    mov     rax, [rcx + THREAD_FLOATING]
        fxsave64 [rax]
        mov     rax, [rdx + THREAD_FLOATING]
        cli
        mov     [rcx + THREAD_KERNEL_STACK], rsp
        mov     rsp, [rdx + THREAD_KERNEL_STACK]
        mov     [gs:PCR_CURRENT_THREAD], rdx
KiSwapContextResume:
        fxrstor64 [rax]
        popfq
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbx
        pop     rbp
        ret
.end:

; A new thread's first switch returns here, with RSP as at a function's entry: 0 is the return address, so that stacks
; end.
        align   16
KiThreadStartup:
        sub     rsp, 0x28
.prologue_end:
        call    KiEnterThread
        int3
.end:

        section .xdata rdata align=4
        UNWIND_INFO UnwindSwap, KiSwapContext.p9 - KiSwapContext, 9
        UNWIND_ALLOC_SMALL KiSwapContext.p9 - KiSwapContext, 8
        UNWIND_PUSH KiSwapContext.p8 - KiSwapContext, R15
        UNWIND_PUSH KiSwapContext.p7 - KiSwapContext, R14
        UNWIND_PUSH KiSwapContext.p6 - KiSwapContext, R13
        UNWIND_PUSH KiSwapContext.p5 - KiSwapContext, R12
        UNWIND_PUSH KiSwapContext.p4 - KiSwapContext, RDI
        UNWIND_PUSH KiSwapContext.p3 - KiSwapContext, RSI
        UNWIND_PUSH KiSwapContext.p2 - KiSwapContext, RBX
        UNWIND_PUSH KiSwapContext.p1 - KiSwapContext, RBP
        UNWIND_INFO UnwindStartup, KiThreadStartup.prologue_end - KiThreadStartup, 1
        UNWIND_ALLOC_SMALL KiThreadStartup.prologue_end - KiThreadStartup, 0x28
        align   4, db 0

        section .pdata rdata align=4
        FUNCTION KiSwapContext, KiSwapContextResume.end, UnwindSwap
        FUNCTION KiThreadStartup, KiThreadStartup.end, UnwindStartup
