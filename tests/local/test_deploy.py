"""`cdk` as a child: its failure is told, and it does not outlive the command that needed it."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import deploy, processes
from local.cloud import LocalCloud
from local.engine import Endpoint

ENDPOINT = Endpoint(4711, "1-2")
DEADLINE_S = 20

BOOTSTRAP = """
import sys
from pathlib import Path
from local import deploy
deploy.CDK = Path(sys.argv[1])
deploy.bootstrap(deploy.Endpoint(4711, "1-2"), Path(sys.argv[2]))
"""

ENDLESS = """
until [ -s cdk.process.json ]; do sleep 0.01; done
sleep 100 &
echo $! > child.partial
mv child.partial child
wait
"""


@pytest.fixture
def cdk(tmp_path: Path) -> Path:
    """A command in the place of `cdk`; it runs in the cloud's folder."""
    file = tmp_path / "cdk"
    file.touch(mode=0o755)
    return file


def test_a_deployment_ends_with_the_next_command_if_its_own_was_killed(cdk: Path, tmp_path: Path):
    cdk.write_text(f"#!/bin/sh{ENDLESS}")
    arguments = [sys.executable, "-c", BOOTSTRAP, cdk, tmp_path]
    with subprocess.Popen(arguments, cwd=deploy.ROOT) as command:  # noqa: S603 - our own code
        _wait_until((tmp_path / "child").exists)
        command.kill()
    child = int((tmp_path / "child").read_text())
    assert processes.find(tmp_path / "cdk.process.json")
    assert LocalCloud(tmp_path).stop()
    assert processes.find(tmp_path / "cdk.process.json") is None
    _wait_until(lambda: not _runs(child))
    assert not LocalCloud(tmp_path).stop()


def test_a_deployment_that_takes_too_long_is_ended(cdk: Path, tmp_path: Path, monkeypatch):
    cdk.write_text(f"#!/bin/sh{ENDLESS}")
    monkeypatch.setattr(deploy, "CDK", cdk)
    monkeypatch.setattr(deploy, "COMMAND_S_MAX", 0.1)
    with pytest.raises(deploy.DeployError, match="cdk bootstrap failed"):
        deploy.bootstrap(ENDPOINT, tmp_path)
    assert not deploy.stop(tmp_path)


def test_the_end_of_the_output_tells_why_a_deployment_failed(cdk: Path, tmp_path: Path, monkeypatch):
    cdk.write_text("#!/bin/sh\necho no such bucket\nexit 3\n")
    monkeypatch.setattr(deploy, "CDK", cdk)
    with pytest.raises(deploy.DeployError, match="no such bucket"):
        deploy.bootstrap(ENDPOINT, tmp_path)


def test_a_deployment_that_succeeds_leaves_nothing_to_stop(cdk: Path, tmp_path: Path, monkeypatch):
    cdk.write_text("#!/bin/sh\ntrue\n")
    monkeypatch.setattr(deploy, "CDK", cdk)
    deploy.bootstrap(ENDPOINT, tmp_path)
    assert not deploy.stop(tmp_path)


def _wait_until(happened) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
