//! What is asked for of a list.

use leptos::prelude::*;

use super::List;
use crate::{query, ui::route};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// `name`, or `-name` for the other way round.
    pub sort: String,
    /// Parameters that narrow the list: chosen ones and searched ones.
    pub filters: Vec<(&'static str, String)>,
    /// Cursors of the pages before this one, and of this one.
    pub cursors: Vec<String>,
}

impl Asked {
    pub fn from_address(list: &List) -> Self {
        if !list.in_address {
            return Self::default();
        }
        let place = route::current().get_untracked();
        let searches = list.searches.iter().map(|(name, _)| *name);
        let names = searches.chain(list.filters.iter().map(|(name, ..)| *name));
        let filters = names.map(|name| (name, place.parameter(name)));
        Self {
            sort: place.parameter("sort"),
            filters: filters.filter(|(_, value)| !value.is_empty()).collect(),
            cursors: Vec::new(),
        }
    }

    fn parameters(&self) -> Vec<(&str, &str)> {
        let mut parameters = vec![("sort", self.sort.as_str())];
        parameters.extend(
            self.filters
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        parameters
    }

    pub fn address(&self, list: &List) -> String {
        let mut parameters = self.parameters();
        if !list.is_plain {
            parameters.push(("limit", list.rows));
        }
        if let Some(cursor) = self.cursors.last() {
            parameters.push(("cursor", cursor));
        }
        query::with(&list.address, &parameters)
    }

    pub fn note(&self, list: &List) {
        if list.in_address {
            let path = window().location().pathname().unwrap_or_default();
            route::note(&query::with(&path, &self.parameters()));
        }
    }

    /// Narrows the list, and begins at its first page.
    pub fn narrow(&mut self, name: &'static str, value: &str) {
        self.filters.retain(|(of, _)| *of != name);
        if !value.is_empty() {
            self.filters.push((name, value.to_owned()));
        }
        self.cursors.clear();
    }

    /// Forgets what narrows the list.
    pub fn widen(&mut self) {
        self.filters.clear();
        self.cursors.clear();
    }

    pub fn is_narrowed(&self) -> bool {
        !self.filters.is_empty()
    }

    pub fn filter(&self, name: &str) -> &str {
        let found = self.filters.iter().find(|(of, _)| *of == name);
        found.map_or("", |(_, value)| value)
    }
}
