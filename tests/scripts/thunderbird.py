"""Thunderbird against a running server: it sets up an IMAP account over TLS, shows the list and a message, flags and moves one, and takes pictures.

It is driven by Marionette (thunderbird --marionette), in a profile of its own and without a display. See tests/README.md.

    python3 thunderbird.py IMAPS_PORT USER PASSWORD FOLDER_FOR_PICTURES
"""
import base64
import imaplib
import json
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time

port, user, password, pictures = int(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
pictures.mkdir(parents=True, exist_ok=True)

PREFERENCES = {
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.defaultaccount": "account1",
    "mail.account.account1.server": "server1",
    "mail.account.account1.identities": "id1",
    "mail.identity.id1.fullName": "Alice",
    "mail.identity.id1.useremail": user,
    "mail.identity.id1.valid": True,
    "mail.server.server1.type": "imap",
    "mail.server.server1.hostname": "127.0.0.1",
    "mail.server.server1.port": port,
    "mail.server.server1.userName": user,
    "mail.server.server1.name": user,
    "mail.server.server1.socketType": 3,
    "mail.server.server1.authMethod": 3,
    # It would ask for the password before anybody could give it.
    "mail.server.server1.login_at_startup": False,
    "mail.server.server1.check_new_mail": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.spotlight.firstRunDone": True,
    "mail.shell.checkDefaultClient": False,
    "mailnews.start_page.enabled": False,
    "app.donation.eoy.version.viewed": 999,
    "app.update.auto": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    # The message below the list.
    "mail.pane_config.dynamic": 0,
    "mail.threadpane.listview": 1,
    # Not threaded, by date, newest first.
    "mailnews.default_view_flags": 0,
    "mailnews.default_sort_type": 18,
    "mailnews.default_sort_order": 2,
    "marionette.port": 0,
}


def connect(profile):
    """Marionette writes its port into the profile when it is ready."""
    for _ in range(600):
        try:
            text = (profile / "MarionetteActivePort").read_text().strip()
            return socket.create_connection(("127.0.0.1", int(text)))
        except (OSError, ValueError):
            time.sleep(0.1)
    raise SystemExit("Thunderbird has opened no port")


class Marionette:
    """Commands are `length:[0, id, name, parameters]`, answers `length:[1, id, error, value]`."""

    def __init__(self, stream):
        self.stream, self.number = stream, 0
        self.read()
        self.say("WebDriver:NewSession", {"acceptInsecureCerts": True})
        self.say("Marionette:SetContext", {"value": "chrome"})
        self.say("WebDriver:SetTimeouts", {"script": 120000})

    def read(self):
        length = b""
        while not length.endswith(b":"):
            length += self.stream.recv(1)
        octets = b""
        while len(octets) < int(length[:-1]):
            octets += self.stream.recv(int(length[:-1]) - len(octets))
        return json.loads(octets)

    def say(self, name, parameters):
        self.number += 1
        text = json.dumps([0, self.number, name, parameters]).encode()
        self.stream.sendall(b"%d:%s" % (len(text), text))
        _, _, error, value = self.read()
        if error:
            raise SystemExit(f"{name}: {error}")
        return value

    def run(self, script, *arguments):
        """Runs the body of an asynchronous function in the main window."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            "(async (...args) => {" + script + "})(...Array.from(arguments).slice(0, -1))"
            ".then(value => done({value}), error => done({error: String(error) + error.stack}));"
        )
        value = self.say("WebDriver:ExecuteAsyncScript", {"script": wrapped, "args": list(arguments)})["value"]
        if "error" in value:
            raise SystemExit(value["error"])
        return value.get("value")

    def picture(self, name):
        value = self.say("WebDriver:TakeScreenshot", {"full": True})["value"]
        (pictures / name).write_bytes(base64.b64decode(value))


COMMON = """
    const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
    const until = async (what, test) => {
        for (let n = 0; n < 300; n++) {
            try { const value = await test(); if (value) return value; } catch (error) { what += " " + error; }
            await new Promise(resolve => setTimeout(resolve, 100));
        }
        const seen = pane()?.gDBView?.rowCount + " rows, " + inbox()?.getTotalMessages(false) + " messages";
        throw new Error("waited for " + what.slice(0, 300) + ": " + seen);
    };
    const server = MailServices.accounts.accounts[0].incomingServer;
    const inbox = () => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
    const pane = () => document.getElementById("tabmail").currentAbout3Pane;
"""

inspector = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=ssl._create_unverified_context())
inspector.login(user, password)
inspector.select("INBOX", readonly=True)
count = len(inspector.search(None, "ALL")[1][0].split())

with tempfile.TemporaryDirectory(prefix="thunderbird-") as folder:
    profile = pathlib.Path(folder)
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("\n".join(lines) + "\n")
    environment = {"HOME": folder, "PATH": "/usr/bin:/bin", "MOZ_HEADLESS_WIDTH": "1400", "MOZ_HEADLESS_HEIGHT": "900"}
    command = ["thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", folder]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        thunderbird = Marionette(connect(profile))
        print(thunderbird.run(COMMON + """
            const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
            login.init("imap://127.0.0.1", null, "imap://127.0.0.1", args[0], args[1], "", "");
            await Services.logins.addLoginAsync(login);
            await until("an inbox", () => { server.performExpand(null); return inbox(); });
            return navigator.userAgent;
        """, user, password))
        subjects = thunderbird.run(COMMON + """
            await until("the three panes", () => pane()?.displayFolder);
            pane().displayFolder(inbox());
            await until(args[0] + " messages", () => {
                inbox().updateFolder(null);
                return pane().gDBView?.rowCount == args[0] && inbox().getTotalMessages(false) == args[0];
            });
            const view = pane().gDBView;
            const rows = Array.from({ length: view.rowCount }, (_, n) => view.getMsgHdrAt(n));
            return rows.map(row => row.mime2DecodedSubject);
        """, count)
        print(len(subjects), "messages in the list")
        text = thunderbird.run(COMMON + """
            const view = pane().gDBView;
            // The first with some text.
            let at = 0;
            while (view.getMsgHdrAt(at).messageSize > 20000) at++;
            pane().threadTree.selectedIndex = at;
            const shown = await until("a message", () => {
                const browser = pane().messageBrowser.contentWindow.getMessagePaneBrowser();
                const text = browser.contentDocument?.body?.textContent?.trim();
                return text?.length > 20 && text;
            });
            inbox().markMessagesFlagged([view.getMsgHdrAt(at)], true);
            return [view.getMsgHdrAt(at).messageId, shown];
        """)
        print("shown:", text[0], repr(text[1][:80]))
        time.sleep(2)
        thunderbird.picture("list.png")
        moved = thunderbird.run(COMMON + """
            server.rootFolder.createSubfolder("From Thunderbird", null);
            const target = await until("a new folder", () => server.rootFolder.getChildNamed("From Thunderbird"));
            const view = pane().gDBView;
            const header = view.getMsgHdrAt(view.rowCount - 1);
            const id = header.messageId;
            await new Promise((resolve, reject) => MailServices.copy.copyMessages(inbox(), [header], target, true, {
                QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
                onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
                onStopCopy(status) { status ? reject(new Error("copy " + status)) : resolve(); },
            }, null, false));
            await until("one less", () => pane().gDBView.rowCount == args[0] - 1);
            return id;
        """, count)
        inspector.select("INBOX")
        flagged = inspector.search(None, "FLAGGED", "HEADER", "Message-ID", f'"{text[0]}"')
        assert len(flagged[1][0].split()) == 1, flagged
        status, data = inspector.select('"From Thunderbird"', readonly=True)
        assert status == "OK" and data == [b"1"], (status, data)
        _, data = inspector.fetch("1", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        assert moved.encode() in data[0][1], (moved, data)
        thunderbird.picture("moved.png")
        print("moved:", moved)
    finally:
        process.terminate()
        process.wait(30)
print("done")
