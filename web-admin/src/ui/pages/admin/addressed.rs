//! What groups, aliases and lists have in common: an address, a description, and nobody who signs in.

use std::sync::Arc;

use leptos::prelude::*;
use serde_json::{Value, json};

use crate::{
    json as read,
    messages::t,
    problem::Problem,
    ui::{
        api,
        components::{
            dialog::Question,
            load::{self, Loaded},
            page,
            table::{Bulk, Column, List, back},
            toast,
        },
        pages::common,
        route,
    },
};

/// Objects of one kind.
#[derive(Clone, Copy)]
pub struct Objects {
    /// What they are called.
    pub title: &'static str,
    /// Where the API has them.
    pub api: &'static str,
    /// Where their page is, and before its id that of each.
    pub page: &'static str,
    /// What is their name: a pointer into a row.
    pub name: &'static str,
    pub search: &'static str,
    pub empty: &'static str,
}

impl Objects {
    /// Their list: name and description, these columns, and when each was made.
    pub fn list(self, columns: Vec<Column>) -> List {
        let name = Column::new(t().address, move |row| {
            let address = common::of(self.page, read::text(row, "/id"));
            view! {
                {common::link(address, read::text(row, self.name))}
                <div class="sub">{read::text(row, "/description").to_owned()}</div>
            }
            .into_any()
        });
        let created = Column::new(t().directory.created, |row| page::date_at(row, "/created"));
        let mut list = List::new(self.title, self.api, "/id");
        list.columns = vec![name.sorted("name")];
        list.columns.extend(columns);
        list.columns.push(created.sorted("created").class("nowrap"));
        list.searches = vec![("q", self.search)];
        list.empty = self.empty;
        list.in_address = true;
        list
    }

    pub fn address(self, row: &Value) -> String {
        common::of(self.api, read::text(row, "/id"))
    }

    /// Switching the chosen ones off and on.
    pub fn disabling(self) -> [Bulk; 2] {
        [true, false].map(|disabled| common::bulk_disable(disabled, move |row| self.address(row)))
    }

    /// The way back to the list, and the heading of the page of one.
    pub fn head(self, loaded: Loaded, actions: AnyView) -> AnyView {
        let title = move || match loaded.answer.get() {
            Some(Ok(reply)) => read::text(&reply.body, self.name).to_owned(),
            _ => String::new(),
        };
        view! {
            {page::crumbs(self.page, self.title)}
            {page::head_of(title, actions)}
        }
        .into_any()
    }

    /// A button that removes one for good, after a question. `texts`: what it says, and what is asked.
    pub fn remove(
        self,
        id: &str,
        texts: (&'static str, &'static str),
        question: RwSignal<Option<Question>>,
    ) -> AnyView {
        let address = common::of(self.api, id);
        common::remove(question, texts, id.to_owned(), address, self.page)
    }

    /// Removes the chosen ones, which are nothing but what their rows show: with a way back. `members`: what makes another such.
    pub fn removing_whole(self, members: &'static [&'static str]) -> Bulk {
        Bulk::new(t().remove, t().removed_count, move |row| async move {
            api::delete(&self.address(&row)).await?;
            Ok(back(move || {
                let row = row.clone();
                async move { self.make_again(&row, members).await.map(|_| ()) }
            }))
        })
    }

    /// A button that removes one such, and goes back to the list; the way back leads to its page.
    pub fn remove_one_whole(
        self,
        label: &'static str,
        loaded: Loaded,
        members: &'static [&'static str],
    ) -> AnyView {
        let again = move |row: Value| async move {
            let page = self.make_again(&row, members).await?;
            toast::show(t().undone);
            route::go(&page);
            Ok::<(), Problem>(())
        };
        common::button(label, "danger", move || async move {
            let Some(Ok(reply)) = loaded.answer.get_untracked() else {
                return Ok(());
            };
            let row = reply.body;
            api::delete(&self.address(&row)).await?;
            let undo: toast::Undo = Arc::new(move || load::run(again(row.clone())));
            toast::show_with(t().removed.to_owned(), Some(undo));
            route::go(self.page);
            Ok(())
        })
    }

    /// Makes the same once more: the address of its page.
    async fn make_again(
        self,
        row: &Value,
        members: &'static [&'static str],
    ) -> Result<String, Problem> {
        let mut same = json!({});
        for member in members {
            let value = row.get(member).cloned().unwrap_or_default();
            read::put(&mut same, &format!("/{member}"), value);
        }
        let made = api::post(self.api, &same).await?.body;
        if read::flag(row, "/disabled") {
            api::patch(&self.address(&made), "", &json!({"disabled": true})).await?;
        }
        Ok(common::of(self.page, read::text(&made, "/id")))
    }
}
