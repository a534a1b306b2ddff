//! Lists, page by page.
//!
//! Holds: a page has at most [`PAGE_MAX`] items; a cursor says behind which item the next page begins, so what comes or goes
//! meanwhile moves nothing else; there is nothing in it that the client has not been shown.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    describe::{Described, Schemas},
    problem::{Kind, Problem},
    request::Request,
};

/// Items of one page.
pub const PAGE_MAX: u64 = 200;
/// Items of a page where it isn't said how many.
pub const PAGE_DEFAULT: u64 = 50;

/// How many items a page has.
pub fn limit(request: &Request) -> Result<usize, Problem> {
    let limit = request.asked_as::<u64>("limit")?.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        let why = format!("A page has 1 to {PAGE_MAX} items.");
        return Err(Problem::new(Kind::InvalidRequest, why));
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// A place in a list: what it is sorted by, and what tells equals apart.
pub type Place = (String, String);

/// The cursor that is asked for.
pub fn cursor(request: &Request) -> Result<Option<Place>, Problem> {
    let Some(text) = request.asked("cursor") else {
        return Ok(None);
    };
    let octets = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let place = octets.and_then(|octets| serde_json::from_slice(&octets).ok());
    place
        .map(Some)
        .ok_or_else(|| Problem::of(Kind::InvalidCursor))
}

pub fn cursor_text(place: &Place) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json!(place).to_string())
}

/// Some items of a list, and where it goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
    /// How many there are on all pages.
    pub total: usize,
}

impl<T> Page<T> {
    /// The page that is asked for of all `items`.
    pub fn of(
        request: &Request,
        items: Vec<T>,
        place: impl Fn(&T) -> Place,
    ) -> Result<Page<T>, Problem> {
        let is_descending = request
            .asked("sort")
            .is_some_and(|sort| sort.starts_with('-'));
        cut(
            items,
            place,
            is_descending,
            cursor(request)?,
            limit(request)?,
        )
    }
}

fn cut<T>(
    items: Vec<T>,
    place: impl Fn(&T) -> Place,
    is_descending: bool,
    after: Option<Place>,
    limit: usize,
) -> Result<Page<T>, Problem> {
    let total = items.len();
    let mut placed: Vec<(Place, T)> = items.into_iter().map(|item| (place(&item), item)).collect();
    placed.sort_by(|(a, _), (b, _)| match is_descending {
        true => b.cmp(a),
        false => a.cmp(b),
    });
    let is_behind = |at: &Place| match &after {
        None => true,
        Some(after) if is_descending => at < after,
        Some(after) => at > after,
    };
    placed.retain(|(at, _)| is_behind(at));
    let has_more = placed.len() > limit;
    placed.truncate(limit);
    let last = placed.last().filter(|_| has_more);
    Ok(Page {
        next: last.map(|(at, _)| cursor_text(at)),
        items: placed.into_iter().map(|(_, item)| item).collect(),
        total,
    })
}

/// The JSON of a page.
pub fn json_of(items: Vec<Value>, next: Option<String>, total: Option<usize>) -> Value {
    let mut page = json!({"items": items, "next": next});
    if let (Some(total), Some(members)) = (total, page.as_object_mut()) {
        members.insert("total".into(), json!(total));
    }
    page
}

/// The schema of a page.
pub fn schema<T: Described>(schemas: &mut Schemas, has_total: bool) -> Value {
    let items = T::schema(schemas);
    let mut schema = json!({
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": items, "maxItems": PAGE_MAX},
            "next": {
                "type": ["string", "null"],
                "description": "The cursor of the next page; null: this is the last one.",
            },
        },
        "required": ["items", "next"],
        "additionalProperties": false,
    });
    if has_total {
        let total = json!({"type": "integer", "minimum": 0, "description": "Items on all pages."});
        if let Some(properties) = schema
            .pointer_mut("/properties")
            .and_then(Value::as_object_mut)
        {
            properties.insert("total".into(), total);
        }
        if let Some(required) = schema
            .pointer_mut("/required")
            .and_then(Value::as_array_mut)
        {
            required.push(json!("total"));
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_everything_once() {
        let items: Vec<u32> = (0..25).map(|n| n * 7 % 25).collect();
        let place = |n: &u32| (format!("{:03}", n / 2), format!("{n:03}"));
        for is_descending in [false, true] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = cut(items.clone(), place, is_descending, after, 10).unwrap();
                assert_eq!(page.total, 25);
                seen.extend(page.items);
                let Some(next) = page.next else { break };
                let octets = BASE64_URL_SAFE_NO_PAD.decode(next).unwrap();
                after = Some(serde_json::from_slice(&octets).unwrap());
            }
            let mut want: Vec<u32> = (0..25).collect();
            if is_descending {
                want.reverse();
            }
            assert_eq!(seen, want);
        }
    }
}
