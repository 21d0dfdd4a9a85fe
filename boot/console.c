/*
 * COM1 by its registers, the screen by the firmware. No state but the screen's device.
 */
#include "boot/console.h"

#include <efi.h>
#include <efilib.h>

#include "boot/cpu.h"
#include "boot/graphics.h"

/* A 16550's registers, from the port's base; with DLAB set the first two hold the divisor. */
#define COM1                0x3F8u
#define UART_DATA           (COM1 + 0u)
#define UART_INTERRUPTS     (COM1 + 1u)
#define UART_FIFO_CONTROL   (COM1 + 2u)
#define UART_LINE_CONTROL   (COM1 + 3u)
#define UART_MODEM_CONTROL  (COM1 + 4u)
#define UART_LINE_STATUS    (COM1 + 5u)
#define UART_8N1            0x03u
#define UART_DLAB           0x80u
#define UART_FIFO_ENABLE    0x07u /* and clear both */
#define UART_DTR_RTS        0x03u
#define UART_CAN_SEND       0x20u
#define UART_DIVISOR_115200 1u
#define UART_SEND_ATTEMPTS  100000u /* a port that is not there must not stop the boot */

#define EXIT_PORT          0xF4u /* QEMU's isa-debug-exit: status is twice the value plus one */
#define EXIT_LOADER_FAILED 0x13u

#define LINE_BYTES 256u

static SIMPLE_TEXT_OUTPUT_INTERFACE *BlScreen; /* NULL: no screen, or boot services are gone */

static void SendByte(uint8_t Byte)
{
    for (unsigned i = 0; i < UART_SEND_ATTEMPTS && (BlInByte(UART_LINE_STATUS) & UART_CAN_SEND) == 0; i++) {
        __builtin_ia32_pause();
    }
    BlOutByte(UART_DATA, Byte);
}

static void InitializeSerialPort(void)
{
    BlOutByte(UART_INTERRUPTS, 0);
    BlOutByte(UART_LINE_CONTROL, UART_DLAB | UART_8N1);
    BlOutByte(UART_DATA, UART_DIVISOR_115200);
    BlOutByte(UART_INTERRUPTS, 0); /* the divisor's high byte */
    BlOutByte(UART_LINE_CONTROL, UART_8N1);
    BlOutByte(UART_FIFO_CONTROL, UART_FIFO_ENABLE);
    BlOutByte(UART_MODEM_CONTROL, UART_DTR_RTS);
}

void BlInitializeConsole(void)
{
    EFI_HANDLE adapter = BlFindGraphicsAdapter();

    InitializeSerialPort();
    SendByte('\n');
    if (adapter == NULL || EFI_ERROR(BS->HandleProtocol(adapter, &TextOutProtocol, (void **)&BlScreen))) {
        BlScreen = NULL;
    }
}

static void ShowOnScreen(const char *Line)
{
    CHAR16 text[LINE_BYTES + 2]; /* the line, CR, LF, NUL */
    size_t count = 0;

    for (; Line[count] != '\0'; count++) {
        text[count] = (CHAR16)(uint8_t)Line[count];
    }
    text[count++] = L'\r';
    text[count++] = L'\n';
    text[count] = L'\0';
    (void)BlScreen->OutputString(BlScreen, text); /* the serial line has it too */
}

void BlPrintLine(const char *Format, ...)
{
    char    line[LINE_BYTES] = "# ";
    va_list arguments;

    va_start(arguments, Format);
    BlFormatV(line + 2, sizeof(line) - 2, Format, arguments);
    va_end(arguments);
    for (size_t i = 0; line[i] != '\0'; i++) {
        SendByte((uint8_t)line[i]);
    }
    SendByte('\n');
    if (BlScreen != NULL) {
        ShowOnScreen(line);
    }
}

void BlDetachScreen(void)
{
    BlScreen = NULL;
}

void BlReportFault(const BL_FAULT *Fault)
{
    BlPrintLine("loader: %s", Fault->Text);
    if (BlIsVirtualMachine()) {
        BlOutDword(EXIT_PORT, EXIT_LOADER_FAILED);
    }
    for (;;) {
        BlHalt();
    }
}
