//! The console in a browser, as somebody uses it: by what is written on things.

use std::{env, path::PathBuf};

use e2e::{Home, PASSWORD, Server, browser::Browser, home::DOMAIN};
use serde_json::{Value, json};

const CONTRAST: &str = include_str!("contrast.js");
const REACH: &str = include_str!("reach.js");
const USABLE: &str = include_str!("usable.js");

/// What is looked at: an open dialog alone, else the whole page.
const ROOT: &str = "const root = document.querySelector('dialog[open]') ?? document;\
    const seen = (element) => element.getClientRects().length > 0;";

pub struct Console {
    pub server: Server,
    pub browser: Browser,
}

impl Console {
    /// With `admin`, `alice` and `bob` at example.org.
    pub fn start() -> Console {
        Console::start_in(Home::new())
    }

    /// The same, in this home.
    pub fn start_in(home: Home) -> Console {
        home.add_people();
        let admin = address("admin");
        home.cli(
            &["account", "add", &admin, "--admin", "--password-stdin"],
            PASSWORD,
        );
        Console {
            server: Server::start_in(home),
            browser: Browser::start(),
        }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.server.home.http)
    }

    /// Loads a page anew.
    pub fn open(&self, path: &str) {
        self.browser.go(&self.url(path));
    }

    pub fn path(&self) -> String {
        let url = self.browser.url();
        url.strip_prefix(&self.url("")).unwrap_or(&url).to_owned()
    }

    /// Loads a page, and signs in there.
    pub fn sign_in(&self, name: &str, path: &str) {
        self.open(path);
        self.heading("Sign in to Posthorn");
        self.fill("Account", &address(name));
        self.fill("Password", PASSWORD);
        self.press("Sign in");
        self.gone("Sign in to Posthorn");
    }

    /// Waits for a text that is to be seen.
    pub fn text(&self, text: &str) {
        let script = format!("{ROOT} return (root.body ?? root).innerText.includes(arguments[0])");
        self.browser
            .until(&format!("“{text}”"), &script, json!([text]));
    }

    /// Waits until a text isn't to be seen any more.
    pub fn gone(&self, text: &str) {
        let script = "return !document.body.innerText.includes(arguments[0])";
        self.browser
            .until(&format!("“{text}” to go"), script, json!([text]));
    }

    pub fn heading(&self, text: &str) {
        let script = "return document.querySelector('h1')?.innerText.includes(arguments[0])";
        self.browser
            .until(&format!("the page “{text}”"), script, json!([text]));
    }

    /// The button or link that says this.
    pub fn named(&self, name: &str) -> Value {
        let script = format!(
            "{ROOT} return [...root.querySelectorAll('button, a[href], summary')].find((element) => seen(element) && !element.disabled \
             && (element.getAttribute('aria-label') ?? element.innerText).trim().replace(/\\s+/g, ' ') === arguments[0])"
        );
        self.browser
            .until(&format!("a button “{name}”"), &script, json!([name]))
    }

    pub fn press(&self, name: &str) {
        let element = self.named(name);
        self.browser.click(&element);
    }

    /// Shows the tab that says this.
    pub fn tab(&self, name: &str) {
        let script = "return [...document.querySelectorAll('[role=tab]')].find((tab) => tab.innerText === arguments[0])";
        let what = format!("the tab “{name}”");
        let element = self.browser.until(&what, script, json!([name]));
        self.browser.click(&element);
    }

    /// Takes back what was done last.
    pub fn undo(&self) {
        let script = "return [...document.querySelectorAll('.toast button')].filter((button) => button.innerText === 'Undo').at(-1)";
        let element = self.browser.until("a way back", script, json!([]));
        self.browser.click(&element);
    }

    /// The button of a row of a table that has this text.
    pub fn press_in_row(&self, row: &str, name: &str) {
        let script = format!(
            "{ROOT} const rows = [...root.querySelectorAll('tbody tr')].filter((row) => row.innerText.includes(arguments[0])); \
             const all = rows.flatMap((row) => [...row.querySelectorAll('button, a')]); \
             return all.find((element) => element.innerText.trim() === arguments[1])"
        );
        let what = format!("“{name}” in the row of {row}");
        let element = self.browser.until(&what, &script, json!([row, name]));
        self.browser.click(&element);
    }

    /// Chooses the row that has this text.
    pub fn choose(&self, row: &str) {
        let script = format!(
            "{ROOT} const row = [...root.querySelectorAll('tbody tr')].find((row) => row.innerText.includes(arguments[0])); \
             return row?.querySelector('input[type=checkbox]')"
        );
        let element = self
            .browser
            .until(&format!("the row of {row}"), &script, json!([row]));
        self.browser.click(&element);
    }

    /// The field with this label.
    pub fn field(&self, label: &str) -> Value {
        let script = format!(
            "{ROOT} const label = [...root.querySelectorAll('label')].find((label) => seen(label) && label.innerText.startsWith(arguments[0])); \
             return label ? document.getElementById(label.htmlFor) \
             : [...root.querySelectorAll('input, select')].find((element) => seen(element) && element.getAttribute('aria-label') === arguments[0])"
        );
        self.browser
            .until(&format!("the field “{label}”"), &script, json!([label]))
    }

    /// Empties a field and types into it.
    pub fn fill(&self, label: &str, text: &str) {
        let field = self.field(label);
        let clear = "arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))";
        self.browser.run(clear, json!([field]));
        self.browser.type_into(&field, text);
    }

    /// Ticks a box, or chooses from a list.
    pub fn tick(&self, label: &str) {
        self.browser.click(&self.field(label));
    }

    pub fn select(&self, label: &str, choice: &str) {
        let script = "const [field, text] = arguments; \
             field.value = [...field.options].find((option) => option.text === text).value; \
             field.dispatchEvent(new Event('change', {bubbles: true}))";
        self.browser.run(script, json!([self.field(label), choice]));
    }

    /// The texts of the rows of the first table.
    pub fn rows(&self) -> Vec<String> {
        let script = "return [...(document.querySelector('table')?.querySelectorAll('tbody tr') ?? [])].map((row) => row.innerText)";
        let rows = self.browser.run(script, json!([]));
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// Waits until a page has all it shows.
    pub fn settled(&self) {
        let script = "return !document.querySelector('.loading')";
        self.browser
            .until("the page to be there", script, json!([]));
    }

    /// From now on, every page notes when it can be used.
    pub fn watch_time(&self) {
        let script = json!({"source": USABLE});
        self.browser
            .command("Page.addScriptToEvaluateOnNewDocument", script);
    }

    /// Milliseconds from asking for the page until it could be used.
    pub fn usable_after(&self) -> u64 {
        let time = self
            .browser
            .until("a time", "return window.usableAfter", json!([]));
        time.as_f64().map_or(0, |time| time.round() as u64)
    }

    /// What is wrong with the page as it is: contrast, names, width.
    pub fn problems(&self, what: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for script in [CONTRAST, REACH] {
            let found = self.browser.run(script, json!([]));
            let found = found.as_array().cloned().unwrap_or_default();
            problems.extend(found.iter().map(|one| format!("{what}: {one}")));
        }
        problems
    }

    /// A picture for who wants to look, in the folder that `POSTHORN_SCREENSHOTS` names.
    pub fn picture(&self, name: &str) {
        if let Some(folder) = env::var_os("POSTHORN_SCREENSHOTS").map(PathBuf::from) {
            self.browser.screenshot(&folder.join(format!("{name}.png")));
        }
    }

    /// The browser has nothing to complain of, and has asked nobody else for anything. `expected`: parts of complaints that
    /// the test has provoked.
    pub fn assert_quiet(&self, expected: &[&str]) {
        let complaints: Vec<String> = self
            .browser
            .complaints()
            .into_iter()
            .map(|complaint| format!("{}: {}", complaint.level, complaint.text))
            .filter(|text| !expected.iter().any(|part| text.contains(part)))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        let own = self.url("/");
        let elsewhere: Vec<String> = self
            .browser
            .network()
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .filter_map(|event| {
                event["params"]["request"]["url"]
                    .as_str()
                    .map(str::to_owned)
            })
            .filter(|url| {
                // The browser's own, such as the page of a new tab.
                let schemes = ["data:", "about:", "chrome:"];
                !url.starts_with(&own) && !schemes.iter().any(|of| url.starts_with(of))
            })
            .collect();
        assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    }
}

pub fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}
