"""A client of OAuth 2.0 and OpenID Connect that others wrote (Authlib), with somebody at a browser.

oauth_client.py BASE_URL IMAP_PORT LOGIN PASSWORD

Prints a line for each thing that has worked; anything else ends it with an error.
"""

import base64
import html.parser
import imaplib
import os
import sys
import time
from urllib.parse import parse_qs, urljoin, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # The test's server is on this machine.

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, jwt
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url

BACK = "http://127.0.0.1:9/back"
MAIL = "urn:ietf:params:jmap:mail"
SCOPE = f"openid email profile offline_access {MAIL} urn:ietf:params:jmap:submission"


class Form(html.parser.HTMLParser):
    """The first form of a page."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields, self.buttons, self.is_over = None, {}, [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        assert tag != "script" or of == {"src": "/oauth/passkey.js", "defer": None}
        if self.is_over:
            return
        if tag == "form":
            assert of["method"] == "post"
            self.action = of["action"]
        elif tag == "input":
            self.fields[of["name"]] = of.get("value", "")
        elif tag == "button" and "name" in of:
            self.buttons.append((of["name"], of["value"]))

    def handle_endtag(self, tag):
        self.is_over |= tag == "form"


class Person:
    """Somebody at a browser."""

    def __init__(self, base, login, password):
        self.base, self.login, self.password = base, login, password
        self.browser = requests.Session()

    def fill(self, page, **values):
        form = Form(page.text)
        for name in values:
            assert name in form.fields or (name, values[name]) in form.buttons, (name, page.text)
        data = {**form.fields, **values}
        headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        url = urljoin(page.url, form.action)
        return self.browser.post(url, data=data, headers=headers, allow_redirects=False)

    def sign_in(self, page):
        assert "Sign in" in page.text, page.text
        page = self.fill(page, login=self.login, password=self.password)
        assert page.status_code == 200 and "Allow access?" in page.text, page.text
        return page

    def allow(self, url):
        page = self.browser.get(url)
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy and "unsafe" not in policy, policy
        answer = self.fill(self.sign_in(page), decision="allow")
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]


def done(text):
    print(text, flush=True)


def main(base, imap_port, login, password):
    discovery = requests.get(get_well_known_url(base, external=True)).json()
    metadata = OpenIDProviderMetadata(discovery)
    for name in discovery:
        # The test's server has no TLS; all else Authlib looks at itself.
        if name != "issuer" and not name.endswith(("_endpoint", "jwks_uri")):
            check = getattr(metadata, f"validate_{name}", None)
            if check:
                check()
    assert discovery["issuer"] == base
    other = requests.get(f"{base}/.well-known/oauth-authorization-server").json()
    assert other == discovery
    done("discovery")

    registered = requests.post(
        discovery["registration_endpoint"],
        json={
            "client_name": "Authlib",
            "redirect_uris": [BACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        },
    )
    assert registered.status_code == 201, registered.text
    client_id = registered.json()["client_id"]
    done("registration")

    session = OAuth2Session(
        client_id,
        token_endpoint_auth_method="none",
        scope=SCOPE,
        redirect_uri=BACK,
        code_challenge_method="S256",
    )
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = session.create_authorization_url(
        discovery["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    person = Person(base, login, password)
    location = person.allow(url)
    assert location.startswith(BACK + "?"), location
    answer = parse_qs(urlsplit(location).query)
    assert answer["state"] == [state] and answer["iss"] == [base], location
    token = session.fetch_token(
        discovery["token_endpoint"], authorization_response=location, code_verifier=verifier
    )
    assert token["token_type"] == "Bearer" and token["expires_in"] == 3600
    assert set(token["scope"].split()) == set(SCOPE.split())
    done("code with PKCE")

    keys = JsonWebKey.import_key_set(requests.get(discovery["jwks_uri"]).json())
    claims = jwt.decode(
        token["id_token"],
        keys,
        claims_cls=CodeIDToken,
        claims_options={"iss": {"value": base}, "aud": {"value": client_id}},
        claims_params={"nonce": nonce, "client_id": client_id, "access_token": token["access_token"]},
    )
    claims.validate()
    assert claims["email"] == login and claims["preferred_username"] == login
    info = session.get(discovery["userinfo_endpoint"]).json()
    assert info["sub"] == claims["sub"] and info["email"] == login, info
    done("ID token and userinfo")

    jmap = requests.get(f"{base}/.well-known/jmap", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert jmap.status_code == 200 and jmap.json()["username"] == login, jmap.text
    done("JMAP")

    def imap(mechanism, access):
        connection = imaplib.IMAP4("127.0.0.1", int(imap_port))
        text = {
            "OAUTHBEARER": f"n,a={login},\x01host=127.0.0.1\x01port={imap_port}\x01auth=Bearer {access}\x01\x01",
            "XOAUTH2": f"user={login}\x01auth=Bearer {access}\x01\x01",
        }[mechanism]
        answers = [text.encode(), b"\x01"]
        connection.authenticate(mechanism, lambda _: answers.pop(0))
        assert connection.select("INBOX")[0] == "OK"
        connection.logout()

    imap("OAUTHBEARER", token["access_token"])
    imap("XOAUTH2", token["access_token"])
    try:
        imap("OAUTHBEARER", token["access_token"][:-2] + "AA")
        raise SystemExit("a wrong token was taken")
    except imaplib.IMAP4.error as error:
        assert "AUTHENTICATIONFAILED" in str(error), error
    done("IMAP")

    first = token["refresh_token"]
    newer = session.refresh_token(discovery["token_endpoint"], refresh_token=first)
    assert newer["refresh_token"] != first and newer["access_token"] != token["access_token"]
    imap("OAUTHBEARER", newer["access_token"])
    done("refresh")

    introspected = session.introspect_token(
        discovery["introspection_endpoint"], token=newer["access_token"]
    ).json()
    assert introspected["active"] and introspected["client_id"] == client_id, introspected
    session.revoke_token(discovery["revocation_endpoint"], token=newer["refresh_token"])
    introspected = session.introspect_token(
        discovery["introspection_endpoint"], token=newer["access_token"]
    ).json()
    assert introspected == {"active": False}, introspected
    done("introspection and revocation")

    begun = requests.post(
        discovery["device_authorization_endpoint"],
        data={"client_id": client_id, "scope": f"offline_access {MAIL}"},
    ).json()
    assert begun["verification_uri"] == f"{base}/oauth/device"

    def poll():
        return requests.post(
            discovery["token_endpoint"],
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "device_code": begun["device_code"],
                "client_id": client_id,
            },
        )

    assert poll().json()["error"] == "authorization_pending"
    assert poll().json()["error"] == "slow_down"
    person = Person(base, login, password)
    page = person.browser.get(begun["verification_uri_complete"])
    assert begun["user_code"] in page.text
    page = person.fill(page)
    answer = person.fill(person.sign_in(page), decision="allow")
    assert answer.status_code == 200 and "let in" in answer.text, answer.text
    time.sleep(begun["interval"])
    token = poll().json()
    imap("OAUTHBEARER", token["access_token"])
    done("device")
    # For whoever goes on with it.
    print(token["access_token"], client_id, base64.b64encode(token["refresh_token"].encode()).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
