"""A whole session by Python's poplib: over TLS that was begun by STLS, or from the first byte.

Arguments: host, port of pop3, port of pop3s, login name, password. Three messages are there: "one", "two" and one whose
lines begin with dots. Afterwards "two" alone is left.
"""

import poplib
import ssl
import sys
import time

host, port, tls_port, user, password = sys.argv[1:]


def context():
    # The test's server has a certificate that it has made itself.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ids(client):
    return [line.split()[1] for line in client.uidl()[1]]


client = poplib.POP3(host, int(port), timeout=60)
assert b"Posthorn" in client.getwelcome()
offered = client.capa()
for name in ("TOP", "UIDL", "RESP-CODES", "PIPELINING", "STLS", "UTF8", "SASL", "USER"):
    assert name in offered, (name, offered)
assert offered["EXPIRE"] == ["NEVER"], offered
client.stls(context())
assert "STLS" not in client.capa()
client.utf8()
client.user(user)
client.pass_(password)
count, octets = client.stat()
assert count == 3, count
sizes = [int(line.split()[1]) for line in client.list()[1]]
assert sum(sizes) == octets
for number, size in enumerate(sizes, 1):
    _, lines, _ = client.retr(number)
    assert sum(len(line) + 2 for line in lines) == size, (number, size)
subjects = [
    next(line for line in client.top(number, 0)[1] if line.startswith(b"Subject:"))
    for number in (1, 2, 3)
]
assert subjects == [b"Subject: one", b"Subject: two", b"Subject: dots"], subjects
body = client.retr(3)[1]
assert body[-3:] == [b".", b"..two", b"end"], body
assert client.top(1, 0)[1][-1] == b"", "the header ends with an empty line"
first = ids(client)
assert len(set(first)) == 3, first

# The maildrop is locked.
other = poplib.POP3_SSL(host, int(tls_port), timeout=60, context=context())
other.user(user)
try:
    other.pass_(password)
    raise SystemExit("two sessions have one maildrop")
except poplib.error_proto as error:
    assert b"[IN-USE]" in error.args[0], error
other.close()

# RSET takes marks back; a connection that breaks off removes nothing.
client.dele(1)
assert client.stat()[0] == 2
client.rset()
assert client.stat()[0] == 3
client.dele(1)
client.close()

# The server may need a moment to see that the other end has gone.
for attempt in range(100):
    client = poplib.POP3_SSL(host, int(tls_port), timeout=60, context=context())
    client.user(user)
    try:
        client.pass_(password)
        break
    except poplib.error_proto as error:
        assert b"[IN-USE]" in error.args[0], error
        client.close()
        time.sleep(0.1)
assert ids(client) == first, "ids have changed"
client.dele(1)
client.dele(3)
client.quit()

client = poplib.POP3_SSL(host, int(tls_port), timeout=60, context=context())
client.user(user)
client.pass_(password)
assert ids(client) == [first[1]], "the wrong messages were removed"
client.quit()
print("done")
