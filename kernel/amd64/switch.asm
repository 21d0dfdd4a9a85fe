; The context switch and a thread's first instructions.
;
; A thread that does not run keeps on its stack what KI_SWITCH_FRAME (kernel/ke/thread.c) describes: RFLAGS and the
; nonvolatile integer registers; its x87 and vector state lies in KTHREAD.FloatingState. RFLAGS are the thread's own: AC
; is set in thread code and clear in code that an interrupt entered.

THREAD_KERNEL_STACK equ 0x18            ; KTHREAD, asserted in kernel/ke/thread.h
THREAD_FLOATING     equ 0x30
PCR_CURRENT_THREAD  equ 0x188           ; asserted in kernel/ke/pcr.h

UWOP_PUSH_NONVOL equ 0
UWOP_ALLOC_SMALL equ 2
RBX_ equ 3
RBP_ equ 5
RSI_ equ 6
RDI_ equ 7

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
KiSwapContextEnd:

; A new thread's first switch returns here, with RSP as at a function's entry: 0 is the return address, so that stacks
; end.
        align   16
KiThreadStartup:
        sub     rsp, 0x28
.prologue_end:
        call    KiEnterThread
        int3
KiThreadStartupEnd:

        section .xdata rdata align=4
UnwindSwap:
        db      1, KiSwapContext.p9 - KiSwapContext, 9, 0
        db      KiSwapContext.p9 - KiSwapContext, UWOP_ALLOC_SMALL
        db      KiSwapContext.p8 - KiSwapContext, UWOP_PUSH_NONVOL | (15 << 4)
        db      KiSwapContext.p7 - KiSwapContext, UWOP_PUSH_NONVOL | (14 << 4)
        db      KiSwapContext.p6 - KiSwapContext, UWOP_PUSH_NONVOL | (13 << 4)
        db      KiSwapContext.p5 - KiSwapContext, UWOP_PUSH_NONVOL | (12 << 4)
        db      KiSwapContext.p4 - KiSwapContext, UWOP_PUSH_NONVOL | (RDI_ << 4)
        db      KiSwapContext.p3 - KiSwapContext, UWOP_PUSH_NONVOL | (RSI_ << 4)
        db      KiSwapContext.p2 - KiSwapContext, UWOP_PUSH_NONVOL | (RBX_ << 4)
        db      KiSwapContext.p1 - KiSwapContext, UWOP_PUSH_NONVOL | (RBP_ << 4)
        dw      0                       ; the codes' number is rounded up to even
UnwindStartup:
        db      1, KiThreadStartup.prologue_end - KiThreadStartup, 1, 0
        db      KiThreadStartup.prologue_end - KiThreadStartup, UWOP_ALLOC_SMALL | ((0x28 / 8 - 1) << 4)
        dw      0

        section .pdata rdata align=4
        dd      KiSwapContext wrt ..imagebase, KiSwapContextEnd wrt ..imagebase, UnwindSwap wrt ..imagebase
        dd      KiThreadStartup wrt ..imagebase, KiThreadStartupEnd wrt ..imagebase, UnwindStartup wrt ..imagebase
