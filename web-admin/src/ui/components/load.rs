//! What a page shows is fetched; meanwhile, and when that fails, something is shown too.
//!
//! Holds: an answer that comes after a later question was asked is thrown away; what is fetched anew stays to be seen until then.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use leptos::{prelude::*, task::spawn_local};

use crate::{
    messages::t,
    problem::Problem,
    ui::api::{self, Answer, Reply},
};

type Fetch = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Answer>>> + Send + Sync>;

/// Something that is fetched, and can be fetched anew.
#[derive(Clone, Copy)]
pub struct Loaded {
    pub answer: RwSignal<Option<Answer>>,
    /// Counts the questions.
    asked: RwSignal<u32>,
    fetch: StoredValue<Fetch>,
}

impl Loaded {
    /// Asks at once, and again whenever a signal that `fetch` reads has changed.
    pub fn new<F>(fetch: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + 'static,
    {
        let fetch: Fetch = Arc::new(move || Box::pin(fetch()));
        let loaded = Self {
            answer: RwSignal::new(None),
            asked: RwSignal::new(0),
            fetch: StoredValue::new(fetch),
        };
        Effect::new(move |_| loaded.again());
        loaded
    }

    /// From an address of the API.
    pub fn of(address: impl Into<String>) -> Self {
        let address = address.into();
        Self::new(move || {
            let address = address.clone();
            async move { api::get(&address).await }
        })
    }

    pub fn again(&self) {
        let Some(fetch) = self.fetch.try_get_value() else {
            return;
        };
        let number = self.asked.get_untracked() + 1;
        let (asked, answer) = (self.asked, self.answer);
        asked.set(number);
        let future = fetch();
        spawn_local(async move {
            let got = future.await;
            // The page may be gone by now.
            let is_asked = asked.try_get_untracked() == Some(number);
            // What is the same isn't drawn again: it may have the focus.
            if is_asked && answer.with_untracked(|now| now.as_ref() != Some(&got)) {
                answer.set(Some(got));
            }
        });
    }

    /// Asks again now and then, as long as somebody looks at the page.
    pub fn keep_fresh(self, every: Duration) -> Self {
        self.keep_fresh_while(every, || true)
    }

    /// The same, as long as it is worth it.
    pub fn keep_fresh_while(self, every: Duration, is_worth: impl Fn() -> bool + 'static) -> Self {
        let look = move || {
            if !document().hidden() && is_worth() {
                self.again();
            }
        };
        if let Ok(handle) = set_interval_with_handle(look, every) {
            on_cleanup(move || handle.clear());
        }
        self
    }

    /// Shows what was fetched.
    pub fn show(self, view: impl Fn(Reply) -> AnyView + Send + Sync + 'static) -> AnyView {
        (move || match self.answer.get() {
            None => waiting(),
            Some(Ok(reply)) => view(reply),
            Some(Err(problem)) => failed(&problem, move || self.again()),
        })
        .into_any()
    }
}

/// Does something when an action was carried out, unless it failed: then that is said.
pub fn run(future: impl Future<Output = Result<(), Problem>> + 'static) {
    spawn_local(async move {
        if let Err(problem) = future.await {
            super::toast::show_problem(&problem);
        }
    });
}

pub fn waiting() -> AnyView {
    view! {
        <div class="loading" role="status">
            <span class="spinner" aria-hidden="true"></span>
            <span>{t().loading}</span>
        </div>
    }
    .into_any()
}

/// Something takes its time, while the rest of the page can be used.
pub fn waiting_for(text: &'static str) -> AnyView {
    view! {
        <div class="waiting" role="status">
            <span class="spinner" aria-hidden="true"></span>
            <span>{text}</span>
        </div>
    }
    .into_any()
}

pub fn failed(problem: &Problem, again: impl Fn() + 'static) -> AnyView {
    view! {
        <div class="note bad" role="alert">
            <p>{problem.detail.clone()}</p>
        </div>
        <button type="button" on:click=move |_| again()>{t().try_again}</button>
    }
    .into_any()
}
