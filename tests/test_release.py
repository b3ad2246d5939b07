"""The tool that builds releases, but for the building itself, which .ci/run does."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from tools.release import arm_tests, checks, installs
from tools.release.__main__ import main
from tools.release.arm_python import ArmPython
from tools.release.readme import for_package_index
from tools.release.records import write_sums
from tools.release.run import run
from tools.release.source import ROOT
from tools.release.targets import TARGETS


def test_links_into_the_repository_become_words():
    text = "![A](docs/a.svg)\n\nSee [how](docs/how.md#part), [there](https://example.org) and [below](#here).\n"
    assert for_package_index(text) == "See how, [there](https://example.org) and [below](#here).\n"


def test_the_readme_has_no_link_that_a_package_page_cannot_follow():
    assert "](docs/" not in for_package_index((ROOT / "README.md").read_text())


def test_a_failing_command_is_told_with_its_output():
    with pytest.raises(SystemExit, match=r"sh -c echo why; exit 3: expected exit code 0, got 3\nwhy"):
        run("sh", "-c", "echo why; exit 3")


def test_sums_are_those_of_the_files(tmp_path):
    files = [tmp_path / name for name in ("b.whl", "a.whl")]
    for file in files:
        file.write_text(file.name)
    lines = write_sums(files, tmp_path).read_text().splitlines()
    assert lines == [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("a.whl", "b.whl")]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_pythons_of_pyenv_are_found(monkeypatch, tmp_path):
    python = tmp_path / "versions" / "3.10.13" / "bin" / "python3.10"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installs.find_pythons(["3.10", "3.99"]) == {"3.10": python}
    with pytest.raises(SystemExit, match=r"expected one of the Pythons 3.99 on PATH or in pyenv, got none"):
        installs.check_installs([], ["3.99"], tmp_path)


@pytest.mark.parametrize(
    ("names", "size", "message"),
    [
        (
            ["LICENSE"],
            10,
            "expected the licences LICENSE.fashion-mnist, NOTICE, .*, LICENSE.libstdcxx inside",
        ),
        (["LICENSE"], 4_000_001, "expected at most 4000000 bytes, got"),
    ],
)
def test_a_wheel_that_is_not_fit_is_refused(monkeypatch, tmp_path, names, size, message):
    monkeypatch.setattr(checks, "run", lambda *command: "")
    wheel = tmp_path / "lba_onnx-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("library.so", b"x" * size)
        for name in names:
            packed.writestr(f"lba_onnx-1.dist-info/licenses/{name}", "")
    with pytest.raises(SystemExit, match=message):
        checks.check_wheel(wheel)


def test_linux_wheels_ask_for_what_they_are_linked_against():
    for target in TARGETS.values():
        glibc = target.triple.split("gnu.")[-1]
        assert not target.policy or target.policy == f"manylinux_{glibc.replace('.', '_')}_{target.processor}"


def test_emulation_takes_the_wheels_whose_bits_are_compared(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path), "--wheels", "aarch64", "--emulate"])
    assert "--emulate: expected the wheels x86_64 and aarch64, whose bits are compared" in capsys.readouterr().err


def test_a_python_for_arm_runs_in_its_own_files_and_sees_its_own_packages(tmp_path):
    shows = tmp_path / "qemu"
    shows.write_text('#!/bin/sh\necho "$@" PATH=$PATH PYTHONPATH=$PYTHONPATH PWD=$PWD\n')
    shows.chmod(0o755)
    (tmp_path / "root").mkdir()
    told = ArmPython(shows, tmp_path / "root", tmp_path / "site").run("-m", "lba_onnx")
    python = f"{tmp_path}/root/usr/bin/python3.13"
    assert told == f"-L {tmp_path}/root {python} -m lba_onnx PATH= PYTHONPATH={tmp_path}/site PWD={tmp_path}/root\n"


def test_cpp_tests_are_linked_where_the_wheel_for_arm_was_built(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(arm_tests, "run", lambda *command: commands.append(command) or "")
    for processor in ("x86_64", "aarch64"):
        (tmp_path / "build" / f"py3-none-linux_{processor}").mkdir(parents=True)
    arm_tests.run_arm_tests(tmp_path, ArmPython(Path("/qemu"), Path("/root"), Path("/site")))
    build = tmp_path / "build" / "py3-none-linux_aarch64"
    configured, built, tested = commands
    assert "-DCMAKE_CROSSCOMPILING_EMULATOR=/qemu;-L;/root" in configured and configured[-1] == build
    assert built == ("cmake", "--build", build)
    assert tested[:3] == ("ctest", "--test-dir", build / "custom_ops")
