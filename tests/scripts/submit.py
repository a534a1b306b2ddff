"""A login by a token, with Python's smtplib: `submit.py PORT MECHANISM USER TOKEN` sends a message from the user to the user by submission.

Prints the reply that ended it.
"""

import smtplib
import ssl
import sys

port, mechanism, user, token = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
client = smtplib.SMTP("127.0.0.1", int(port), local_hostname="client.example.net", timeout=60)
client.starttls(context=context)
client.ehlo()
responses = {
    "XOAUTH2": f"user={user}\1auth=Bearer {token}\1\1",
    "OAUTHBEARER": f"n,a={user},\1host=127.0.0.1\1port={port}\1auth=Bearer {token}\1\1",
}


def respond(challenge=None):
    # What follows a challenge is the empty answer to an error (RFC 7628 section 3.2.3).
    return responses[mechanism] if challenge is None else "\1"


try:
    client.auth(mechanism, respond)
    refused = client.sendmail(user, [user], f"From: {user}\r\nSubject: by {mechanism}\r\n\r\nHi\r\n")
    print("250 sent", refused)
except smtplib.SMTPResponseException as error:
    print(error.smtp_code, error.smtp_error.decode())
