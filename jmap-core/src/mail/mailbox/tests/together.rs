//! Mailbox/set: what is valid once all items are done (RFC 8620 §5.3), in one transaction; and where it isn't, each as it comes.

use jmap_types::{Id, mail::Mailbox, method::Set};
use serde_json::{Value as Json, json};

use super::{Client, follow, mailboxes, one_thread, wire};
use crate::{
    Caller, Limits,
    mail::email::tests::{Bench, GUEST, OWNER, caller},
};

/// An account with A, B, P, and C below P.
struct World {
    bench: Bench,
    a: String,
    b: String,
    p: String,
    c: String,
}

/// The call is text: the order of its items counts.
async fn call(bench: &Bench, who: &Caller, items: &str) -> Json {
    let call = format!(r#"{{"accountId": "a1", {items}}}"#);
    bench.json::<Set<Mailbox>>(who, &call).await
}

async fn make(bench: &Bench, object: Json) -> String {
    let create = format!(r#""create": {{"n": {object}}}"#);
    let answer = call(bench, &caller(OWNER, &[]), &create).await;
    let id = answer["created"]["n"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn number(id: &str) -> u64 {
    Id::<Mailbox>::parse(id).unwrap().number()
}

async fn world(limits: Limits) -> World {
    let bench = Bench::with_limits(limits).await;
    let a = make(&bench, json!({"name": "A"})).await;
    let b = make(&bench, json!({"name": "B"})).await;
    let p = make(&bench, json!({"name": "P"})).await;
    let c = make(&bench, json!({"name": "C", "parentId": p})).await;
    World { bench, a, b, p, c }
}

impl World {
    /// With the ids in place of `$a`, `$b`, `$p` and `$c`.
    async fn call(&self, items: &str) -> Json {
        let ids = [
            ("$a", &self.a),
            ("$b", &self.b),
            ("$p", &self.p),
            ("$c", &self.c),
        ];
        let items = ids.iter().fold(items.to_owned(), |items, (name, id)| {
            items.replace(name, id)
        });
        call(&self.bench, &caller(OWNER, &[]), &items).await
    }

    /// A, B, P and C, and what is new: their paths and roles, and `-` for what is gone.
    async fn outline(&self) -> String {
        let all = mailboxes(&self.bench).await.mailboxes;
        let mut new: Vec<&String> = all
            .keys()
            .filter(|id| number(id) > number(&self.c))
            .collect();
        new.sort_unstable_by_key(|id| number(id));
        let known = [&self.a, &self.b, &self.p, &self.c];
        let path = |id: &String| {
            let mut mailbox = all.get(id)?;
            let role = mailbox["role"].as_str().map(|role| format!(":{role}"));
            let mut path = mailbox["name"].as_str().unwrap().to_owned();
            while let Some(parent) = mailbox["parentId"].as_str() {
                mailbox = &all[parent];
                path = format!("{}/{path}", mailbox["name"].as_str().unwrap());
            }
            Some(path + &role.unwrap_or_default())
        };
        let paths = known.into_iter().chain(new);
        let paths: Vec<String> = paths
            .map(|id| path(id).unwrap_or_else(|| "-".to_owned()))
            .collect();
        paths.join(" ")
    }
}

fn sequence(state: &Json) -> u64 {
    state.as_str().unwrap()[1..].parse().unwrap()
}

const VALID: &[(&str, &str)] = &[
    (
        r#""update": {"$a": {"name": "B"}, "$b": {"name": "A"}}"#,
        "B A P P/C",
    ),
    (
        r#""update": {"$b": {"name": "A"}, "$a": {"name": "B"}}"#,
        "B A P P/C",
    ),
    (
        r#""update": {"$a": {"name": "B"}, "$b": {"name": "D"}}"#,
        "B D P P/C",
    ),
    (
        r#""update": {"$b": {"name": "D"}, "$a": {"name": "B"}}"#,
        "B D P P/C",
    ),
    (
        r#""update": {"$a": {"role": "drafts"}, "m2": {"role": null}}"#,
        "A:drafts B P P/C",
    ),
    (
        r#""update": {"m2": {"role": null}, "$a": {"role": "drafts"}}"#,
        "A:drafts B P P/C",
    ),
    (
        r#""update": {"$p": {"parentId": "$c"}, "$c": {"parentId": null}}"#,
        "A B C/P C",
    ),
    (
        r#""update": {"$c": {"parentId": null}, "$p": {"parentId": "$c"}}"#,
        "A B C/P C",
    ),
    (
        r#""update": {"$a": {"name": "B"}}, "destroy": ["$b"]"#,
        "B - P P/C",
    ),
    (
        r#""update": {"$a": {"name": "P", "role": "memos"}, "$c": {"parentId": null}}, "destroy": ["$p"]"#,
        "P:memos B - C",
    ),
    (
        r#""create": {"n": {"name": "P"}}, "destroy": ["$a", "$p", "$c"]"#,
        "- B - - P",
    ),
    (
        r#""create": {"n": {"name": "A"}}, "update": {"$a": {"name": "B"}}, "destroy": ["$b"]"#,
        "B - P P/C A",
    ),
    (
        r##""create": {"n": {"name": "A"}}, "update": {"$a": {"name": "Z"}, "#n": {"name": "Y"}}"##,
        "Z B P P/C Y",
    ),
    (
        r##""create": {"n": {"name": "A"}}, "update": {"#n": {"name": "Y"}}"##,
        "A B P P/C Y",
    ),
    (r#""destroy": ["$p", "$c"]"#, "A B - -"),
    (r#""destroy": ["$c", "$p"]"#, "A B - -"),
    (
        r##""create": {"n": {"name": "P", "parentId": "#o"}, "o": {"name": "O"}}, "update": {"$c": {"parentId": "#n"}}, "destroy": ["$p"]"##,
        "A B - O/P/C O O/P",
    ),
    (
        r##""create": {"n": {"name": "N", "parentId": "#o"}, "o": {"name": "O", "parentId": "#n"}}, "update": {"#o": {"parentId": "$a"}}"##,
        "A B P P/C A/O/N A/O",
    ),
    // What is wrong by itself is in nobody's way.
    (
        r#""update": {"$a": {"name": "B"}, "$b": {"name": "A"}, "$p": {"name": 7}, "m999": {"name": "M"}}"#,
        "B A P P/C",
    ),
    // What doesn't fit is taken out, and the rest is done.
    (
        r#""update": {"$a": {"name": "B"}, "$b": {"name": "A"}, "$p": {"name": "Drafts"}}"#,
        "B A P P/C",
    ),
    (
        r#""update": {"$p": {"name": "Drafts"}, "$a": {"name": "B"}, "$b": {"name": "A"}}"#,
        "B A P P/C",
    ),
];

#[tokio::test]
async fn what_is_valid_in_the_end_is_done_at_once() {
    for (items, expected) in VALID {
        let world = world(Limits::default()).await;
        let mut client: Client = mailboxes(&world.bench).await;
        let answer = world.call(items).await;
        assert_eq!(world.outline().await, *expected, "{items}: {answer}");
        let is_whole = !items.contains("m999") && !items.contains("Drafts");
        for not in ["notCreated", "notUpdated", "notDestroyed"] {
            assert!(!is_whole || answer[not].is_null(), "{items}: {answer}");
        }
        // One transaction, and /changes tells of it.
        let (old, new) = (&answer["oldState"], &answer["newState"]);
        assert_eq!(*old, json!(client.state), "{items}");
        assert_eq!(sequence(new), sequence(old) + 1, "{items}");
        follow(&world.bench, &mut client, 1, None).await;
        let now = mailboxes(&world.bench).await;
        assert_eq!(client.mailboxes, now.mailboxes, "{items}");
        assert_eq!(client.state, now.state, "{items}");
    }
}

/// Items, what is there then, and the errors: the id and the type.
type Refused = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const REFUSED: &[Refused] = &[
    (
        r#""update": {"$a": {"name": "X"}, "$b": {"name": "X"}}"#,
        "X B P P/C",
        &[("$b", "alreadyExists")],
    ),
    (
        r#""update": {"$a": {"parentId": "$b"}, "$b": {"parentId": "$a"}}"#,
        "B/A B P P/C",
        &[("$b", "invalidProperties")],
    ),
    (
        r#""update": {"$a": {"role": "memos"}, "$b": {"role": "memos"}}"#,
        "A:memos B P P/C",
        &[("$b", "invalidProperties")],
    ),
    (
        r#""update": {"$a": {"parentId": "$p"}}, "destroy": ["$p", "$c"]"#,
        "P/A B P -",
        &[("$p", "mailboxHasChild")],
    ),
    (
        r#""update": {"$a": {"name": "Y"}}, "destroy": ["$a", "$p"]"#,
        "- B P P/C",
        &[("$a", "willDestroy"), ("$p", "mailboxHasChild")],
    ),
    (
        r#""create": {"n": {"name": "P"}}, "destroy": ["$p"]"#,
        "A B P P/C",
        &[("n", "alreadyExists"), ("$p", "mailboxHasChild")],
    ),
    (
        r##""create": {"n": {"name": "A"}, "o": {"name": "O", "parentId": "#n"}}, "update": {"#n": {"sortOrder": 1}}, "destroy": ["#o"]"##,
        "A B P P/C",
        &[
            ("n", "alreadyExists"),
            // Where it would be doesn't matter: it is gone in the end.
            ("#n", "notFound"),
        ],
    ),
    (
        r##""create": {"n": {"name": "N", "parentId": "#o"}, "o": {"name": "O", "parentId": "#n"}, "q": {"name": "Q", "parentId": "#r"}}"##,
        "A B P P/C",
        &[
            ("n", "invalidProperties"),
            ("o", "invalidProperties"),
            ("q", "invalidProperties"),
        ],
    ),
    // Together, A would have a name and a role that two others don't get.
    (
        r#""update": {"$a": {"name": "B", "role": "memos"}, "$b": {"name": "Y"}, "$p": {"name": "B"}, "$c": {"role": "memos"}}"#,
        "A Y B B/C:memos",
        &[("$a", "alreadyExists")],
    ),
    // A loop that isn't of those below it.
    (
        r#""update": {"$b": {"name": "D"}, "$p": {"parentId": "$c"}, "$a": {"parentId": "$c", "name": "B"}}"#,
        "P/C/B D P P/C",
        &[("$p", "invalidProperties")],
    ),
];

#[tokio::test]
async fn what_is_not_valid_in_the_end_is_refused() {
    for (items, expected, errors) in REFUSED {
        let world = world(Limits::default()).await;
        let answer = world.call(items).await;
        assert_eq!(world.outline().await, *expected, "{items}: {answer}");
        let mut refused = 0;
        for not in ["notCreated", "notUpdated", "notDestroyed"] {
            refused += answer[not].as_object().map_or(0, |refused| refused.len());
        }
        assert_eq!(refused, errors.len(), "{items}: {answer}");
        let ids = [
            ("$a", &world.a),
            ("$b", &world.b),
            ("$p", &world.p),
            ("$c", &world.c),
        ];
        for (id, kind) in *errors {
            let found = ids.iter().find(|(name, _)| name == id);
            let id = found.map_or(*id, |(_, id)| id.as_str());
            let nots = ["notCreated", "notUpdated", "notDestroyed"];
            let mut kinds = nots.iter().map(|not| &answer[*not][id]["type"]);
            assert!(kinds.any(|found| found == kind), "{items}, {id}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_number_of_mailboxes_is_the_one_in_the_end() {
    let limits = Limits {
        max_mailboxes: 10,
        ..Limits::default()
    };
    let world = world(limits).await;
    let answer = world
        .call(r#""create": {"n": {"name": "N"}}, "destroy": ["$a"]"#)
        .await;
    assert!(answer["notCreated"].is_null(), "{answer}");
    let answer = world
        .call(r#""create": {"n": {"name": "N2"}, "o": {"name": "O"}}, "destroy": ["$b"]"#)
        .await;
    assert_eq!(answer["notCreated"]["o"]["type"], "overQuota", "{answer}");
    assert_eq!(world.outline().await, "- - P P/C N N2");
}

#[tokio::test]
async fn parents_go_with_their_children_and_their_emails() {
    let world = world(Limits::default()).await;
    let bench = &world.bench;
    let (p, c) = (number(&world.p), number(&world.c));
    let both = bench.place("Subject: both\r\n\r\nx", &[p, c]).await;
    let stays = bench.place("Subject: stays\r\n\r\nx", &[1, p]).await;
    let answer = world.call(r#""destroy": ["$p", "$c"]"#).await;
    let errors = &answer["notDestroyed"];
    assert_eq!(errors[&world.p]["type"], "mailboxHasEmail", "{answer}");
    assert_eq!(errors[&world.c]["type"], "mailboxHasEmail", "{answer}");
    // The parent's child stays, so it does.
    let answer = world
        .call(r#""update": {"$c": {"sortOrder": 3}}, "destroy": ["$p"]"#)
        .await;
    let errors = &answer["notDestroyed"];
    assert_eq!(errors[&world.p]["type"], "mailboxHasChild", "{answer}");
    let answer = world
        .call(r#""destroy": ["$p", "$c"], "onDestroyRemoveEmails": true"#)
        .await;
    assert!(answer["notDestroyed"].is_null(), "{answer}");
    let account = bench
        .core
        .accounts
        .handle(jmap_types::AccountId::new(OWNER));
    let view = account.view().await.unwrap();
    assert!(view.email(both).is_none());
    let places: Vec<u64> = view
        .email(stays)
        .unwrap()
        .places()
        .map(|p| p.mailbox)
        .collect();
    assert_eq!(places, [1]);
}

#[tokio::test]
async fn the_trash_becomes_another_one_at_once() {
    for update in [
        r#""update": {"m4": {"role": "trash"}, "m6": {"role": "archive"}}"#,
        r#""update": {"m6": {"role": "archive"}, "m4": {"role": "trash"}}"#,
    ] {
        let (bench, mut client, emails) = one_thread().await;
        let unread = format!(
            r#"{{"accountId": "a1", "update": {{"{}": {{"keywords/$seen": null}}}}}}"#,
            wire(emails[3])
        );
        bench
            .json::<Set<jmap_types::mail::Email>>(&caller(OWNER, &[]), &unread)
            .await;
        follow(&bench, &mut client, 2, None).await;
        let answer = call(&bench, &caller(OWNER, &[]), update).await;
        assert!(answer["notUpdated"].is_null(), "{answer}");
        let now = mailboxes(&bench).await;
        assert_ne!(client.mailboxes["m1"], now.mailboxes["m1"], "{update}");
        follow(&bench, &mut client, 2, None).await;
        assert_eq!(client.mailboxes, now.mailboxes, "{update}");
        assert_eq!(client.state, now.state, "{update}");
    }
}

#[tokio::test]
async fn the_number_of_what_is_gone_again_is_not_given_twice() {
    let world = world(Limits::default()).await;
    let answer = world
        .call(r##""create": {"n": {"name": "N"}}, "destroy": ["#n"]"##)
        .await;
    let id = &answer["created"]["n"]["id"];
    assert_eq!(answer["destroyed"], json!([id]), "{answer}");
    let other = make(&world.bench, json!({"name": "O"})).await;
    assert_ne!(json!(other), *id);
    assert_eq!(world.outline().await, "A B P P/C O");
}

#[tokio::test]
async fn a_guest_changes_several_as_far_as_they_may() {
    let bench = Bench::new().await;
    bench.add_account(GUEST).await;
    let guest = caller(GUEST, &[OWNER]);
    let all = json!({"a3": {
        "mayReadItems": true, "mayRename": true, "mayDelete": true, "mayCreateChild": true,
    }});
    let top = make(&bench, json!({"name": "top", "shareWith": all})).await;
    let below = async |name: &str, shares: Json| {
        let object = json!({"name": name, "parentId": top, "shareWith": shares});
        make(&bench, object).await
    };
    let one = below("one", all.clone()).await;
    let two = below("two", all.clone()).await;
    let fixed = below("fixed", json!({"a3": {"mayReadItems": true}})).await;
    let hidden = below("hidden", Json::Null).await;
    let swap = format!(r#""update": {{"{one}": {{"name": "two"}}, "{two}": {{"name": "one"}}}}"#);
    let answer = call(&bench, &guest, &swap).await;
    assert!(answer["notUpdated"].is_null(), "{answer}");
    for (other, kind) in [(fixed, "forbidden"), (hidden, "notFound")] {
        let name = if kind == "forbidden" {
            "fixed"
        } else {
            "hidden"
        };
        let update =
            format!(r#""update": {{"{one}": {{"name": "{name}"}}, "{other}": {{"name": "x"}}}}"#);
        let answer = call(&bench, &guest, &update).await;
        let errors = &answer["notUpdated"];
        assert_eq!(errors[&other]["type"], kind, "{answer}");
        assert_eq!(errors[&one]["type"], "alreadyExists", "{answer}");
        assert_eq!(
            errors[&one]["existingId"].is_null(),
            kind == "notFound",
            "{answer}"
        );
    }
    // Children of what the guest makes are the guest's as well; the rest goes.
    let items = format!(
        r##""create": {{"b": {{"name": "b", "parentId": "#a"}}, "a": {{"name": "two", "parentId": "{top}"}}}}, "destroy": ["{one}", "{two}"]"##
    );
    let answer = call(&bench, &guest, &items).await;
    assert_eq!(
        answer["created"]["b"]["myRights"]["mayCreateChild"], true,
        "{answer}"
    );
    assert_eq!(answer["destroyed"], json!([one, two]), "{answer}");
    let above = format!(
        r##""create": {{"n": {{"name": "n"}}}}, "update": {{"{top}": {{"parentId": "#n"}}}}"##
    );
    let answer = call(&bench, &guest, &above).await;
    assert_eq!(answer["notCreated"]["n"]["type"], "forbidden", "{answer}");
    assert_eq!(
        answer["notUpdated"][&top]["type"], "invalidProperties",
        "{answer}"
    );
}
