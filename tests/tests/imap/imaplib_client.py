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

refused = imaplib.IMAP4("127.0.0.1", int(imap))
try:
    refused.login("alice@example.org", "wrong")
    raise SystemExit("it was let in")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
refused.shutdown()
print("done")
