/*
 * The loader's voice: COM1 and the screen, line by line.
 *
 * The serial port is driven directly, because the log that tests read is made of plain lines while the firmware's
 * serial console writes escape sequences. For the same reason the screen is the text device that sits on the graphics
 * adapter itself, not the firmware's console, which also goes to the serial port.
 */
#pragma once

#include "boot/text.h"

/* => boot services are there. Sets COM1 to 115200 8N1 and ends whatever line the firmware left open on it. */
void BlInitializeConsole(void);

/* Print "# ", the text, and a line end. After BlDetachScreen on the serial port alone. */
__attribute__((format(printf, 1, 2))) void BlPrintLine(const char *Format, ...);

/* Boot services end: the screen's driver is gone. */
void BlDetachScreen(void);

/*
 * Report the fault as the last line of the log and end the machine: QEMU, if its exit device is there, with status 39.
 * Any other stands still, so that the line stays on the screen.
 */
__attribute__((noreturn)) void BlReportFault(const BL_FAULT *Fault);
