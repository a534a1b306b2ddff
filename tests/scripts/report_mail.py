"""What a reader of its own (Python's email, gzip, xml and json) finds in a mail with a report.

Reads a mail with a DMARC aggregate report or a TLS report from the standard input, or, as `report_mail.py tls`, the file of a TLS
report alone. Prints one line of JSON: `subject`, `from`, `type` and `file` of the attachment, `fields`, and the `report`. Ends with 1
and a sentence where a report is not as its RFC has it (RFC 7489 appendix C, RFC 8460 section 4).
"""

import email
import email.policy
import gzip
import json
import re
import sys
import xml.etree.ElementTree

ALIGNED = {"pass", "fail"}
DISPOSITIONS = {"none", "quarantine", "reject"}
DKIM = {"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"}
SPF = {"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}
RESULTS = {
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure",
    "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid",
}


def need(good, sentence):
    if not good:
        sys.exit(f"{sentence}\n")


def name(element):
    return element.tag.rsplit("}", 1)[-1]


def tree(element):
    """Children by name: a list of each; the text where there are none."""
    if len(element) == 0:
        return (element.text or "").strip()
    found = {}
    for child in element:
        found.setdefault(name(child), []).append(tree(child))
    return found


def one(of, key, values=None):
    need(isinstance(of, dict) and len(of.get(key, [])) == 1, f"one {key} is wanted in {of}")
    value = of[key][0]
    need(values is None or value in values, f"{key} is {value}")
    return value


def dmarc(octets):
    root = xml.etree.ElementTree.fromstring(octets)
    need(name(root) == "feedback", "the root is not feedback")
    order = [name(child) for child in root]
    report = tree(root)
    need(order[-len(report.get("record", [])):] == ["record"] * len(report.get("record", [])), f"records come last: {order}")
    head = one(report, "report_metadata")
    dates = one(head, "date_range")
    published = one(report, "policy_published")
    for key in ["p", "sp"]:
        one(published, key, DISPOSITIONS)
    for key in ["adkim", "aspf"]:
        one(published, key, {"r", "s"})
    rows = []
    for record in report["record"]:
        row, who, auth = (one(record, key) for key in ["row", "identifiers", "auth_results"])
        evaluated = one(row, "policy_evaluated")
        for dkim in auth.get("dkim", []):
            one(dkim, "result", DKIM)
            one(dkim, "domain")
        need(len(auth.get("spf", [])) == 1, f"one result of SPF is wanted: {auth}")
        spf = auth["spf"][0]
        rows.append({
            "source": one(row, "source_ip"),
            "count": int(one(row, "count")),
            "disposition": one(evaluated, "disposition", DISPOSITIONS),
            "dkim": one(evaluated, "dkim", ALIGNED),
            "spf": one(evaluated, "spf", ALIGNED),
            "headerFrom": one(who, "header_from"),
            "spfDomain": one(spf, "domain"),
            "spfResult": one(spf, "result", SPF),
        })
    return {
        "kind": "dmarc",
        "organisation": one(head, "org_name"),
        "contact": one(head, "email"),
        "id": one(head, "report_id"),
        "begin": int(one(dates, "begin")),
        "end": int(one(dates, "end")),
        "domain": one(published, "domain"),
        "policy": one(published, "p"),
        "rows": rows,
    }


def tls(octets):
    report = json.loads(octets)
    dates = report["date-range"]
    for key in ["start-datetime", "end-datetime"]:
        need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", dates[key]), f"{key} is {dates[key]}")
    for key in ["organization-name", "contact-info", "report-id"]:
        need(isinstance(report[key], str) and report[key], f"no {key}")
    for policy in report["policies"]:
        kind = policy["policy"]["policy-type"]
        need(kind in {"tlsa", "sts", "no-policy-found"}, f"policy-type is {kind}")
        need(kind == "no-policy-found" or policy["policy"]["policy-string"], "a policy without its text")
        summary = policy["summary"]
        details = policy.get("failure-details", [])
        for detail in details:
            need(detail["result-type"] in RESULTS, f"result-type is {detail['result-type']}")
            need(not any(value is None for value in detail.values()), f"a null in {detail}")
        failures = sum(detail["failed-session-count"] for detail in details)
        need(failures == summary["total-failure-session-count"], f"{failures} is not the sum: {summary}")
    return {"kind": "tls", **report}


if sys.argv[1:] == ["tls"]:
    print(json.dumps({"report": tls(gzip.decompress(sys.stdin.buffer.read()))}))
    sys.exit()
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
files = [part for part in message.walk() if part.get_filename()]
need(len(files) == 1, f"{len(files)} attachments")
octets = gzip.decompress(files[0].get_content())
kind = files[0].get_content_type()
print(json.dumps({
    "subject": message["subject"],
    "from": message["from"].addresses[0].addr_spec,
    "to": [address.addr_spec for address in message["to"].addresses],
    "type": kind,
    "whole": message.get_content_type(),
    "file": files[0].get_filename(),
    "tlsDomain": message["tls-report-domain"],
    "tlsSubmitter": message["tls-report-submitter"],
    "report": tls(octets) if kind == "application/tlsrpt+gzip" else dmarc(octets),
}))
