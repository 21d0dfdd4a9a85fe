"""The command line of scripts/pinfold: options in, exit status out."""

import argparse
import os
import re
import signal
import socket
import sys

import analyze
import bench
import bugcheck
import debugger
import paths
import report
import session
import verdict
from errors import UsageError
from machine import Machine

BENCH_SHIFT = 6  # 64 ns of guest time per instruction
INTERRUPTED = 130
GDB_PORT = 1234

_OPTIONAL_VALUE = {"--verifier": "standard", "--gdb": "0"}  # the value is given with `=` or not at all
_LISTED_TEST = re.compile(r"# test: (\S+)$")


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message}; {self.prog} --help tells the usage")


def main(arguments):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
    try:
        options = _parser().parse_args(_with_values(arguments))
        status = options.command(options, arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"pinfold: {error}", file=sys.stderr)
        return verdict.USAGE
    except KeyboardInterrupt:
        print("pinfold: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return verdict.FAILED


def _terminate(number, _):
    """Leave through every `finally`, the one that ends QEMU among them."""
    sys.exit(128 + number)


def _with_values(arguments):
    """`--verifier x.sys` names a driver, not a list: an option whose value is optional takes it only behind `=`."""
    return [f"{word}={_OPTIONAL_VALUE[word]}" if word in _OPTIONAL_VALUE else word for word in arguments]


def _parser():
    parser = _Parser(prog="scripts/pinfold", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(command=function)
        return command

    for name, function, text in (
        ("run", _run, "boot, load the drivers in order, run, report"),
        ("debug", _debug, "the same boot, stopped, with gdb attached"),
    ):
        command = add(name, function, text)
        command.add_argument("drivers", nargs="*", metavar="DRIVER.sys")
        command.add_argument("--app", action="append", default=[], metavar="PROGRAM.exe", help="run it after them")
        command.add_argument("--verifier", metavar="LIST", help="Driver Verifier: option names, all or standard")
        _machine_options(command)
        if name == "debug":
            command.add_argument("--ex", action="append", default=[], metavar="COMMAND", help="for gdb, in batch")
    command = add("test", _test, "boot and run the in-kernel tests whose names match")
    command.add_argument("patterns", nargs="*", metavar="PATTERN")
    _machine_options(command)
    _machine_options(add("list", _list, "names of all in-kernel tests"))
    _machine_options(add("bench", _bench, "the benchmarks, one CPU with counted instructions"))
    add("analyze", _analyze, "explain what a failed run left behind").add_argument("directory", metavar="DIR")
    return parser


def _machine_options(parser):
    def add(*names, **how):
        parser.add_argument(*names, **how)

    add("--cpus", type=_number, metavar="N", help="virtual CPUs, 1 to 64 (4)")
    add("--memory", default="512M", metavar="SIZE", help="guest RAM (512M)")
    add("--cmdline", action="append", default=[], metavar="TEXT", help="kernel command line, appended")
    add("--expect", action="append", default=[], metavar="REGEX", help="some line of the log matches")
    add("--forbid", action="append", default=[], metavar="REGEX", help="no line of the log matches")
    add("--check", action="append", default=[], metavar="FILE", help="FileCheck directives against the log")
    add("--expect-bugcheck", metavar="CODE", help="the run must end in it: 0xCB or its name")
    add("--timeout", type=_seconds, metavar="SECONDS", help="for the whole run (60)")
    add("--log", metavar="FILE", help="the serial log")
    add("--junit", metavar="FILE", help="results as JUnit XML")
    add("--json", metavar="FILE", help="results as JSON")
    add("--dump", metavar="DIR", help="on a bug check or hang: an ELF core of guest memory")
    add("--accel", choices=("tcg", "kvm"), default="tcg", help="tcg, the default, or kvm")
    add("--icount", type=_number, metavar="SHIFT", help="deterministic instruction counting")
    add("--gdb", type=_number, metavar="PORT", help="GDB stub")
    add("--display", action="store_true", help="a window")
    add("--disk", metavar="FILE", help="backing file of the NVMe disk")
    add("--qemu-arg", action="append", default=[], metavar="ARG", help="passed through")
    add("--kernel", help=argparse.SUPPRESS)


def _number(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: not a number")
    return int(text)


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give a number of seconds")
    return value


def _request(options, words, drivers=(), apps=(), **more):
    """What the options ask for. Everything wrong with them is found here, before anything starts."""
    counted = options.icount is not None
    machine = Machine(
        cpus=options.cpus if options.cpus is not None else 1 if counted else 4,
        memory=options.memory,
        accel=options.accel,
        icount=options.icount,
        display=options.display,
        disk=options.disk,
        gdb=_gdb_stub(options),
        panic_device=options.dump is not None,
        extra=list(options.qemu_arg),
    )
    for path in (options.log, options.junit, options.json):
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            raise UsageError(f"{path}: the folder does not exist")
    if options.check:
        paths.filecheck()
    if options.kernel:
        paths.existing(options.kernel)
    return session.Request(
        machine=machine,
        words=words + " ".join(options.cmdline).split(),
        drivers=list(drivers),
        apps=list(apps),
        kernel=options.kernel,
        timeout=options.timeout or (None if machine.gdb else 60),
        log=options.log,
        dump=options.dump,
        expectations=verdict.Expectations(
            expect=[_regex("--expect", text) for text in options.expect],
            forbid=[_regex("--forbid", text) for text in options.forbid],
            check=[paths.existing(path) for path in options.check],
            stop=bugcheck.Expected(options.expect_bugcheck) if options.expect_bugcheck else None,
        ),
        **more,
    )


def _regex(option, text):
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"{option} {text}: not a regular expression: {error}") from error


def _gdb_stub(options):
    """QEMU's -gdb argument. Without a port: gdb's usual one, or any free one where that is taken."""
    if options.gdb is None:
        return None
    port = options.gdb or _free_port()
    print(f"pinfold: attach with: gdb -x scripts/gdb/pinfold.py -ex 'pinfold attach localhost:{port}'", file=sys.stderr)
    return f"tcp:127.0.0.1:{port}"


def _free_port():
    for port in (GDB_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise UsageError("--gdb: no TCP port is free")


def _verifier_words(options):
    return [f"verifier={options.verifier}"] if options.verifier else []


def _finish(run, options, arguments):
    """Write the results, print the summary, return the exit status."""
    report.write_junit(os.path.join(run.directory, "junit.xml"), run)
    report.write_json(os.path.join(run.directory, "results.json"), run, arguments)
    if options.junit:
        report.write_junit(options.junit, run)
    if options.json:
        report.write_json(options.json, run, arguments)
    report.summary(run, arguments)
    return run.verdict.status


def _run(options, arguments):
    request = _request(options, _verifier_words(options), options.drivers, options.app)
    return _finish(session.boot(request), options, arguments)


def _test(options, arguments):
    patterns = options.patterns or ["*"]
    for pattern in patterns:
        if not re.fullmatch(r"[^\s,]+", pattern):
            raise UsageError(f"{pattern!r} is not a pattern of test names, give one such as 'mm_*'")
    run = session.boot(_request(options, ["test=" + ",".join(patterns)]))
    status = _finish(run, options, arguments)
    if status == verdict.PASSED and not run.verdict.report.cases and not run.verdict.stop:
        raise UsageError(f"no test matches {' '.join(patterns)}; scripts/pinfold list prints the names")
    return status


def _list(options, arguments):
    run = session.boot(_request(options, ["list"], echo=False, report_due=False))
    if run.verdict.status:
        return _finish(run, options, arguments)
    for match in filter(None, map(_LISTED_TEST.match, run.lines)):
        print(match[1])
    return verdict.PASSED


def _bench(options, arguments):
    if options.icount is None:
        options.icount = BENCH_SHIFT
    if options.timeout is None:
        options.timeout = 600
    run = session.boot(_request(options, ["bench"], echo=False, report_due=False))
    rows = bench.rows(run.lines)
    if run.verdict.status or not rows:
        return _finish(run, options, arguments) or verdict.FAILED
    bench.publish(rows)
    return verdict.PASSED


def _debug(options, _):
    options.gdb = None
    request = _request(options, _verifier_words(options), options.drivers, options.app)
    request.timeout = options.timeout or (60 if options.ex else None)
    return debugger.run(request, options.ex)


def _analyze(options, _):
    print("\n".join(analyze.explain(options.directory)))
    return verdict.PASSED
