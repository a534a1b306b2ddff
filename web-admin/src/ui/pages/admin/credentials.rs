//! What an account logs in with. The same for administrators and for the account's own page.

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::{fill, t},
    problem::Problem,
    query,
    ui::{
        api,
        components::{
            copy,
            dialog::{Question, dialog, questions},
            form::{Field, Kind, form, form_around, send},
            load::Loaded,
            page::{self, Tone, badge, card, note},
            toast,
        },
        session,
    },
};

/// `name`: of the account. `may_see`: whoever may set a password needn't be told what else there is.
pub fn part(account: &str, name: &str, may_see: bool) -> AnyView {
    let list = may_see.then(|| list(account));
    view! { {password(account, name)} {list} }.into_any()
}

fn password(account: &str, name: &str) -> AnyView {
    let address = format!("/accounts/{}/password", query::encode(account));
    let fields = vec![
        Field::new("/password", t().directory.new_password, Kind::NewPassword).required(),
        Field::new(
            "/again",
            t().directory.new_password_again,
            Kind::NewPassword,
        )
        .required(),
    ];
    let sent = send(move |value| {
        let address = address.clone();
        async move {
            let (password, again) = (
                read::text(&value, "/password"),
                read::text(&value, "/again"),
            );
            if password != again {
                return Err(Problem {
                    fields: vec![("/again".into(), t().directory.not_the_same.into())],
                    ..Problem::default()
                });
            }
            let body = json!({"password": password});
            api::Call::new("PUT", &address).json(&body).send().await?;
            toast::show(t().directory.password_set);
            Ok(())
        }
    });
    // For what keeps passwords: whose it is.
    let whose = view! { <input type="text" autocomplete="username" value=name.to_owned() readonly hidden /> };
    let form = form_around(
        whose.into_any(),
        fields,
        ().into_any(),
        t().directory.set_password,
        sent,
    );
    card(t().password, t().password_lead, form)
}

fn address_of(account: &str) -> String {
    format!("/accounts/{}/credentials", query::encode(account))
}

fn list(account: &str) -> AnyView {
    let address = address_of(account);
    let loaded = Loaded::of(address.clone());
    let question = RwSignal::new(None::<Question>);
    let making = RwSignal::new(None::<()>);
    let issued = RwSignal::new(None::<String>);
    let (for_making, of) = (address.clone(), account.to_owned());
    let make = move |()| {
        let address = for_making.clone();
        let kinds = Kind::Choice(vec![
            ("app-password".into(), t().directory.app_password.into()),
            ("token".into(), t().directory.token.into()),
        ]);
        let fields = vec![
            Field::new("/description", t().directory.what_for, Kind::Text)
                .required()
                .hint(t().directory.what_for_hint),
            Field::new("/kind", t().kind, kinds).value("app-password"),
            Field::new(
                "/scopes",
                t().access.good_for,
                Kind::Several(scope_choices()),
            )
            .hint(t().access.good_for_hint),
            Field::new("/expires", t().directory.expires, Kind::Date)
                .hint(t().directory.expires_hint),
        ];
        let sent = send(move |mut value| {
            let address = address.clone();
            async move {
                if read::items(&value, "/scopes").is_empty() {
                    read::put(&mut value, "/scopes", Value::Null);
                }
                let reply = api::post(&address, &value).await?;
                making.set(None);
                loaded.again();
                match read::text(&reply.body, "/secret") {
                    "" => toast::show(t().directory.secret_is_lost),
                    secret => issued.set(Some(secret.to_owned())),
                }
                Ok(())
            }
        });
        form(fields, t().directory.make, sent)
    };
    let secret = |secret: String| {
        view! {
            {note(Tone::Warn, t().directory.shown_once)}
            {copy::secret(secret, t().directory.secret)}
        }
        .into_any()
    };
    let content = view! {
        {loaded.show(move |reply| rows(&reply.body, &of, loaded, question))}
        <div class="actions">
            <button type="button" class="primary" on:click=move |_| making.set(Some(()))>{t().directory.new_credential}</button>
        </div>
        {dialog(making, |()| t().directory.new_credential.to_owned(), make)}
        {dialog(issued, |_| t().directory.new_secret.to_owned(), secret)}
        {questions(question)}
    };
    card(
        t().credentials,
        t().directory.credentials_lead,
        content.into_any(),
    )
}

