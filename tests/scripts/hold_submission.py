"""A session of submission that stays open, with Python's smtplib: `hold_submission.py PORT USER PASSWORD`.

Prints `in` once it is logged in, then the code and the text of whatever the server says next, or `closed`.
"""

import smtplib
import ssl
import sys

port, user, password = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
client = smtplib.SMTP("127.0.0.1", int(port), local_hostname="client.example.net", timeout=60)
client.starttls(context=context)
client.login(user, password)
print("in", flush=True)
try:
    code, text = client.getreply()
    print(code, text.decode(), flush=True)
except smtplib.SMTPServerDisconnected:
    print("closed", flush=True)
