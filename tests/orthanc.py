"""A real Orthanc for tests: loopback only, storage in a temporary folder, DICOMweb, stopped at the end.

Use the session-wide fixture by importing it into a folder's conftest.py (`from orthanc import orthanc`), or start a
server of your own with `OrthancServer.start(...)`. Modalities can be added while it runs, so one server serves
every test of a session; call `orthanc.clear()` where a test counts what lies in it.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from bt_node.simulate.node_process import end_process, free_port

DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")  # Debian's orthanc-dicomweb
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class OrthancServer:
    """A running Orthanc: where it listens, and what a test asks it."""

    ae_title: str
    host: str
    dicom_port: int
    http_port: int
    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        program: str,
        folder: Path,
        *,
        ae_title: str = "ORTHANC",
        modalities: Mapping[str, tuple[str, int]] | None = None,
        **settings: Any,
    ) -> OrthancServer:
        """Write a configuration, start the program and wait until it answers.

        Args:
            program: path of `Orthanc`.
            folder: empty folder for its storage, its configuration and its log.
            ae_title: its own AE title.
            modalities: peers it may send to: AE title -> (host, port).
            settings: further keys of orthanc.json, or other values for those set here.
        """
        ports = free_port(), free_port()
        configuration = _configuration(folder, ae_title, ports, modalities or {}) | settings
        path = folder / "orthanc.json"
        path.write_text(json.dumps(configuration, indent=2))
        with (folder / "orthanc.log").open("wb") as log:
            process = subprocess.Popen([program, str(path)], stdout=log, stderr=log, cwd=folder)
        server = cls(ae_title, "127.0.0.1", ports[0], ports[1], folder, process)
        server._wait_until_ready()
        return server

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get_json("system")
            except OSError:
                time.sleep(0.1)
            else:
                return
        self.stop()
        raise RuntimeError(f"Orthanc did not start:\n{self.log()}")

    def stop(self) -> None:
        """End the process; it saves nothing that a test needs."""
        end_process(self.process, _STOP_SECONDS)

    def log(self) -> str:
        """What it wrote to its log so far."""
        return (self.folder / "orthanc.log").read_text(errors="replace")

    # ------------------------------------------------------------ REST

    @property
    def url(self) -> str:
        """Root of its REST interface, with a slash at the end."""
        return f"http://{self.host}:{self.http_port}/"

    @property
    def dicomweb_url(self) -> str:
        """Root of its DICOMweb services, with a slash at the end."""
        return f"{self.url}dicom-web/"

    def request(self, path: str, *, method: str = "GET", body: bytes | None = None, accept: str = "*/*") -> bytes:
        """One HTTP call; `path` is relative to `url`."""
        call = urllib.request.Request(self.url + path, data=body, method=method, headers={"Accept": accept})
        # An own opener: a proxy named in the environment must not get between us and loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(call, timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def get_json(self, path: str) -> Any:
        """The JSON answer of a GET."""
        return json.loads(self.request(path) or "null")

    def add_modality(self, ae_title: str, port: int, host: str = "127.0.0.1") -> None:
        """Let it know a peer under its AE title, as an administrator would in DicomModalities."""
        peer = {"AET": ae_title, "Host": host, "Port": port}
        self.request(f"modalities/{ae_title}", method="PUT", body=json.dumps(peer).encode())

    def send_to(self, ae_title: str, orthanc_ids: list[str]) -> dict[str, Any]:
        """Make it C-STORE instances, series or studies (Orthanc's own identifiers) to a modality it knows."""
        body = json.dumps({"Resources": orthanc_ids, "Synchronous": True}).encode()
        answer: dict[str, Any] = json.loads(self.request(f"modalities/{ae_title}/store", method="POST", body=body))
        return answer

    # ------------------------------------------------------------ what lies in it

    def sop_instance_uids(self) -> set[str]:
        """SOPInstanceUIDs of everything it holds."""
        return {item["MainDicomTags"]["SOPInstanceUID"] for item in self.get_json("instances?expand")}

    def orthanc_id(self, uid: str) -> str:
        """Orthanc's identifier of the one study, series or instance with this UID.

        Raises:
            LookupError: it holds none, or several.
        """
        found = json.loads(self.request("tools/lookup", method="POST", body=uid.encode()))
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources of Orthanc have the UID {uid}")
        identifier: str = found[0]["ID"]
        return identifier

    def file(self, sop_instance_uid: str) -> bytes:
        """The Part 10 file as it stored it."""
        return self.request(f"instances/{self.orthanc_id(sop_instance_uid)}/file")

    def dataset(self, sop_instance_uid: str) -> pydicom.Dataset:
        """The stored instance, read."""
        return pydicom.dcmread(BytesIO(self.file(sop_instance_uid)))

    def upload(self, path: Path) -> None:
        """Put a file into it by REST, past DICOM."""
        self.request("instances", method="POST", body=path.read_bytes())

    def qido(self, path: str) -> list[dict[str, Any]]:
        """A QIDO-RS search (PS3.18 10.6), e.g. `studies/1.2.3/series?Modality=SEG`: DICOM JSON of each match."""
        answer = self.request(f"dicom-web/{path}", accept="application/dicom+json")
        matches: list[dict[str, Any]] = json.loads(answer or b"[]")
        return matches

    def clear(self) -> None:
        """Delete everything it holds."""
        for study in self.get_json("studies"):
            self.request(f"studies/{study}", method="DELETE")


def _configuration(
    folder: Path, ae_title: str, ports: tuple[int, int], modalities: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    """Debian's defaults where they matter to a sender (UnknownSopClassAccepted above all), and one plugin."""
    dicom_port, http_port = ports
    return {
        "Name": "bt-node test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        # The whole plugin folder would load the worklist plugin, which stops Orthanc without its own settings.
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": False,
        "DicomModalities": {name: [name, host, port] for name, (host, port) in modalities.items()},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "Host": "127.0.0.1"},
        "OverwriteInstances": False,
        "ConcurrentJobs": 2,
    }


@pytest.fixture(scope="session")
def orthanc(peer: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    """One Orthanc for the session; skips (or fails, see `peer`) when it is not installed."""
    program = peer("Orthanc")
    if not DICOMWEB_PLUGIN.exists():
        peer("libOrthancDicomWeb.so")  # never found: words the skip or the failure
    server = OrthancServer.start(program, tmp_path_factory.mktemp("orthanc"))
    try:
        yield server
    finally:
        server.stop()
