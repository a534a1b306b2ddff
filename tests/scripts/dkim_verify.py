"""What another implementation (dkimpy) makes of a signed message.

`dkim_verify.py ZONE` reads the message from the standard input and TXT records from a file of lines "name<TAB>text";
`dkim_verify.py dns:PORT` asks a name server at a port of this machine for them. A second argument is how many seconds from now it is looked at. It prints a line for each DKIM signature: pass or fail, a=, d= and s=; then the state of the ARC chain: `arc none`, `arc pass 2`, ...
"""

import sys
import time

import dkim
import dns.resolver

ahead = int(sys.argv[2]) if len(sys.argv) > 2 else 0
now = time.time
time.time = lambda: now() + ahead

zone = {}
resolver = None
if sys.argv[1].startswith("dns:"):
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = int(sys.argv[1].removeprefix("dns:"))
else:
    for line in open(sys.argv[1], encoding="utf-8"):
        name, text = line.rstrip("\n").split("\t")
        zone[name] = text.encode()


def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    if resolver is None:
        return zone.get(name.rstrip(".").lower())
    try:
        answer = resolver.resolve(name, "TXT", lifetime=timeout)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    return b"".join(answer[0].strings)


message = sys.stdin.buffer.read()
verifier = dkim.DKIM(message)
count = sum(1 for name, _ in verifier.headers if name.lower() == b"dkim-signature")
for index in range(count):
    each = dkim.DKIM(message)
    try:
        good = each.verify(idx=index, dnsfunc=txt)
    except dkim.DKIMException:
        good = False
    fields = {key.decode(): value.decode() for key, value in (each.signature_fields or {}).items()}
    print("pass" if good else "fail", fields.get("a"), fields.get("d"), fields.get("s"))
cv, results, reason = dkim.arc_verify(message, dnsfunc=txt)
print("arc", cv.decode() if cv else "none", len(results) if cv == b"pass" else reason)