/// What a credential can be limited to, as the API calls it, and what people call it.
fn scope_choices() -> Vec<(String, String)> {
    let access = &t().access;
    let scopes = [
        ("imap", access.scope_imap),
        ("pop3", access.scope_pop3),
        ("submission", access.scope_submission),
        ("jmap", access.scope_jmap),
        ("sieve", access.scope_sieve),
        ("vacation", access.scope_vacation),
        ("api", access.scope_api),
    ];
    let scopes = scopes.map(|(scope, label)| (scope.to_owned(), label.to_owned()));
    scopes.to_vec()
}

fn good_for(row: &Value) -> String {
    // What shows who somebody is beside a password, or is their password, isn't limited.
    if row.pointer("/scopes").is_none_or(Value::is_null) {
        return t().access.everything.to_owned();
    }
    let scopes = read::texts(row, "/scopes");
    let named = scope_choices().into_iter();
    let named = named.filter(|(scope, _)| scopes.contains(scope));
    let labels: Vec<String> = named.map(|(_, label)| label).collect();
    labels.join(", ")
}

fn rows(
    body: &Value,
    account: &str,
    loaded: Loaded,
    question: RwSignal<Option<Question>>,
) -> AnyView {
    let rows = read::items(body, "/items").iter().map(|row| {
        let number = read::number(row, "/number").unwrap_or_default();
        let is_current = session::is_credential(account, number);
        let current = is_current.then(|| view! { " " {badge(Tone::Good, t().directory.this_session)} });
        let kind = match read::text(row, "/kind") {
            "password" => t().password,
            "app-password" => t().directory.app_password,
            "grant" => t().access.grant,
            "totp" => t().access.device,
            "passkey" => t().access.passkey,
            _ => t().directory.token,
        };
        let description = read::text(row, "/description").to_owned();
        let address = format!("{}/{number}", address_of(account));
        let name = if description.is_empty() { kind.to_owned() } else { description.clone() };
        let press = move |_| {
            let address = address.clone();
            let text = fill(t().directory.revoke_question, &[("name", &name)]);
            question.set(Some(Question::new(t().directory.revoke, text, t().directory.revoke, move || {
                let address = address.clone();
                async move {
                    api::delete(&address).await?;
                    toast::show(t().directory.revoked);
                    loaded.again();
                    Ok(())
                }
            })));
        };
        let expires = match read::text(row, "/expires") {
            "" => view! { <span class="muted">{t().directory.never}</span> }.into_any(),
            date => page::date(date),
        };
        view! {
            <tr>
                <td data-label=t().kind>{badge(Tone::Plain, kind)}</td>
                <td data-label=t().directory.what_for>{description}{current}</td>
                <td data-label=t().access.good_for>{good_for(row)}</td>
                <td data-label=t().directory.created class="nowrap">{page::date_at(row, "/created")}</td>
                <td data-label=t().directory.expires class="nowrap">{expires}</td>
                <td class="act"><button type="button" class="small danger" on:click=press>{t().directory.revoke}</button></td>
            </tr>
        }
    });
    let rows = rows.collect_view();
    view! {
        <table class="cards-on-phone credentials">
            <caption class="visually-hidden">{t().credentials}</caption>
            <thead><tr>
                <th scope="col">{t().kind}</th><th scope="col">{t().directory.what_for}</th><th scope="col">{t().access.good_for}</th>
                <th scope="col">{t().directory.created}</th><th scope="col">{t().directory.expires}</th><th scope="col"><span class="visually-hidden">{t().actions}</span></th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
    .into_any()
}
