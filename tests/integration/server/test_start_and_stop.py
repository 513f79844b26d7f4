"""The server starts, says so, refuses what is wrong, and stops in order."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.integration.server.dicom_client import Gone, Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, Running, run_cli, serving, start

HALF_A_REQUEST = (
    b"POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\nhalf of it"
)


def failing_start(folder: Path, options: dict[str, object]) -> str:
    """Start a server that must not start; answers what it said."""
    running = start(folder, options)
    assert running.process.wait(60) == 1
    with running._said:
        assert running._said.wait_for(running._ended, timeout=60)
    running.lines.pop()
    return running.log


def test_it_says_where_it_listens_and_answers_there(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert f"DICOM server {AE_TITLE} listens on port {server.dicom_port}" in server.log
        with server.client() as client:
            system = client.get("/system").json()
        assert (system["HttpPort"], system["DicomPort"]) == (server.http_port, server.dicom_port)
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()
            assert peer.echo() == 0
        assert server.stop() == 0
        server.wait_for("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as server:
        assert server.stop(number) == 0


def test_a_door_that_is_disabled_stays_closed(tmp_path: Path) -> None:
    with serving(tmp_path / "http", {"DicomServerEnabled": False}) as server, server.client() as client:
        assert client.get("/system").status_code == 200
        assert "DICOM server" not in server.log
    with serving(tmp_path / "dicom", {"HttpServerEnabled": False}) as server:
        with Peer(server.dicom_port, AE_TITLE) as peer:
            peer.associate()
            assert peer.echo() == 0
        assert "HTTP server listens" not in server.log


@pytest.mark.parametrize("option", ["HttpPort", "DicomPort"])
def test_a_port_that_is_taken_is_one_message_and_status_1(tmp_path: Path, option: str) -> None:
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        port = taken.getsockname()[1]
        said = failing_start(tmp_path, {option: port})
    assert f"amonsul: cannot listen on port {port} ({option}): Address already in use" in said.splitlines()
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"HttpPort": "many"}, 'configuration.json: HttpPort: came "many", wanted a whole number from 0 to 65535'),
        (
            {"DicomModalities": {"x": ["A", "host", "port"]}},
            'configuration.json: DicomModalities.x[2]: came "port", wanted',
        ),
        ({"RemoteAccessAllowed": True}, "RegisteredUsers is empty"),
        ({"SslEnabled": True, "SslCertificate": "nowhere.pem"}, "SslCertificate: there is no file"),
        ({"StorageDirectory": "/dev/null/storage"}, "StorageDirectory: /dev/null"),
        ({"ExtraMainDicomTags": {"Study": ["NoSuchTag"]}}, "ExtraMainDicomTags.Study[0]"),
    ],
)
def test_a_wrong_setting_is_one_message_with_its_place(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    said = failing_start(tmp_path, options)
    last = said.splitlines()[-1]
    assert last.startswith("amonsul: ")
    assert message in last
    assert "Traceback" not in said


def test_warnings_come_before_the_server_is_ready(tmp_path: Path) -> None:
    options = {
        "HttpPrt": 1,
        "ExecuteLuaEnabled": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"orthanc": "orthanc"},
    }
    with serving(tmp_path, options) as server:
        before, _, _ = server.log.partition("is ready")
    assert "unknown option HttpPrt; did you mean HttpPort?" in before
    assert "does not act on yet: ExecuteLuaEnabled" in before
    assert 'PASSWORD OF USER "orthanc" IS WELL KNOWN' in before


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    patient = {"Amonsul": {"StopTimeout": 3600}}
    with serving(tmp_path, patient) as server, Peer(server.dicom_port, AE_TITLE) as peer:
        peer.associate()
        with socket.create_connection(("127.0.0.1", server.http_port)) as half:
            half.sendall(HALF_A_REQUEST)
            half.recv(1024)  # 100 Continue: the request is being worked on
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("stopping")
            assert server.stop() == 128 + signal.SIGTERM


def test_what_starts_orthanc_starts_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.json").write_text('{"Name": "one", /* comment */ "HttpPort": 0, "DicomPort": 0, }')
    (tmp_path / "two.json").write_text(json.dumps({"Name": "two", "StorageDirectory": "data"}))
    process = subprocess.Popen(
        ["amonsul", "folder", "two.json", "--verbose", "--trace-dicom", "--no-jobs", "--logdir=."],
        executable=shutil.which("amonsul", path=str(Path(__import__("sys").executable).parent)),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Running(process)
    try:
        log = _wait_for_log(tmp_path, process)
        assert "is ready" in log
    finally:
        assert running.stop() == 0
    assert (tmp_path / "data").is_dir()


def _wait_for_log(folder: Path, process: subprocess.Popen[str]) -> str:
    """Read the log file until the server is ready."""
    tick = threading.Event()
    while process.poll() is None:
        for file in folder.glob("Amonsul.log.*"):
            if "is ready" in (text := file.read_text()):
                return text
        tick.wait(0.02)  # there is nothing to be told by; the loop ends with the process
    raise AssertionError(f"the server ended: {process.stderr.read() if process.stderr else ''}")


def test_flags_that_print_and_exit(tmp_path: Path) -> None:
    assert run_cli("--version", cwd=tmp_path).stdout.startswith("Amonsul ")
    assert "404" in run_cli("--errors", cwd=tmp_path).stdout
    assert "serve" in run_cli("--help", cwd=tmp_path).stdout
    assert run_cli("--config=written.json", cwd=tmp_path).returncode == 0
    checked = run_cli("check-config", "written.json", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert '"HttpPort" : 8042' in run_cli("--config=-", cwd=tmp_path).stdout


def test_check_config_tells_what_is_wrong_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"HttpPort": -1}')
    checked = run_cli("check-config", "bad.json", cwd=tmp_path)
    assert checked.returncode == 1
    assert checked.stderr == "amonsul: bad.json: HttpPort: came -1, wanted a whole number from 0 to 65535\n"
    assert run_cli("check-config", "nowhere.json", cwd=tmp_path).returncode == 1


def test_a_hashed_password_lets_its_user_in(tmp_path: Path) -> None:
    hashed = run_cli("hash-password", cwd=tmp_path, stdin="correct horse\n").stdout.strip()
    options = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": hashed}}
    with serving(tmp_path, options) as server, server.client() as client:
        assert client.get("/system").status_code == 401
        assert client.get("/system", auth=("alice", "wrong")).status_code == 401
        assert client.get("/system", auth=("alice", "correct horse")).status_code == 200
        assert "correct horse" not in server.log


def test_a_peer_in_the_middle_of_a_message_does_not_hold_up_the_end(tmp_path: Path) -> None:
    impatient = {"Amonsul": {"StopTimeout": 1}}
    with serving(tmp_path, impatient) as server, Peer(server.dicom_port, AE_TITLE) as peer:
        peer.associate()
        peer.send_store(Instance(1), part=0.5)
        with socket.create_connection(("127.0.0.1", server.http_port)) as half:
            half.sendall(HALF_A_REQUEST)
            half.recv(1024)
            assert server.stop() == 0
        with pytest.raises((Gone, ConnectionError)):
            peer.echo()
