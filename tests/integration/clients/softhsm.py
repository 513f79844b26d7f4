"""A hardware token in software: SoftHSM, with keys whose certificates are in the token or beside it."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

MODULE: Final = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN: Final = "73219"

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class SoftHsm:
    """A token.

    Attributes:
        certificates: PEM files of all certificates by the label of the key; each is its own authority.
    """

    certificates: Mapping[str, Path]

    @property
    def authorities(self) -> bytes:
        """What a server must trust to take any of them."""
        return b"".join(path.read_bytes() for path in self.certificates.values())


@contextmanager
def soft_hsm(folder: Path, labels: tuple[str, ...]) -> Iterator[SoftHsm]:
    """A token with a key for each label: an RSA key if it begins so; its certificate is there, too, if it ends in `+`.

    This process and those that it starts meanwhile find it; a process can use one only.
    """
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        _run("softhsm2-util", "--init-token", "--free", "--label", "tests", "--so-pin", "0000", "--pin", PIN)
        certificates = {}
        for number, label in enumerate(labels, start=1):
            certificates[label] = _add(folder, label, f"{number:02}")
        yield SoftHsm(certificates)


def _add(folder: Path, label: str, identifier: str) -> Path:
    key: Key
    key = rsa.generate_private_key(65537, 2048) if label.startswith("rsa") else ec.generate_private_key(ec.SECP256R1())
    pem = folder / f"{label}.key"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    object_names = ("--label", label, "--id", identifier)
    _run("softhsm2-util", "--import", str(pem), "--token", "tests", "--pin", PIN, *object_names)
    pem.unlink()
    certificate = folder / f"{label}.pem"
    certificate.write_bytes(_certificate(key, label).public_bytes(serialization.Encoding.PEM))
    if label.endswith("+"):
        tool = ("p11tool", f"--provider={MODULE}", "--login", f"--set-pin={PIN}", "--write")
        _run(*tool, f"--load-certificate={certificate}", *object_names, "pkcs11:token=tests")
    return certificate


def _certificate(key: Key, name: str) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(called)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
