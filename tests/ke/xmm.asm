; For tests: do the vector registers survive a call that should not change them?

%define SAVE_AT   0x20                  ; XMM6-15, behind the home space
%define MXCSR_AT  0xC0
%define WANTED_AT 0xC4
%define FRAME     0xC8

%include "kernel/amd64/unwind.mac"

        global KtFindChangedXmm

        section .text code align=16

; ULONG KtFindChangedXmm(ULONG64 Seed, void (*Routine)(void *Context), void *Context)
;
; Fill XMM0-15 and the rounding mode with values made from Seed, call Routine(Context), and return a mask of the
; registers that hold something else then: bit n for XMMn, bit 16 for MXCSR. Routine touches no vector register
; itself.
KtFindChangedXmm:
        push    rbx
.p1:    push    rsi
.p2:    sub     rsp, FRAME
.p3:
%assign n 6
%rep 10
        movaps  [rsp + SAVE_AT + (n - 6) * 16], xmm%[n]
%assign n n + 1
%endrep
        stmxcsr [rsp + MXCSR_AT]
        mov     rbx, rcx
        mov     eax, ecx
        and     eax, 3
        shl     eax, 13                 ; MXCSR.RC
        or      eax, 0x1F80
        mov     [rsp + WANTED_AT], eax
        ldmxcsr [rsp + WANTED_AT]
%assign n 0
%rep 16
        lea     rax, [rbx + n]
        movq    xmm%[n], rax
        punpcklqdq xmm%[n], xmm%[n]
%assign n n + 1
%endrep
        mov     rcx, r8
        call    rdx
        xor     esi, esi
%assign n 0
%rep 16
        lea     rax, [rbx + n]
        movq    rcx, xmm%[n]
        psrldq  xmm%[n], 8
        movq    rdx, xmm%[n]
        xor     rcx, rax
        xor     rdx, rax
        or      rcx, rdx
        jz      .same%[n]
        bts     esi, n
.same%[n]:
%assign n n + 1
%endrep
        mov     eax, [rsp + WANTED_AT]
        stmxcsr [rsp + WANTED_AT]
        cmp     eax, [rsp + WANTED_AT]
        je      .restore
        bts     esi, 16
.restore:
        ldmxcsr [rsp + MXCSR_AT]
%assign n 6
%rep 10
        movaps  xmm%[n], [rsp + SAVE_AT + (n - 6) * 16]
%assign n n + 1
%endrep
        mov     eax, esi
        add     rsp, FRAME
        pop     rsi
        pop     rbx
        ret
.end:

        section .xdata rdata align=4
        UNWIND_INFO UnwindFind, KtFindChangedXmm.p3 - KtFindChangedXmm, 4
        UNWIND_ALLOC_LARGE KtFindChangedXmm.p3 - KtFindChangedXmm, FRAME
        UNWIND_PUSH KtFindChangedXmm.p2 - KtFindChangedXmm, RSI
        UNWIND_PUSH KtFindChangedXmm.p1 - KtFindChangedXmm, RBX

        section .pdata rdata align=4
        FUNCTION KtFindChangedXmm, KtFindChangedXmm.end, UnwindFind
