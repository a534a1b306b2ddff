"""A push service (RFC 8030) and the client behind it, on the loopback interface.

The first line on the standard output names the port and the client's keys; then a line for each push: its headers, its
body as the client decrypts it (RFC 8291, by http-ece), and whether VAPID's signature (RFC 8292) holds.
"""

import base64
import http.server
import json
import os
import sys

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = os.urandom(16)


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def vapid(authorization):
    """The claims of `vapid t=TOKEN, k=KEY`, if the token is signed with the key."""
    scheme, _, rest = authorization.partition(" ")
    fields = dict(field.strip().split("=", 1) for field in rest.split(","))
    token, public = fields["t"], decode(fields["k"])
    signed, _, signature = token.rpartition(".")
    signature = decode(signature)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    try:
        key.verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return None
    return {"scheme": scheme, "key": fields["k"], "claims": json.loads(decode(signed.split(".")[1]))}


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        encoding = self.headers.get("content-encoding")
        if encoding == "aes128gcm":
            body = http_ece.decrypt(body, private_key=KEY, auth_secret=SECRET, version="aes128gcm")
        headers = {name.lower(): value for name, value in self.headers.items()}
        signed = vapid(headers["authorization"]) if "authorization" in headers else None
        say({"path": self.path, "headers": headers, "vapid": signed, "body": json.loads(body)})
        self.send_response(201)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def say(value):
    print(json.dumps(value), flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
public = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
say({"port": server.server_port, "p256dh": encode(public), "auth": encode(SECRET)})
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
