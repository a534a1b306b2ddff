"""What Python's imaplib does: ports of IMAP and of IMAP over TLS, and the password, are the arguments."""
import imaplib
import ssl
import sys

imap, imaps, password = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def good(answer, *parts):
    kind, data = answer
    assert kind == "OK", answer
    text = repr(data)
    for part in parts:
        assert part in text, (part, text)


def connect():
    plain = imaplib.IMAP4("127.0.0.1", int(imap))
    good(plain.login("alice@example.org", password))
    yield plain
    secured = imaplib.IMAP4("127.0.0.1", int(imap))
    good(secured.starttls(context))
    good(secured.login("alice@example.org", password))
    yield secured
    tls = imaplib.IMAP4_SSL("127.0.0.1", int(imaps), ssl_context=context)
    response = lambda _: b"\0alice@example.org\0" + password.encode()
    good(tls.authenticate("PLAIN", response))
    yield tls


for number, client in enumerate(connect()):
    name = f"Folder{number}"
    good(client.create(name))
    good(client.create(f"{name}/below"))
    good(client.list('""', f"{name}*"), name, f"{name}/below")
    good(client.rename(name, f"Other{number}"))
    good(client.list(), f"Other{number}/below")
    good(client.subscribe(f"Other{number}/below"))
    good(client.lsub(), f"Other{number}/below")
    good(client.unsubscribe(f"Other{number}/below"))
    good(client.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)"), "MESSAGES 0")
    good(client.getquotaroot("INBOX"))
    good(client.setacl(f"Other{number}", "bob@example.org", "lr"))
    good(client.getacl(f"Other{number}"), "bob@example.org")
    good(client.myrights("INBOX"), "lrswip")
    good(client.namespace(), "Shared/")
    good(client.enable("IMAP4rev2"))
    assert client.create("INBOX")[0] == "NO"
    good(client.delete(f"Other{number}/below"))
    good(client.delete(f"Other{number}"))
    good(client.noop())
    kind, _ = client.logout()
    assert kind == "BYE", kind

# Messages: filed, found, fetched, changed, copied, moved and removed.
client = imaplib.IMAP4_SSL("127.0.0.1", int(imaps), ssl_context=context)
good(client.login("alice@example.org", password))
mails = [
    f"From: Carol <carol@example.net>\r\nSubject: mail {n}\r\nMessage-ID: <{n}@example.net>\r\n\r\nText {n} =?\r\n".encode()
    for n in range(20)
]
for n, mail in enumerate(mails):
    flags = "(\\Seen)" if n % 2 else None
    good(client.append("INBOX", flags, imaplib.Time2Internaldate(1700000000 + n), mail), "APPENDUID")
good(client.select("INBOX"), "20")
assert client.response("UIDNEXT")[1] == [b"21"]
kind, data = client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
assert kind == "OK"
bodies = [part[1] for part in data if isinstance(part, tuple)]
assert bodies == mails, bodies
heads = [part[0] for part in data if isinstance(part, tuple)]
assert b"(\\Seen)" in heads[1] and b"14-Nov-2023 22:13:20 +0000" in heads[0], heads[:2]
good(client.search(None, "UNSEEN", "SUBJECT", '"mail 1"'), "11 13 15 17 19")
good(client.uid("SEARCH", "CHARSET", "UTF-8", "TEXT", '"Text 7"'), "8")
good(client.sort("(REVERSE SUBJECT)", "UTF-8", "1:3"), "3 2 1")
good(client.thread("REFERENCES", "UTF-8", "1:2"), "(1)(2)")
good(client.store("1:3", "+FLAGS", "(\\Flagged work)"), "work")
good(client.fetch("2", "(FLAGS)"), "Flagged", "Seen", "work")
good(client.create("Copies"))
good(client.copy("1:5", "Copies"))
good(client.uid("MOVE", "6:8", "Copies"))
good(client.status("Copies", "(MESSAGES UNSEEN)"), "MESSAGES 8", "UNSEEN 4")
good(client.store("1", "+FLAGS.SILENT", "(\\Deleted)"))
good(client.expunge(), "1")
good(client.select("INBOX", readonly=True), "16")
assert client.store("1", "+FLAGS", "(\\Seen)")[0] == "NO"
good(client.close())
assert client.select("nowhere")[0] == "NO"
good(client.select("Copies"), "8")
good(client.unselect())
client.logout()

refused = imaplib.IMAP4("127.0.0.1", int(imap))
try:
    refused.login("alice@example.org", "wrong")
    raise SystemExit("it was let in")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
refused.shutdown()
print("done")
