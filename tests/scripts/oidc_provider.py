"""A small OpenID provider, with Authlib: `oidc_provider.py PORT CLIENT SECRET`. For this machine alone.

Shows its discovery document and its keys, answers questions about tokens (RFC 7662), and signs whatever a test asks for: `GET /sign?claims=JSON`,
with `key=other` by a key that it doesn't show; `GET /opaque?claims=JSON` makes a token that only it can read; `GET /rotate` gives it a new key.
"""

import base64
import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus, urlsplit

from authlib.jose import JsonWebKey, jwt

port, client, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
issuer = f"http://127.0.0.1:{port}"


def new_key(kind="RSA", size=2048):
    options = {"kid": secrets.token_hex(8), "use": "sig"}
    return JsonWebKey.generate_key(kind, size, options, is_private=True)


state = {"key": new_key(), "other": new_key(), "opaque": {}, "asked": 0}


class Provider(BaseHTTPRequestHandler):
    def answer(self, body, status=200):
        octets = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/openid-configuration":
            self.answer({
                "issuer": issuer,
                "jwks_uri": f"{issuer}/keys",
                "introspection_endpoint": f"{issuer}/introspect",
            })
        elif url.path == "/keys":
            self.answer({"keys": [state["key"].as_dict(is_private=False)]})
        elif url.path == "/sign":
            key = state[query.get("key", "key")]
            algorithm = "ES256" if key.kty == "EC" else "RS256"
            header = {"alg": algorithm, "kid": key.kid}
            token = jwt.encode(header, json.loads(query["claims"]), key).decode()
            self.answer({"token": token})
        elif url.path == "/opaque":
            token = secrets.token_urlsafe(24)
            state["opaque"][token] = json.loads(query["claims"])
            self.answer({"token": token})
        elif url.path == "/rotate":
            state["key"] = new_key("EC", "P-256")
            self.answer({})
        elif url.path == "/asked":
            self.answer({"count": state["asked"]})
        else:
            self.answer({}, 404)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        pair = base64.b64decode(self.headers["Authorization"].split(" ")[1]).decode()
        if [unquote_plus(half) for half in pair.split(":", 1)] != [client, secret]:
            self.answer({"error": "invalid_client"}, 401)
            return
        state["asked"] += 1
        claims = state["opaque"].get(form["token"][0])
        self.answer({"active": False} if claims is None else {"active": True, **claims})

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Provider).serve_forever()
