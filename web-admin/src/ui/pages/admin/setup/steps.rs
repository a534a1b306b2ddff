//! The steps: which are done, and which one is looked at.
//!
//! Holds: whoever comes finds the first open that isn't done; from then on, what is open is theirs to say.

use leptos::prelude::*;

use crate::{
    messages::{fill, t},
    ui::components::{
        icon::{Icon, icon},
        page::{Tone, badge},
    },
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Name,
    Domain,
    Dns,
    Tls,
    Account,
    MailIn,
    MailOut,
}

impl Step {
    fn title(self) -> &'static str {
        let server = &t().server;
        match self {
            Self::Name => server.setup_name,
            Self::Domain => server.setup_domain,
            Self::Dns => server.setup_dns,
            Self::Tls => server.setup_tls,
            Self::Account => server.setup_account,
            Self::MailIn => server.setup_mail_in,
            Self::MailOut => server.setup_mail_out,
        }
    }

    /// For the ids of the page.
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Domain => "domain",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Account => "account",
            Self::MailIn => "in",
            Self::MailOut => "out",
        }
    }
}

#[derive(Clone, Copy)]
pub struct Steps {
    /// In their order, and whether each is done, as far as it is known.
    all: RwSignal<Vec<(Step, Option<bool>)>>,
    /// What is open; `Some(None)`: nothing. Without it, that isn't known yet.
    opened: RwSignal<Option<Option<Step>>>,
    /// The address of the domain's first account; empty: there is none yet.
    pub account: RwSignal<String>,
}

impl Steps {
    pub fn new(all: Vec<Step>) -> Self {
        let all = all.into_iter().map(|step| (step, None)).collect();
        Self {
            all: RwSignal::new(all),
            opened: RwSignal::new(None),
            account: RwSignal::new(String::new()),
        }
    }

    pub fn is_done(self, step: Step, is_done: bool) {
        let known = Some(is_done);
        if self.done(step) == known {
            return;
        }
        self.all.update(|all| {
            if let Some((_, state)) = all.iter_mut().find(|(of, _)| *of == step) {
                *state = known;
            }
        });
        // What somebody reads doesn't close because it has come to its end.
        if self.opened.with_untracked(Option::is_none) {
            let first = self.all.with_untracked(|all| {
                let first = all.iter().find(|(_, is_done)| *is_done != Some(true));
                first.copied()
            });
            if let Some((first, Some(false))) = first {
                self.opened.set(Some(Some(first)));
            }
        }
    }

    fn done(self, step: Step) -> Option<bool> {
        self.all.with_untracked(|all| {
            let found = all.iter().find(|(of, _)| *of == step);
            found.and_then(|(_, is_done)| *is_done)
        })
    }

    /// Goes on with the next step that isn't done.
    pub fn next(self, after: Step) {
        let next = self.all.with_untracked(|all| {
            let later = all.iter().skip_while(|(of, _)| *of != after).skip(1);
            let mut later = later.filter(|(_, is_done)| *is_done != Some(true));
            later.next().map(|(of, _)| *of)
        });
        self.opened.set(Some(next));
    }

    /// Whether somebody looks at a step that isn't done: then the server is asked anew now and then.
    pub fn is_waited_for(self, step: Step) -> bool {
        self.opened.get_untracked() == Some(Some(step)) && self.done(step) != Some(true)
    }

    /// Which step is open.
    fn open(self) -> Option<Step> {
        self.opened.get().flatten()
    }

    pub fn progress(self) -> AnyView {
        let counts = move || {
            self.all.with(|all| {
                let done = all.iter().filter(|(_, is_done)| *is_done == Some(true));
                (done.count(), all.len())
            })
        };
        let text = move || {
            let (done, all) = counts();
            let values = [("done", &*done.to_string()), ("count", &*all.to_string())];
            fill(t().server.steps_done, &values)
        };
        view! {
            <div class="progress-line">
                <progress class="progress" aria-label=t().server.setup value=move || counts().0.to_string() max=move || counts().1.to_string()></progress>
                <span role="status">{text}</span>
            </div>
        }
        .into_any()
    }

    pub fn view(self, step: Step, content: AnyView) -> AnyView {
        let number = self
            .all
            .with_untracked(|all| all.iter().position(|(of, _)| *of == step))
            .map_or(0, |at| at + 1);
        let is_done = move || {
            self.all.track();
            self.done(step)
        };
        let is_open = Memo::new(move |_| self.open() == Some(step));
        let toggle = move |_| {
            let next = (!is_open.get_untracked()).then_some(step);
            self.opened.set(Some(next));
        };
        let mark = move || match is_done() {
            Some(true) => icon(Icon::Check),
            _ => number.to_string().into_any(),
        };
        let state = move || match is_done() {
            Some(true) => badge(Tone::Good, t().done),
            Some(false) => badge(Tone::Plain, t().server.to_be_done),
            None => ().into_any(),
        };
        let id = format!("step-{}", step.name());
        view! {
            <li class="card step" class:done=move || is_done() == Some(true) class:open=move || is_open.get()>
                <h2>
                    <button type="button" aria-controls=id.clone() on:click=toggle
                        aria-expanded=move || if is_open.get() { "true" } else { "false" }>
                        <span class="step-mark" aria-hidden="true">{mark}</span>
                        <span class="step-title">{step.title()}</span>
                        {state}
                    </button>
                </h2>
                <div class="step-body" id=id hidden=move || !is_open.get()>{content}</div>
            </li>
        }
        .into_any()
    }

    /// A button for who doesn't want to wait until the step is done.
    pub fn onward(self, step: Step) -> AnyView {
        view! {
            <div class="actions">
                <button type="button" class="primary" on:click=move |_| self.next(step)>{t().server.go_on}</button>
            </div>
        }
        .into_any()
    }
}
