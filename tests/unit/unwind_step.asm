; void StepCall(STEP_EXPECTED *Expected): call StepSubject one instruction at a time, with known values in every
; nonvolatile register. Expected gets the return address and RSP that each unwind must arrive at.
        global StepCall
        extern StepSubject

TRAP_FLAG       equ 0x100

        section .text code align=16
StepCall:
%macro EACH 1
        %1      rbx
        %1      rbp
        %1      rsi
        %1      rdi
        %1      r12
        %1      r13
        %1      r14
        %1      r15
%endmacro
        EACH    push
        sub     rsp, 0xC8
%assign n 6
%rep 10
        movaps  [rsp + 0x20 + (n - 6) * 16], xmm%[n]
        mov     eax, 0x6600 + n         ; STEP_XMM + n
        movd    xmm%[n], eax
        punpcklqdq xmm%[n], xmm%[n]
%assign n n + 1
%endrep
        lea     rax, [rel .returned]
        mov     [rcx], rax
        mov     [rcx + 8], rsp
        mov     ebx, 0x5503             ; STEP_INTEGER + the register's number
        mov     ebp, 0x5505
        mov     esi, 0x5506
        mov     edi, 0x5507
        mov     r12d, 0x550C
        mov     r13d, 0x550D
        mov     r14d, 0x550E
        mov     r15d, 0x550F
        pushfq
        or      qword [rsp], TRAP_FLAG
        popfq
        call    StepSubject             ; the first trap comes behind this instruction
.returned:
        pushfq
        and     qword [rsp], ~TRAP_FLAG
        popfq
%assign n 6
%rep 10
        movaps  xmm%[n], [rsp + 0x20 + (n - 6) * 16]
%assign n n + 1
%endrep
        add     rsp, 0xC8
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rdi
        pop     rsi
        pop     rbp
        pop     rbx
        ret
