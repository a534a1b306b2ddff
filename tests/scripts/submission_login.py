"""Logs in to submission over STARTTLS with Python's smtplib, and prints the last answer.

submission_login.py PORT LOGIN PASSWORD
submission_login.py PORT LOGIN --bearer TOKEN
"""

import smtplib
import ssl
import sys


def main(port, login, *secret):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # The test's server has made its own.
    with smtplib.SMTP("127.0.0.1", int(port)) as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        try:
            if secret[0] == "--bearer":
                text = f"n,a={login},\x01auth=Bearer {secret[1]}\x01\x01"
                # What follows a refusal is an answer that means nothing (RFC 7628 §3.2.3).
                answers = [text, "\x01"]
                code, said = smtp.auth("OAUTHBEARER", lambda challenge=None: answers.pop(0))
            else:
                smtp.user, smtp.password = login, secret[0]
                code, said = smtp.auth("PLAIN", smtp.auth_plain)
        except smtplib.SMTPAuthenticationError as error:
            code, said = error.smtp_code, error.smtp_error
    print(code, said.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
