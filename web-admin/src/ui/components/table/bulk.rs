//! What is done to several rows at once, and taken back.

use std::{future::Future, pin::Pin, sync::Arc};

use leptos::prelude::*;
use serde_json::Value;

use super::{List, key_of};
use crate::{
    json,
    messages::{fill, t},
    problem::Problem,
    ui::components::{
        dialog::Question,
        load::{self, Loaded},
        toast,
    },
};

type Future1<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;
/// Takes back what was done to one row.
pub type Back = Arc<dyn Fn() -> Future1<()> + Send + Sync>;
/// Does something to one row; with the way back, if there is one.
pub type Act = Arc<dyn Fn(Value) -> Future1<Option<Back>> + Send + Sync>;

/// Something that can be done to the chosen rows.
#[derive(Clone)]
pub struct Bulk {
    pub label: &'static str,
    pub danger: bool,
    /// What is asked before, with `{count}`; empty: nothing.
    pub question: &'static str,
    /// What is said afterwards, with `{count}`.
    pub done: &'static str,
    pub act: Act,
}

impl Bulk {
    pub fn new<F>(
        label: &'static str,
        done: &'static str,
        act: impl Fn(Value) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Option<Back>, Problem>> + 'static,
    {
        Self {
            label,
            danger: false,
            question: "",
            done,
            act: Arc::new(move |row| Box::pin(act(row))),
        }
    }

    /// It can't be undone.
    pub fn asks(mut self, question: &'static str) -> Self {
        self.danger = true;
        self.question = question;
        self
    }
}

/// The way back of an action.
pub fn back<F>(undo: impl Fn() -> F + Send + Sync + 'static) -> Option<Back>
where
    F: Future<Output = Result<(), Problem>> + 'static,
{
    Some(Arc::new(move || Box::pin(undo())))
}

pub fn view(
    list: &List,
    chosen: RwSignal<Vec<String>>,
    loaded: Loaded,
    open_question: RwSignal<Option<Question>>,
) -> AnyView {
    let count = chosen.with(Vec::len);
    if list.bulk.is_empty() || count == 0 {
        return ().into_any();
    }
    let buttons = list.bulk.iter().map(|bulk| {
        let key = list.key;
        let rows = move || {
            let answer = loaded.answer.get_untracked();
            let body = answer
                .and_then(Result::ok)
                .map(|reply| reply.body)
                .unwrap_or_default();
            let keys = chosen.get_untracked();
            let rows = json::items(&body, "/items").iter();
            let rows = rows.filter(|row| keys.iter().any(|chosen| key_of(row, key) == *chosen));
            rows.cloned().collect::<Vec<_>>()
        };
        let (act, done, label) = (bulk.act.clone(), bulk.done, bulk.label);
        let question = bulk.question;
        let press = move |_| {
            let (rows, act) = (rows(), act.clone());
            let of = rows.clone();
            let action = move || carry_out(of.clone(), act.clone(), done, loaded, chosen);
            if question.is_empty() {
                load::run(action());
            } else {
                let count = chosen.with_untracked(Vec::len).to_string();
                let text = fill(question, &[("count", &count)]);
                let names = rows.iter().filter_map(name_of).collect();
                let asked = Question::new(label, text, label, action).about(names);
                open_question.set(Some(asked));
            }
        };
        let class = if bulk.danger { "danger" } else { "" };
        view! { <button type="button" class=class on:click=press>{bulk.label}</button> }
    });
    let buttons = buttons.collect_view();
    let text = fill(t().chosen, &[("count", &count.to_string())]);
    view! { <span class="muted" role="status">{text}</span> {buttons} }.into_any()
}

/// What a row is known by to people, if it is by anything.
fn name_of(row: &Value) -> Option<String> {
    let known = ["/name", "/address", "/subject", "/sentence"];
    let mut texts = known.into_iter().map(|pointer| json::text(row, pointer));
    texts.find(|text| !text.is_empty()).map(str::to_owned)
}

/// Does it to row after row. What was done before one fails is done, and can be taken back.
async fn carry_out(
    rows: Vec<Value>,
    act: Act,
    done: &'static str,
    loaded: Loaded,
    chosen: RwSignal<Vec<String>>,
) -> Result<(), Problem> {
    let mut backs = Vec::new();
    let mut count = 0;
    let mut failed = None;
    for row in rows {
        match act(row).await {
            Ok(back) => {
                count += 1;
                backs.extend(back);
            }
            Err(problem) => {
                failed = Some(problem);
                break;
            }
        }
    }
    loaded.again();
    if failed.is_none() {
        chosen.try_set(Vec::new());
    }
    if count > 0 {
        let text = fill(done, &[("count", &count.to_string())]);
        let undo = (!backs.is_empty()).then(|| undo(backs, loaded));
        toast::show_with(text, undo);
    }
    match failed {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

fn undo(backs: Vec<Back>, loaded: Loaded) -> toast::Undo {
    Arc::new(move || {
        let backs = backs.clone();
        load::run(async move {
            for back in backs {
                back().await?;
            }
            loaded.again();
            toast::show(t().undone);
            Ok(())
        });
    })
}
