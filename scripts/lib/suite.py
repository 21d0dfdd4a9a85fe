"""`make test`: pytest over the given folders, the in-kernel results merged in, and one last line.

suite.py JUNIT FOLDER...: JUNIT receives pytest's cases and those of every boot that the tests made with --junit into
the folder `boots` beside it. The last line printed is `N passed, N failed`; skipped cases are in neither number.
"""

import glob
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as xml


def main(junit, folders):
    build = os.path.dirname(junit)
    boots = os.path.join(build, "boots")
    shutil.rmtree(boots, ignore_errors=True)
    os.makedirs(boots)
    own = os.path.join(boots, "pytest.xml")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [f"--basetemp={os.path.join(build, 'pytest')}", f"--junit-xml={own}"]
    status = _run_group(command + [folder for folder in folders if _has_tests(folder)])
    passed, failed = merge(sorted(glob.glob(os.path.join(boots, "*.xml"))), junit)
    if status and not failed:
        print(f"pytest ended with status {status} although no test failed")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _run_group(command):
    """The exit status of the command. Ctrl-C or SIGTERM ends all that it started as well: boots in progress too."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _has_tests(folder):
    return bool(glob.glob(os.path.join(folder, "**", "test_*.py"), recursive=True))


def merge(files, target):
    """Write all suites into one file; the numbers of passed and failed cases."""
    root = xml.Element("testsuites")
    passed = failed = 0
    for file in files:
        for suite in xml.parse(file).getroot().iter("testsuite"):
            root.append(suite)
            for case in suite.iter("testcase"):
                if case.find("failure") is not None or case.find("error") is not None:
                    failed += 1
                elif case.find("skipped") is None:
                    passed += 1
    xml.ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    return passed, failed


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
