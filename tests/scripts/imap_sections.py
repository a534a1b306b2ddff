"""Files messages over IMAP, and compares each part with what Python's email package finds in it.

Arguments: port, login name, password, a folder of messages. Exits with 1 when something differs.
"""

import email
import email.policy
import imaplib
import pathlib
import sys

port, name, password, folder = sys.argv[1:]
imap = imaplib.IMAP4("127.0.0.1", int(port))
imap.login(name, password)

mails = []
for path in sorted(pathlib.Path(folder).glob("*.eml")):
    octets = path.read_bytes()
    # What can't be in a literal, or would be changed on the way, is for other tests.
    if b"\0" in octets or octets.replace(b"\r\n", b"").count(b"\n") or b"\r" in octets.replace(b"\r\n", b""):
        continue
    kind, data = imap.append("INBOX", None, None, octets)
    assert kind == "OK", data
    mails.append((path.name, octets))
kind, data = imap.select("INBOX")
assert kind == "OK" and int(data[0]) == len(mails), data


def fetch(number, item):
    kind, data = imap.fetch(str(number), f"({item})")
    assert kind == "OK", data
    for answer in data:
        if isinstance(answer, tuple):
            return answer[1]
    return None


def parts(message, prefix=""):
    """Numbers and payloads of the parts, as RFC 9051 numbers them."""
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        for at, part in enumerate(message.get_payload(), 1):
            number = f"{prefix}{at}"
            yield number, part
            if part.get_content_type() == "message/rfc822":
                if part.is_multipart():
                    yield from parts(part.get_payload(0), number + ".")
            elif part.is_multipart():
                yield from parts(part, number + ".")
    elif message.get_content_maintype() != "message":
        yield f"{prefix}1", message


differences = compared = 0
for number, (path, octets) in enumerate(mails, 1):
    assert fetch(number, "BODY.PEEK[]") == octets, path
    header, _, text = octets.partition(b"\r\n\r\n")
    if not octets.startswith(b"\r\n") and b"\r\n\r\n" in octets:
        assert fetch(number, "BODY.PEEK[HEADER]") == header + b"\r\n\r\n", path
        assert fetch(number, "BODY.PEEK[TEXT]") == text, path
    message = email.message_from_bytes(octets, policy=email.policy.compat32)
    if message.defects:
        continue
    for part_number, part in parts(message):
        if part.is_multipart() or part.defects:
            continue
        # As it is in the message: get_payload() would decode what is in 8 bits.
        payload = part._payload.encode("ascii", "surrogateescape")
        got = fetch(number, f"BODY.PEEK[{part_number}]")
        compared += 1
        if got != payload:
            differences += 1
            print(f"{path} BODY[{part_number}]: {got[:60]!r} is not {payload[:60]!r}")
print(f"{len(mails)} messages, {compared} parts, {differences} differ")
imap.logout()
sys.exit(1 if differences or not compared else 0)
