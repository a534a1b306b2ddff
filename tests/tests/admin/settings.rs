//! Settings over the API: what is set is in effect when it is answered; what can't be is said why, and nothing of a file's content is.

use std::fs;

use serde_json::{Value, json};

use crate::client::{Api, problem, staffed, staffed_home};

/// The largest message that a new session of SMTP is told.
fn announces(server: &e2e::Server, octets: u64) -> bool {
    let size = format!("SIZE {octets}");
    server.smtp().greeting.text.contains(&size)
}

fn put(api: &mut Api, key: &str, value: &str) -> e2e::http::Answer {
    api.put(&format!("/settings/{key}"), Some(json!({"value": value})))
}

#[test]
fn what_is_set_is_in_effect() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let key = "limits.max-size-message";
    let path = format!("/settings/{key}");
    let before = root.shown(&path);
    assert_eq!(before["source"], json!("default"));
    assert_eq!(before["changeable"], json!(true));
    assert_eq!(before["stored"], Value::Null);
    assert!(
        before["description"]
            .as_str()
            .is_some_and(|text| text.len() > 10)
    );
    assert!(!announces(&server, 65_536));
    let set = put(&mut root, key, "64 KiB");
    assert_eq!(set.status, 200, "{}", set.text());
    let set = set.json();
    assert_eq!(set["value"], json!("\"64 KiB\""));
    assert_eq!(set["source"], json!("store"));
    assert_eq!(set["setBy"], json!("root"));
    assert!(announces(&server, 65_536));
    // Of all, those that are changed.
    let changed = root.all("/settings?changed=true&q=max-size-message");
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0], set);
    let all = root.all("/settings?q=max-size");
    assert!(all.len() >= 2, "{all:?}");
    assert_eq!(root.delete(&path).status, 204);
    assert!(!announces(&server, 65_536));
    assert_eq!(root.shown(&path)["source"], json!("default"));
    let audit = root.shown("/audit?operation=settings.change");
    let changes = &audit["items"][0]["changes"][0];
    assert_eq!(changes["field"], json!(key));
    assert_eq!(changes["before"], json!("\"64 KiB\""));
    assert_eq!(audit["items"][0]["way"], json!("admin"));
}

#[test]
fn several_are_set_in_one_step_or_none_is() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let wish = json!({"limits.max-size-message": "64 KiB", "smtp.idle-timeout": "\"3m\"", "comment": null});
    let planned = root.patch("/settings?plan=true", wish.clone());
    let planned = planned.json();
    assert_eq!(
        planned["changes"].as_array().map(Vec::len),
        Some(2),
        "{planned}"
    );
    assert!(!announces(&server, 65_536));
    let changed = root.patch("/settings", wish.clone());
    assert_eq!(changed.json(), planned, "{}", changed.text());
    assert!(announces(&server, 65_536));
    let again = root.patch("/settings", wish);
    assert_eq!(again.json(), json!({"changes": []}));
    // One that can't be keeps the others from being changed.
    let wrong = json!({"limits.max-size-message": "32 KiB", "smtp.idle-timeout": "soon"});
    assert_eq!(problem(&root.patch("/settings", wrong)), "invalid-value");
    assert!(announces(&server, 65_536));
    let unset = json!({"limits.max-size-message": null, "smtp.idle-timeout": null});
    assert_eq!(root.patch("/settings", unset).status, 200);
    assert!(!announces(&server, 65_536));
}

#[test]
fn a_file_is_planned_applied_and_comes_back() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let file = "[limits]\nmax-size-message = \"64 KiB\"\n\n[smtp]\nidle-timeout = \"3m\"\n";
    let body = json!({"toml": file});
    let planned = root.post("/settings-file/plan", body.clone());
    assert_eq!(planned.status, 200, "{}", planned.text());
    assert!(!announces(&server, 65_536));
    let applied = root.post("/settings-file/apply", body.clone());
    assert_eq!(applied.json(), planned.json());
    assert!(announces(&server, 65_536));
    let exported = root.shown("/settings-file");
    let text = exported["toml"].as_str().expect("a text");
    assert!(text.contains("max-size-message = \"64 KiB\""), "{text}");
    assert_eq!(
        text,
        server.home.cli(&["settings", "export"], "").trim_end()
    );
    let again = root.post("/settings-file/plan", json!({"toml": text}));
    assert_eq!(again.json(), json!({"changes": []}));
    // With `keep`, what the file doesn't have stays.
    let kept = json!({"toml": "", "keep": true});
    let kept = root.post("/settings-file/apply", kept);
    assert_eq!(kept.json(), json!({"changes": []}));
    let all = root.post("/settings-file/apply", json!({"toml": ""}));
    assert_eq!(all.json()["changes"].as_array().map(Vec::len), Some(2));
    let wrong = root.post(
        "/settings-file/plan",
        json!({"toml": "\n[limits]\nno-such = 1"}),
    );
    assert_eq!(problem(&wrong), "invalid-value");
    assert!(wrong.text().contains("line 3"), "{}", wrong.text());
    let commented = root.shown("/settings-file?all=true").to_string();
    assert!(commented.contains("#max-size-message"), "{commented}");
}

