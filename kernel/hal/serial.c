/*
 * COM1: a 16550 at its ISA address, polled. The transmitter's FIFO holds 16 bytes, so its state is read once for each
 * 16: under the emulator every port access is a trip out of the guest.
 */
#include "kernel/hal/serial.h"

#define COM1            0x3F8u
#define UART_DATA       (COM1 + 0)
#define UART_IER        (COM1 + 1) /* interrupt enable */
#define UART_DIVISOR_LO (COM1 + 0) /* with LCR_DLAB */
#define UART_DIVISOR_HI (COM1 + 1) /* with LCR_DLAB */
#define UART_FCR        (COM1 + 2) /* FIFO control */
#define UART_LCR        (COM1 + 3) /* line control */
#define UART_MCR        (COM1 + 4) /* modem control */
#define UART_LSR        (COM1 + 5) /* line status */

#define LCR_8N1       0x03u
#define LCR_DLAB      0x80u
#define FCR_ENABLE    0x07u /* on, both FIFOs emptied */
#define MCR_DTR_RTS   0x03u
#define LSR_THR_EMPTY 0x20u /* the FIFO is empty: 16 bytes may follow */

#define FIFO_BYTES     16u
#define DIVISOR_115200 1u /* 1.8432 MHz / 16 / 115200 */

/* Sixteen bytes take 1.4 ms at 115200; a read of the port takes about 1 us on hardware. Ten times that. */
#define WAIT_READS_MAX 14000u

void HalpInitializeSerial(void)
{
    __outbyte(UART_IER, 0);
    __outbyte(UART_LCR, LCR_DLAB);
    __outbyte(UART_DIVISOR_LO, DIVISOR_115200);
    __outbyte(UART_DIVISOR_HI, 0);
    __outbyte(UART_LCR, LCR_8N1);
    __outbyte(UART_FCR, FCR_ENABLE);
    __outbyte(UART_MCR, MCR_DTR_RTS);
}

static void HalpWaitForTransmitter(void)
{
    for (ULONG i = 0; i < WAIT_READS_MAX && (__inbyte(UART_LSR) & LSR_THR_EMPTY) == 0; i++) {
        YieldProcessor();
    }
}

void HalpSerialWrite(const char *Text, SIZE_T Bytes)
{
    for (SIZE_T i = 0; i < Bytes; i++) {
        if (i % FIFO_BYTES == 0) {
            HalpWaitForTransmitter();
        }
        __outbyte(UART_DATA, (UCHAR)Text[i]);
    }
}
