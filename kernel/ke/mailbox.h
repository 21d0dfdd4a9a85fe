/*
 * The mailbox protocol between CPUs, for its two users: shootdowns (tlb.c) and calls (ipi.c). Explained in ipi.c.
 */
#pragma once

#include "kernel/ke/pcr.h"

/*
 * Set this CPU's bit in the mailbox at MailboxOffset of each target's PRCB, interrupting those that were empty; how
 * many were.
 */
ULONG KiPostToMailboxes(SIZE_T MailboxOffset, LONG64 Targets);

/* Wait at IPI_LEVEL until *Unanswered is empty, serving this CPU's mailboxes meanwhile. */
void KiWaitForAnswers(volatile LONG64 *Unanswered);

/* Answer whatever waits here. IPI_LEVEL. */
void KiServeMailboxes(void);
void KiServeTlbRequests(KPRCB *Prcb);

/* The handler of KI_VECTOR_IPI. */
void KiIpiInterrupt(KTRAP_FRAME *Frame);
