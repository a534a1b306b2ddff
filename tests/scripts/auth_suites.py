"""Makes JSON of a public suite of test vectors, for `adapters/mail-auth/tests/suites`.

`auth_suites.py KIND FOLDER`, with "spf", "arc" or "arc-sign", and the folder of the suite's YAML: rfc7208-tests.yml, or
arc-draft-validation-tests.yml and arc-draft-sign-tests.yml. Needs the package PyYAML.
"""

import ipaddress
import json
import sys

import yaml

kind, folder = sys.argv[1:]


class Loader(yaml.SafeLoader):
    pass


# "0123" and "12:30" are texts here.
Loader.yaml_implicit_resolvers = {
    first: [row for row in rows if row[0] not in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")]
    for first, rows in Loader.yaml_implicit_resolvers.items()
}


def scenarios(name):
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        yield from yaml.load_all(file, Loader)


def listed(value):
    return value if isinstance(value, list) else [value]


def spf_zone(data):
    rows = []
    for name, records in data.items():
        name = name.rstrip(".")
        only_spf = [r["SPF"] for r in records if isinstance(r, dict) and "SPF" in r]
        has_txt = any(isinstance(r, dict) and "TXT" in r for r in records)
        for record in records:
            if record == "TIMEOUT":
                known = {type_ for r in records if isinstance(r, dict) for type_, value in r.items() if value != "NONE"}
                known |= {"TXT"} if only_spf and not has_txt else set()
                rows += [[name, f"TIMEOUT_{t}", None] for t in ("TXT", "A", "AAAA", "MX", "PTR") if t not in known]
                continue
            for type_, value in record.items():
                if type_ == "MX":
                    rows.append([name, "MX", [int(value[0]), value[1]]])
                elif type_ == "TXT" and value != "NONE":
                    if value == "TIMEOUT":
                        rows.append([name, "TIMEOUT_TXT", None])
                    else:
                        rows.append([name, "TXT", value])
                elif type_ in ("A", "AAAA", "PTR", "CNAME"):
                    rows.append([name, type_, value])
        # The suite's convention: SPF records stand for TXT records unless the name has some of its own.
        if not has_txt:
            for value in only_spf:
                rows.append([name, "TIMEOUT_TXT", None] if value == "TIMEOUT" else [name, "TXT", value])
    return rows


def spf():
    for scenario in scenarios("rfc7208-tests.yml"):
        cases = []
        for name, test in scenario["tests"].items():
            cases.append(
                {
                    "name": name,
                    "method": "spf",
                    "peer": str(ipaddress.ip_address(test["host"])),
                    "helo": test["helo"],
                    "mail_from": test["mailfrom"],
                    "message": "From: a@nowhere.invalid\r\n\r\n",
                    "expected": listed(test["result"]),
                }
            )
        yield {"zone": spf_zone(scenario["zonedata"]), "cases": cases}


def txt_zone(scenario):
    return [[name, "TXT", "".join(value.split("\n"))] for name, value in scenario["txt-records"].items()]


def octets(message):
    """A message with CRLF, each octet as a character."""
    return (message or "").replace("\r\n", "\n").replace("\n", "\r\n").encode().decode("latin-1")


def arc():
    for scenario in scenarios("arc-draft-validation-tests.yml"):
        cases = []
        for name, test in scenario["tests"].items():
            cases.append(
                {
                    "name": name,
                    "method": "arc",
                    "peer": "192.0.2.1",
                    "helo": "nowhere.invalid",
                    "mail_from": "",
                    "message": octets(test["message"]),
                    # An empty one is of a chain that says by itself that it has failed.
                    "expected": [{"": "fail"}.get(test["cv"], test["cv"] or "none").lower()],
                }
            )
        yield {"zone": txt_zone(scenario), "cases": cases}


def arc_sign():
    for scenario in scenarios("arc-draft-sign-tests.yml"):
        cases = []
        for name, test in scenario["tests"].items():
            cases.append(
                {
                    "name": name,
                    "message": octets(test["message"]),
                    "authserv_id": test["srv-id"],
                    "time": int(test["t"]),
                    # All empty: no set is to be made.
                    "seal": test["AS"],
                    "signature": test["AMS"],
                    "results": test["AAR"],
                }
            )
        yield {"zone": txt_zone(scenario), "cases": cases}


json.dump(list({"spf": spf, "arc": arc, "arc-sign": arc_sign}[kind]()), sys.stdout)
