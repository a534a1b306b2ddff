"""A session of the Python client jmapc with a server: log in, list, import by SMTP's doing, query, get, flag, move, submit.

Arguments: base URL, user, password. Prints "done" at the end; any surprise is an exception.
"""

import functools
import sys
import threading

from jmapc import (
    Client, Email, EmailAddress, EmailBodyPart, EmailBodyValue, EmailHeader,
    EmailQueryFilterCondition, EmailSubmission, MailboxQueryFilterCondition, Ref,
)
from jmapc.methods import (
    CoreEcho, EmailChanges, EmailChangesResponse, EmailGet, EmailGetResponse, EmailQuery,
    EmailQueryResponse, EmailSet, EmailSetResponse, EmailSubmissionSet, EmailSubmissionSetResponse,
    IdentityGet, IdentityGetResponse, MailboxGet, MailboxGetResponse, MailboxQuery, MailboxQueryResponse,
    SearchSnippetGet, SearchSnippetGetResponse, ThreadGet, ThreadGetResponse,
)
from jmapc.client import ClientError
from jmapc.session import Session

BASE, USER, PASSWORD = sys.argv[1:4]


class PlainClient(Client):
    """jmapc speaks HTTPS alone; the server under test has a certificate of its own making."""

    @functools.cached_property
    def jmap_session(self):
        response = self.requests_session.get(f"{BASE}/.well-known/jmap", timeout=30)
        response.raise_for_status()
        return Session.from_dict(response.json())


def request(client, method, expected):
    try:
        response = client.request(method, raise_errors=True)
    except ClientError as error:
        raise AssertionError(f"{method}: {error.result}") from error
    responses = response if isinstance(response, list) else [response]
    assert isinstance(responses[0], expected), responses
    return responses[0]


client = PlainClient.create_with_password("unused.example", USER, PASSWORD)
assert client.jmap_session.username == USER
echo = client.request(CoreEcho(data={"hello": "world"}), raise_errors=True)
assert echo.data == {"hello": "world"}, echo

mailboxes = request(client, MailboxGet(ids=None), MailboxGetResponse).data
by_role = {mailbox.role: mailbox.id for mailbox in mailboxes if mailbox.role}
assert {"inbox", "drafts", "sent", "trash"} <= set(by_role), by_role
found = request(client, MailboxQuery(filter=MailboxQueryFilterCondition(role="inbox")), MailboxQueryResponse)
assert found.ids == [by_role["inbox"]], found

identities = request(client, IdentityGet(ids=None), IdentityGetResponse).data
assert any(identity.email == USER for identity in identities), identities

state = request(client, EmailGet(ids=[]), EmailGetResponse).state

changed = threading.Event()


def follow():
    follower = PlainClient.create_with_password("unused.example", USER, PASSWORD)
    for event in follower.events:
        if event.data.changed:
            changed.set()
            return


threading.Thread(target=follow, daemon=True).start()

# A draft, and its submission to oneself in the same request, with what becomes of it.
created = request(
    client,
    EmailSet(create={"draft": Email(
        mail_from=[EmailAddress(name="Alice", email=USER)],
        to=[EmailAddress(email=USER)],
        subject="From a snake",
        keywords={"$draft": True, "$seen": True},
        mailbox_ids={by_role["drafts"]: True},
        body_values={"text": EmailBodyValue(value="pythonesque words\n")},
        text_body=[EmailBodyPart(part_id="text", type="text/plain")],
        headers=[EmailHeader(name="X-From-Test", value="yes")],
    )}),
    EmailSetResponse,
)
assert created.created and created.created["draft"].id, created.not_created
draft = created.created["draft"].id
identity = next(identity for identity in identities if identity.email == USER)
submitted = request(
    client,
    EmailSubmissionSet(
        on_success_update_email={"#submission": {
            "keywords/$draft": None,
            f"mailboxIds/{by_role['drafts']}": None,
            f"mailboxIds/{by_role['sent']}": True,
        }},
        create={"submission": EmailSubmission(email_id=draft, identity_id=identity.id)},
    ),
    EmailSubmissionSetResponse,
)
assert submitted.created and submitted.created["submission"].id, submitted.not_created
sent = request(client, EmailGet(ids=[draft], properties=["mailboxIds", "keywords"]), EmailGetResponse).data[0]
assert sent.mailbox_ids == {by_role["sent"]: True}, sent
assert "$draft" not in sent.keywords, sent

# Without a sort order: jmapc writes arguments of Email/query into each Comparator, where the RFC has none.
for attempt in range(200):
    in_inbox = request(client, EmailQuery(
        filter=EmailQueryFilterCondition(in_mailbox=by_role["inbox"], text="pythonesque"),
        limit=5,
    ), EmailQueryResponse)
    if in_inbox.ids:
        break
    threading.Event().wait(0.1)
assert len(in_inbox.ids) == 1, "the message to oneself did not arrive"

results = client.request([
    EmailQuery(filter=EmailQueryFilterCondition(text="pythonesque")),
    EmailGet(ids=Ref("/ids"), fetch_all_body_values=True, properties=[
        "id", "threadId", "subject", "from", "to", "bodyValues", "textBody", "preview", "receivedAt", "headers",
    ]),
    ThreadGet(ids=Ref("/list/*/threadId")),
], raise_errors=True)
emails, threads = results[1].response, results[2].response
assert isinstance(emails, EmailGetResponse) and isinstance(threads, ThreadGetResponse), results
assert {email.subject for email in emails.data} == {"From a snake"}, emails
assert "pythonesque" in next(iter(emails.data[0].body_values.values())).value
assert {email.id for email in emails.data} == set(threads.data[0].email_ids), threads

received = in_inbox.ids[0]
snippets = request(client, SearchSnippetGet(
    ids=[received], filter=EmailQueryFilterCondition(text="pythonesque")), SearchSnippetGetResponse)
assert "<mark>pythonesque</mark>" in snippets.data[0].preview, snippets

flagged = request(client, EmailSet(update={received: {
    "keywords/$flagged": True, f"mailboxIds/{by_role['inbox']}": None, f"mailboxIds/{by_role['trash']}": True,
}}), EmailSetResponse)
assert received in flagged.updated, flagged.not_updated
email = request(client, EmailGet(ids=[received], properties=["keywords", "mailboxIds"]), EmailGetResponse).data[0]
assert email.keywords.get("$flagged") and email.mailbox_ids == {by_role["trash"]: True}, email

changes = request(client, EmailChanges(since_state=state), EmailChangesResponse)
assert {draft, received} <= set(changes.created), changes
destroyed = request(client, EmailSet(destroy=[received]), EmailSetResponse)
assert destroyed.destroyed == [received], destroyed
assert changed.wait(20), "no event"
print("done")
