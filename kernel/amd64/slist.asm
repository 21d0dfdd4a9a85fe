; Sequenced singly linked lists: SLIST_HEADER is 16 bytes, changed with one CMPXCHG16B.
;
; First quadword: depth in bits 0-15, a sequence number above it that each push counts up, so that a header never
; comes back while somebody is between reading and exchanging it. Second quadword: the first entry's address, whose
; low four bits are free; bit 0 says that the header is one of 16 bytes. Entries are 16-aligned.
;
; A pop reads the link of an entry that another CPU may have taken and freed meanwhile. If that read faults, the page
; fault handler resumes at ExpInterlockedPopEntrySListResume, provided that the header has changed
; (ExpResumeSListPop).

HEADER16        equ 1
ENTRY_MASK      equ -16
DEPTH_AND_SEQUENCE equ 0x10001          ; one more entry, and one more push

%include "kernel/amd64/unwind.mac"

        global ExpInterlockedPopEntrySList, ExpInterlockedPushEntrySList, ExpInterlockedFlushSList
        global ExpInterlockedPopEntrySListResume, ExpInterlockedPopEntrySListFault, ExpInterlockedPopEntrySListEnd

        section .xdata rdata align=4
        UNWIND_INFO UnwindPushRbx, 1, 1
        UNWIND_PUSH 1, RBX
        align   4, db 0

        section .pdata rdata align=4
        section .text code align=16

%macro FUNCTION_END 1
%%end:
        section .pdata
        FUNCTION %1, %%end, UnwindPushRbx
        section .text
        align   16
%endmacro

; PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER ListHead): the first entry, or NULL. Any IRQL.
; ExpResumeSListPop knows that RCX's copy R8 is the header and RAX the first quadword as it was read.
ExpInterlockedPopEntrySList:
        push    rbx
        mov     r8, rcx
ExpInterlockedPopEntrySListResume:
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
        mov     r9, rdx
        and     r9, ENTRY_MASK
        jz      PopDone
        lea     rbx, [rax - 1]
ExpInterlockedPopEntrySListFault:
        mov     rcx, [r9]
        or      rcx, HEADER16
        lock cmpxchg16b [r8]
ExpInterlockedPopEntrySListEnd:
        jne     ExpInterlockedPopEntrySListResume
PopDone:
        mov     rax, r9
        pop     rbx
        ret
        FUNCTION_END ExpInterlockedPopEntrySList

; PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER ListHead, PSLIST_ENTRY ListEntry): what was first, or NULL.
; Any IRQL.
ExpInterlockedPushEntrySList:
        push    rbx
        mov     r8, rcx
        mov     r9, rdx
        lea     rcx, [rdx + HEADER16]
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
.again:
        mov     r10, rdx
        and     r10, ENTRY_MASK
        mov     [r9], r10
        lea     rbx, [rax + DEPTH_AND_SEQUENCE]
        lock cmpxchg16b [r8]
        jne     .again
        mov     rax, r10
        pop     rbx
        ret
        FUNCTION_END ExpInterlockedPushEntrySList

; PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER ListHead): all entries, linked; or NULL. Any IRQL.
ExpInterlockedFlushSList:
        push    rbx
        mov     r8, rcx
        mov     rax, [r8]
        mov     rdx, [r8 + 8]
        mov     ecx, HEADER16
.again:
        mov     r9, rdx
        and     r9, ENTRY_MASK
        jz      .done
        mov     rbx, rax
        xor     bx, bx
        lock cmpxchg16b [r8]
        jne     .again
.done:
        mov     rax, r9
        pop     rbx
        ret
        FUNCTION_END ExpInterlockedFlushSList
