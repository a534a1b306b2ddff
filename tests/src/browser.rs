//! A real browser without a screen, driven over WebDriver (W3C): Chromium and its driver.
//!
//! Holds: it is gone when the test is, with all it has written; what it has complained of, and every address that it has asked for, is
//! there to be looked at.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{home::free_port, http::Http};

/// A debug build on a busy machine takes its time.
const WAIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);
/// How WebDriver writes a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// WebDriver's names of keys.
pub mod key {
    pub const ENTER: &str = "\u{e007}";
    pub const ESCAPE: &str = "\u{e00c}";
    pub const TAB: &str = "\u{e004}";
    pub const SHIFT: &str = "\u{e008}";
    pub const SPACE: &str = " ";
    pub const RIGHT: &str = "\u{e014}";
    pub const BACKSPACE: &str = "\u{e003}";
    pub const CONTROL: &str = "\u{e009}";
}

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// What the browser writes.
    _folder: TempDir,
}

/// What the browser complains of.
#[derive(Debug)]
pub struct Complaint {
    pub level: String,
    pub text: String,
}

impl Browser {
    pub fn start() -> Browser {
        let folder = tempfile::Builder::new()
            .prefix("posthorn-browser-")
            .tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can't be started: it is in Debian's chromium-driver");
        let mut browser = Browser {
            driver,
            port,
            session: String::new(),
            _folder: folder,
        };
        browser.begin();
        browser
    }

    fn begin(&mut self) {
        let profile = self._folder.path().join("profile");
        let profile = format!("--user-data-dir={}", profile.display());
        let args = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-sync",
            "--force-prefers-reduced-motion",
            "--lang=en-GB",
            "--window-size=1280,900",
            profile,
        ]);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let end = Instant::now() + WAIT;
        let made = loop {
            match self.try_ask("POST", "/session", &wanted) {
                Ok(made) => break made,
                Err(error) if Instant::now() > end => panic!("no browser: {error}"),
                Err(_) => thread::sleep(POLL),
            }
        };
        let session = made["sessionId"].as_str().expect("a session");
        self.session = format!("/session/{session}");
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = match method {
            "GET" | "DELETE" => String::new(),
            _ => body.to_string(),
        };
        let fields = [("Content-Type", "application/json")];
        let answer = Http::new(self.port)
            .request(method, path, &fields, body.as_bytes())
            .map_err(|error| error.to_string())?;
        let value = answer.json()["value"].clone();
        match answer.status {
            200 => Ok(value),
            _ => Err(format!("{path}: {}: {}", value["error"], value["message"])),
        }
    }

    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.try_ask(method, &path, &body)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Loads a page.
    pub fn go(&self, url: &str) {
        self.ask("POST", "/url", json!({"url": url}));
    }

    pub fn reload(&self) {
        self.ask("POST", "/refresh", json!({}));
    }

    pub fn back(&self) {
        self.ask("POST", "/back", json!({}));
    }

    pub fn url(&self) -> String {
        self.ask("GET", "/url", Value::Null)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What the body of a function comes to in the page.
    pub fn run(&self, script: &str, args: Value) -> Value {
        self.ask(
            "POST",
            "/execute/sync",
            json!({"script": script, "args": args}),
        )
    }

    /// A command of Chromium's own protocol.
    pub fn command(&self, name: &str, parameters: Value) {
        self.ask(
            "POST",
            "/goog/cdp/execute",
            json!({"cmd": name, "params": parameters}),
        );
    }

    /// From now on there is a device with passkeys, which always knows the person.
    pub fn add_authenticator(&self) {
        self.command("WebAuthn.enable", json!({}));
        let options = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserVerified": true,
            "automaticPresenceSimulation": true,
        });
        self.command(
            "WebAuthn.addVirtualAuthenticator",
            json!({"options": options}),
        );
    }

    /// As large as a phone, or another screen.
    pub fn screen(&self, width: u32, height: u32, is_phone: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.command("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the system's colours are: `light` or `dark`.
    pub fn system_colours(&self, colours: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": colours},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Runs a script until it comes to something that isn't null or false.
    pub fn until(&self, what: &str, script: &str, args: Value) -> Value {
        let end = Instant::now() + WAIT;
        loop {
            let value = self.run(script, args.clone());
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            if Instant::now() > end {
                let text = self.run("return document.body.innerText", json!([]));
                panic!(
                    "waited for {what} at {}; there is:\n{}",
                    self.url(),
                    text.as_str().unwrap_or_default()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// A click where the mouse would do it: what lies under something else can't be clicked. As somebody would, it scrolls away from
    /// under what is fixed to the window.
    pub fn click(&self, element: &Value) {
        let scroll = "const box = arguments[0].getBoundingClientRect(); \
            const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2); \
            if (!arguments[0].contains(there)) arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})";
        self.run(scroll, json!([element]));
        let path = format!("{}/element/{}/click", self.session, id_of(element));
        let end = Instant::now() + WAIT;
        loop {
            match self.try_ask("POST", &path, &json!({})) {
                // A note that lies over it goes away by itself.
                Err(error) if error.contains("click intercepted") && Instant::now() < end => {
                    thread::sleep(POLL);
                }
                done => break drop(done.unwrap_or_else(|error| panic!("{error}"))),
            }
        }
    }

    /// Types into an element.
    pub fn type_into(&self, element: &Value, text: &str) {
        let path = format!("/element/{}/value", id_of(element));
        self.ask("POST", &path, json!({"text": text}));
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub fn press(&self, keys: &[&str]) {
        let mut actions = Vec::new();
        for key in keys {
            actions.push(json!({"type": "keyDown", "value": key}));
            actions.push(json!({"type": "keyUp", "value": key}));
        }
        self.perform(actions);
    }

    /// Presses a key while another one is held.
    pub fn press_with(&self, held: &str, key: &str) {
        self.perform(vec![
            json!({"type": "keyDown", "value": held}),
            json!({"type": "keyDown", "value": key}),
            json!({"type": "keyUp", "value": key}),
            json!({"type": "keyUp", "value": held}),
        ]);
    }

    fn perform(&self, actions: Vec<Value>) {
        let keyboard = json!([{"type": "key", "id": "keyboard", "actions": actions}]);
        self.ask("POST", "/actions", json!({"actions": keyboard}));
    }

    pub fn screenshot(&self, path: &Path) {
        let image = self.ask("GET", "/screenshot", Value::Null);
        let image = BASE64_STANDARD.decode(image.as_str().unwrap_or_default());
        fs::write(path, image.expect("an image")).expect("the image can't be written");
    }

    /// What the browser has complained of since it was asked the last time.
    pub fn complaints(&self) -> Vec<Complaint> {
        let rows = self.ask("POST", "/se/log", json!({"type": "browser"}));
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.as_array()
            .expect("a list")
            .iter()
            .map(|row| Complaint {
                level: text(row, "level"),
                text: text(row, "message"),
            })
            .collect()
    }

    /// What the network has done since it was asked the last time: Chromium's events.
    pub fn network(&self) -> Vec<Value> {
        let rows = self.ask("POST", "/se/log", json!({"type": "performance"}));
        let rows = rows.as_array().expect("a list").iter();
        rows.filter_map(|row| serde_json::from_str::<Value>(row["message"].as_str()?).ok())
            .map(|event| event["message"].clone())
            .filter(|event| {
                event["method"]
                    .as_str()
                    .is_some_and(|method| method.starts_with("Network."))
            })
            .collect()
    }
}

fn id_of(element: &Value) -> &str {
    element[ELEMENT]
        .as_str()
        .unwrap_or_else(|| panic!("{element} is no element"))
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.try_ask("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