#[test]
fn what_can_not_be_set_is_said_why() {
    let home = staffed_home().set("smtp", "idle-timeout = \"4m\"");
    let server = e2e::Server::start_in(home);
    let mut root = Api::new(&server, "root");
    let pinned = root.shown("/settings/smtp.idle-timeout");
    assert_eq!(pinned["source"], json!("file"));
    assert_eq!(pinned["changeable"], json!(false));
    assert!(
        pinned["place"]
            .as_str()
            .is_some_and(|place| place.contains(", line "))
    );
    for (key, value, says) in [
        ("smtp.idle-timeout", "5m", "the file wins"),
        ("data", "/tmp", "belongs into the configuration file"),
        ("limits.max-size-message", "many", ""),
        ("limits.max-size-message", "[\"a\", 1]", ""),
    ] {
        let answer = put(&mut root, key, value);
        assert_eq!(problem(&answer), "invalid-value", "{key}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(problem(&put(&mut root, "no.such", "1")), "not-found");
    assert_eq!(problem(&root.get("/settings/no.such")), "not-found");
    assert_eq!(problem(&root.delete("/settings/no.such")), "not-found");
}

/// Some settings name files, which a start reads: an error must not be a way to read them.
#[test]
fn errors_tell_nothing_of_files() {
    let server = staffed();
    let mut root = Api::new(&server, "root");
    let secret = "hunter2 of somebody";
    // Elsewhere they are refused, whatever is in them.
    let folder = server.home.data.join("files");
    fs::create_dir(&folder).expect("no folder");
    let file = folder.join("secret");
    let path = file.to_str().expect("a path");
    for content in [
        format!("{secret}\n"),
        format!("-----BEGIN {secret}\n"),
        format!("-----BEGIN CERTIFICATE-----\n{secret}\n"),
        format!(". 1 IN DNSKEY {secret}\n"),
        format!("{secret} 1 IN {secret} 257 3 8 {secret}\n"),
    ] {
        fs::write(&file, &content).expect("not written");
        let of_acme = json!({
            "tls.acme.agree-to-terms": "true",
            "tls.acme.ca-file": path,
            "tls.acme.certificate": "[{names = [\"mail.example.org\"]}]",
        });
        let pair = json!({"tls.certificate": path, "tls.key": path});
        let external = json!({
            "tls.acme.agree-to-terms": "true",
            "tls.acme.external-account": "me",
            "tls.acme.external-account-key-file": path,
            "tls.acme.certificate": "[{names = [\"mail.example.org\"]}]",
        });
        for wish in [
            pair,
            of_acme,
            external,
            json!({"delivery.ca-file": path}),
            json!({"dns.trust-anchor": path}),
        ] {
            let answer = root.patch("/settings", wish.clone());
            assert_eq!(problem(&answer), "invalid-value", "{wish}");
            let text = answer.text();
            assert!(text.contains(path), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            // Nor as a list of octets.
            assert!(!text.contains("104, 117, 110"), "{text}");
        }
    }
    assert!(!server.log().contains("hunter2"));
}

/// Who may change settings can't have any file of the machine read: a route's password goes to a host of their choice.
#[test]
fn files_that_settings_name_lie_in_one_folder() {
    let mut server = staffed();
    let mut root = Api::new(&server, "root");
    let folder = server.home.data.join("files");
    fs::create_dir(&folder).expect("no folder");
    let outside = server.home.path().join("outside");
    fs::write(&outside, "hunter2\n").expect("not written");
    let link = folder.join("link");
    std::os::unix::fs::symlink(&outside, &link).expect("no link");
    let up = folder.join("../../outside");
    let missing = server.home.path().join("missing");
    let route = |file: &std::path::Path| {
        let file = file.display();
        json!({"delivery.route": format!("[{{ domains = [\"far.example\"], host = \"127.0.0.1\", port = 1, user = \"u\", password-file = \"{file}\" }}]")})
    };
    for file in [&outside, &link, &up, &missing] {
        let answer = root.patch("/settings", route(file));
        assert_eq!(problem(&answer), "invalid-value", "{}", file.display());
        let text = answer.text();
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert!(text.contains("setting-files"), "{text}");
    }
    let inside = folder.join("password");
    fs::write(&inside, "a password\n").expect("not written");
    assert_eq!(root.patch("/settings", route(&inside)).status, 200);
    // A link that comes later is found out when the file is read the next time: mail for the route waits.
    fs::remove_file(&inside).expect("not removed");
    std::os::unix::fs::symlink(&outside, &inside).expect("no link");
    server.stop();
    server.restart();
    assert!(
        server
            .log()
            .contains("what a stored setting needs can't be used now")
    );
    let mut root = Api::new(&server, "root");
    let setting = root.shown("/settings/delivery.route");
    assert_eq!(setting["source"], json!("store"));
    let fault = setting["fault"].as_str().expect("a fault");
    assert!(fault.contains(&folder.display().to_string()), "{fault}");
    root.made(
        "/aliases",
        json!({"address": "out@example.org", "to": ["x@far.example"]}),
    );
    crate::running::deliver(&server, "out@example.org", "Out");
    crate::running::wait("it waits", || {
        let all = root.shown("/queue/messages");
        let reply = all["items"][0]["recipients"][0]["reply"].as_str()?;
        reply.starts_with("451 4.3.5 ").then_some(())
    });
    assert!(!server.log().contains("hunter2"));
}
