#!/usr/bin/python3
"""Make the binding tables and the export directory of ntoskrnl.exe from io/exports.def.

    exports.py EXPORTS.def BINDINGS.c NTOSKRNL.def

A line of the input is one export:

    Name [impl=CName] [tracked=CName] [verified=CName] [data]
    Name stub

Name is what drivers import; impl the C symbol that carries it out, by default Name itself; tracked and verified the
entries that stand before it (io/binding.h), by default none; data marks a variable, stub a name without a body: a
function is made that says so when it is called (io/stub.h). `#` begins a comment. Lines are
sorted by name, byte by byte, since imports are found by binary search.
"""

import re
import sys
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_OPTIONS = ("impl", "tracked", "verified")
_STUB = "LdrpStub_"


class FormatError(Exception):
    pass


@dataclass
class Export:
    name: str
    impl: str
    tracked: str
    verified: str
    data: bool

    def entries(self):
        """The symbols of the three bindings, in the order of LDRP_BINDING."""
        return self.impl, self.tracked, self.verified


def parse_line(text):
    words = text.split()
    options = {}
    data = False
    if words[1:] == ["stub"]:
        options["impl"] = _STUB + words[0]
        words = words[:1]
    for word in words[1:]:
        key, separator, value = word.partition("=")
        if word == "data" and not data:
            data = True
        elif separator and key in _OPTIONS and key not in options and _NAME.match(value):
            options[key] = value
        else:
            raise FormatError(f"what is {word!r}?")
    if not _NAME.match(words[0]):
        raise FormatError(f"{words[0]!r} is not a name")
    if data and ("tracked" in options or "verified" in options):
        raise FormatError("a variable has no entries")
    impl = options.get("impl", words[0])
    tracked = options.get("tracked", impl)
    return Export(words[0], impl, tracked, options.get("verified", tracked), data)


def parse(lines):
    exports = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0]
        if not text.strip():
            continue
        try:
            export = parse_line(text)
            if exports and exports[-1].name >= export.name:
                raise FormatError(f"{export.name} does not sort behind {exports[-1].name}")
        except FormatError as error:
            raise FormatError(f"{number}: {error}") from None
        exports.append(export)
    if not exports:
        raise FormatError("1: no exports")
    return exports


def bindings(exports):
    """The C source of LdrpExports. Symbols are declared by their assembly names: their C types do not matter here."""
    symbols = sorted({symbol for export in exports for symbol in export.entries()})
    yield "/* Generated from io/exports.def by scripts/exports.py. */"
    yield '#include "io/binding.h"'
    yield '#include "io/stub.h"'
    yield ""
    for export in exports:
        if export.impl == _STUB + export.name:
            yield f"LDRP_STUB({export.name})"
    yield ""
    for symbol in symbols:
        yield f'extern char LdrpEntry_{symbol}[] __asm__("{symbol}");'
    yield ""
    yield "const LDRP_EXPORT LdrpExports[] = {"
    for export in exports:
        entries = ", ".join(f"LdrpEntry_{symbol}" for symbol in export.entries())
        yield f'    {{ "{export.name}", {{ {entries} }} }},'
    yield "};"
    yield ""
    yield "const ULONG LdrpExportCount = RTL_NUMBER_OF(LdrpExports);"


def definition(exports):
    """The module definition file for the linker: the export directory names the bare bodies."""
    yield "LIBRARY ntoskrnl.exe"
    yield "EXPORTS"
    for export in exports:
        alias = f" = {export.impl}" if export.impl != export.name else ""
        yield f"    {export.name}{alias}{' DATA' if export.data else ''}"


def write(path, lines):
    with open(path, "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in lines)


def main(arguments):
    if len(arguments) != 3:
        print("usage: exports.py EXPORTS.def BINDINGS.c NTOSKRNL.def", file=sys.stderr)
        return 2
    source, bindings_path, definition_path = arguments
    try:
        with open(source, encoding="ascii") as file:
            exports = parse(file)
    except FormatError as error:
        print(f"{source}:{error}", file=sys.stderr)
        return 1
    write(bindings_path, bindings(exports))
    write(definition_path, definition(exports))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
