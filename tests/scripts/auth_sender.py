"""Other servers that send mail: signed by dkimpy, sent by smtplib from addresses of 127.0.0.0/8.

`keys FOLDER` makes keys and prints their DNS records. `send FOLDER PORT WHAT` sends one message and prints the reply.
`check FIELD...` reads Authentication-Results fields with authres and prints method and result.
"""

import base64
import smtplib
import sys

import authres
import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

TEXT = b"From: Ann <ann@%s>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s@%s>\r\n\r\nHello  there \r\n\r\nbye\r\n \r\n\t\r\n"


def keys(folder):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    open(f"{folder}/rsa", "wb").write(pem)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    print(f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}")
    key = ed25519.Ed25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    seed = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    open(f"{folder}/ed25519", "wb").write(base64.b64encode(seed))
    public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
    print(f"v=DKIM1; k=ed25519; p={base64.b64encode(public).decode()}")


def send(folder, port, subject, peer, domain, kind, header, body, extra, to="alice@example.org"):
    message = TEXT % (domain.encode(), to.encode(), subject.encode(), subject.encode(), domain.encode())
    if kind != "none":
        signature = dkim.sign(
            message,
            kind.encode(),
            domain.encode(),
            open(f"{folder}/{kind}", "rb").read(),
            canonicalize=(header.encode(), body.encode()),
            signature_algorithm=f"{kind}-sha256".encode(),
            include_headers=[b"from", b"to", b"subject"],
        )
        message = signature + message
    if extra == "broken":
        message = message.replace(b"bye", b"buy")
    elif extra:
        message = extra.encode() + b"\r\n" + message
    client = smtplib.SMTP("127.0.0.1", int(port), local_hostname=f"mx.{domain}", source_address=(peer, 0), timeout=60)
    client.ehlo()
    client.mail(f"ann@{domain}")
    client.rcpt(to)
    code, text = client.data(message)
    client.quit()
    print(code, text.decode())


def check(field):
    parsed = authres.AuthenticationResultsHeader.parse("Authentication-Results: " + field)
    print(parsed.authserv_id)
    for result in parsed.results:
        properties = " ".join(f"{p.type}.{p.name}={p.value}" for p in result.properties)
        print(f"{result.method}={result.result} {properties}")


{"keys": keys, "send": send, "check": check}[sys.argv[1]](*sys.argv[2:])
