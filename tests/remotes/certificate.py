"""A throw-away TLS certificate for loopback, made with nothing but the standard library.

Why not the openssl program: a machine that has python3 and make has everything this project
needs, and it is to stay so. Why not a stored one: a private key in a repository sets off every
scanner, and a certificate in it runs out.

One elliptic curve P-256 key signs its own certificate (X.509 v3, RFC 5280; ECDSA with SHA-256,
FIPS 186-4), which is put into the trust of one rclone by RCLONE_CA_CERT and into no other.
Promises: a new key each time.
Never:    is for anything but tests: this arithmetic leaks its key to whoever can time it.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
DAY_S = 86_400
Point = tuple[int, int] | None
"""A point of the curve; None is the one at infinity."""

EC_KEY = bytes.fromhex("06072a8648ce3d0201")
CURVE = bytes.fromhex("06082a8648ce3d030107")
ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
COMMON_NAME = bytes.fromhex("0603550403")
ALT_NAMES = bytes.fromhex("0603551d11")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, both as PEM text."""

    certificate: str
    key: str


def make(hosts: Sequence[str], *, until_s: int = 30 * DAY_S) -> Pair:
    """A self-signed certificate for these host names; `until_s` from now, or before now: it ran out."""
    private = secrets.randbelow(N - 1) + 1
    x, y = _affine(_times(private, G))
    public = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    # A name of its own: an issuer is looked for by name, and two of one name hide each other.
    subject = f"loopback {secrets.token_hex(4)}".encode()
    name = _seq(_der(0x31, _seq(COMMON_NAME, _der(0x0C, subject))))
    alt_names = _seq(*(_der(0x82, host.encode()) for host in hosts))
    body = _seq(
        _der(0xA0, _int(2)),
        _int(secrets.randbits(120)),
        _seq(ECDSA_SHA256),
        name,
        _seq(_instant(min(0, until_s) - DAY_S), _instant(until_s)),
        name,
        _seq(_seq(EC_KEY, CURVE), _bits(public)),
        _der(0xA3, _seq(_seq(ALT_NAMES, _der(0x04, alt_names)))),
    )
    whole = _seq(body, _seq(ECDSA_SHA256), _bits(_signature(private, body)))
    secret = _der(0x04, private.to_bytes(32, "big"))
    key = _seq(_int(1), secret, _der(0xA0, CURVE), _der(0xA1, _bits(public)))
    return Pair(_pem("CERTIFICATE", whole), _pem("EC PRIVATE KEY", key))


def _signature(private: int, message: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    once = secrets.randbelow(N - 1) + 1
    r = _affine(_times(once, G))[0] % N
    s = pow(once, -1, N) * (digest + r * private) % N
    return _seq(_int(r), _int(s))


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        total = _sum(total, point) if factor & 1 else total
        point = _sum(point, point)
        factor >>= 1
    return total


def _sum(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if one == other:
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def _affine(point: Point) -> tuple[int, int]:
    assert point is not None, "a factor below the curve's order never gives infinity"
    return point


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _seq(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _int(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _der(0x03, b"\0" + content)


def _instant(from_now_s: int) -> bytes:
    at = time.gmtime(time.time() + from_now_s)
    return _der(0x17, time.strftime("%y%m%d%H%M%SZ", at).encode())


def _pem(kind: str, content: bytes) -> str:
    text = base64.b64encode(content).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
