"""The result of a run for people, for JUnit readers and as JSON."""

import json
import re
import shlex
import sys
import xml.etree.ElementTree as xml

import ktap
import paths

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def counts(report):
    """'3 passed, 0 failed', with the skipped where there are some."""
    text = f"{report.count(ktap.PASSED)} passed, {report.count(ktap.FAILED)} failed"
    skipped = report.count(ktap.SKIPPED)
    return text + (f", {skipped} skipped" if skipped else "")


def summary(run, arguments):
    """Print how the run went: failing cases with their diagnostics, and how to repeat it."""
    verdict = run.verdict
    if verdict.status == 2:
        print(f"pinfold: {verdict.reasons[0][1]}", file=sys.stderr)
        return
    for case in verdict.report.cases:
        if case.status == ktap.FAILED:
            print(f"pinfold: failed: {case.name}")
            for line in case.diagnostics:
                print(f"    {line}")
    for _, reason in verdict.reasons:
        print(f"pinfold: {reason}")
    if verdict.status:
        print(f"pinfold: again: {again(run, arguments)}")
    if not verdict.reasons and verdict.stop:
        print(f"pinfold: bug check {verdict.stop.title()}, as expected")
    ending = f"pinfold: exit {verdict.status}: {counts(verdict.report)} in {run.ending.seconds:.1f} s"
    print(f"{ending}; log: {paths.display(run.log_path)}")


def again(run, arguments):
    """The command that repeats the run, with the seed that the kernel drew."""
    command = ["scripts/pinfold", *arguments]
    seed = run.seed()
    if seed and "seed=" not in run.request.command_line():
        command += [f"--cmdline=seed={seed}"]
    return shlex.join(command)


def write_json(path, run, arguments):
    verdict = run.verdict
    stop = verdict.stop
    data = {
        "exit": verdict.status,
        "reasons": [{"exit": status, "text": text} for status, text in verdict.reasons],
        "command": ["scripts/pinfold", *arguments],
        "cpus": run.request.machine.cpus,
        "memory": run.request.machine.memory,
        "kernel_command_line": run.request.command_line(),
        "seconds": round(run.ending.seconds, 3),
        "qemu_status": run.ending.status,
        "timed_out": run.ending.timed_out,
        "passed": verdict.report.count(ktap.PASSED),
        "failed": verdict.report.count(ktap.FAILED),
        "skipped": verdict.report.count(ktap.SKIPPED),
        "complete": verdict.report.complete,
        "tests": [
            {"name": case.name, "status": case.status, "reason": case.reason, "diagnostics": case.diagnostics}
            for case in verdict.report.cases
        ],
        "bugcheck": stop
        and {
            "code": f"0x{stop.code:08X}",
            "name": stop.name,
            "parameters": [f"0x{value:016X}" for value in stop.parameters],
            "blame": stop.blame,
        },
        "log": run.log_path,
    }
    with open(path, "w") as file:
        json.dump(data, file, indent=2)
        file.write("\n")


def write_junit(path, run):
    """One case per KTAP result, and the case `run`, which holds what the run as a whole came to."""
    verdict = run.verdict
    machine = run.request.machine
    name = f"pinfold-{machine.cpus}cpu-{machine.memory}"
    suite = xml.Element("testsuite", name=name, time=f"{run.ending.seconds:.3f}")
    for case in verdict.report.cases:
        group, _, leaf = case.name.rpartition(".") if ".sys" not in case.name else ("", "", case.name)
        element = xml.SubElement(suite, "testcase", classname=_clean(group or name), name=_clean(leaf))
        if case.status == ktap.SKIPPED:
            xml.SubElement(element, "skipped", message=_clean(case.reason))
        elif case.status == ktap.FAILED:
            last = case.diagnostics[-1] if case.diagnostics else "failed"
            xml.SubElement(element, "failure", message=_clean(last)).text = _clean("\n".join(case.diagnostics))
    whole = xml.SubElement(suite, "testcase", classname=name, name="run")
    if verdict.reasons:
        texts = [text for _, text in verdict.reasons]
        xml.SubElement(whole, "failure", message=_clean(texts[0])).text = _clean("\n".join(texts))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("errors", "0")
    root = xml.Element("testsuites")
    root.append(suite)
    xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _clean(text):
    return _NOT_XML.sub("?", text)
