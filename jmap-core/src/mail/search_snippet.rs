//! SearchSnippet/get (RFC 8621 §5.1).
//! Other half: `message::snippet` marks words, `query` has the filter.

use jmap_types::{
    MethodError, MethodErrorKind,
    mail::{Email, EmailCondition},
    method::Filter,
    search_snippet::{SearchSnippet, SearchSnippetGet, SearchSnippetGetResponse},
};

use super::{
    access::is_email_visible,
    email::read,
    message::{Terms, search_text},
};
use crate::{Context, Handle, error::method_error};

/// The texts that a filter looks for, by where.
#[derive(Debug)]
struct Wanted {
    subject: Terms,
    body: Terms,
}

impl Handle for SearchSnippetGet {
    async fn handle(self, context: Context) -> Result<SearchSnippetGetResponse, MethodError> {
        if self.email_ids.len() > context.core.limits().max_objects_in_get as usize {
            return Err(MethodErrorKind::RequestTooLarge.into());
        }
        let mut wanted = Wanted {
            subject: Terms::parse(""),
            body: Terms::parse(""),
        };
        if let Some(filter) = &self.filter {
            wanted.add(filter);
        }
        let mut response = SearchSnippetGetResponse {
            account_id: self.account_id,
            list: Vec::new(),
            not_found: Vec::new(),
        };
        for email_id in self.email_ids {
            let number = email_id.as_id::<Email>().map(|id| id.number());
            let snippet = match number {
                Some(number) => snippet(&context, number, &wanted).await?,
                None => None,
            };
            match snippet {
                Some((subject, preview)) => response.list.push(SearchSnippet {
                    email_id,
                    subject,
                    preview,
                }),
                None => response.not_found.push(email_id),
            }
        }
        Ok(response)
    }
}

type Texts = (Option<String>, Option<String>);

async fn snippet(
    context: &Context,
    id: u64,
    wanted: &Wanted,
) -> Result<Option<Texts>, MethodError> {
    let account = context.account()?;
    let standing = context.standing()?;
    let blob = {
        let view = account.view().await.map_err(method_error)?;
        let visible = |row: &&_| is_email_visible(&view, &context.who, standing, row);
        view.email(id).filter(visible).map(|row| row.blob)
    };
    let Some(blob) = blob else {
        return Ok(None);
    };
    if wanted.subject.is_empty() && wanted.body.is_empty() {
        // RFC 8621 §5: nothing is searched for, so nothing is found.
        return Ok(Some((None, None)));
    }
    let core = &context.core;
    let summary = read::summaries(core, &[blob]).await.map_err(method_error)?;
    let octets = read::blobs(core, &[blob]).await.map_err(method_error)?;
    let (Some(Some(summary)), Some(Some(octets))) = (summary.first(), octets.first()) else {
        return Ok(None);
    };
    let text = search_text(octets, summary);
    Ok(Some((
        wanted.subject.subject(&text.subject),
        wanted.body.preview(&text.body),
    )))
}

impl Wanted {
    fn add(&mut self, filter: &Filter<EmailCondition>) {
        match filter {
            Filter::And(filters) | Filter::Or(filters) => {
                filters.iter().for_each(|filter| self.add(filter))
            }
            // What must not be there is not marked.
            Filter::Not(_) => {}
            Filter::Condition(condition) => {
                for text in [&condition.text, &condition.subject].into_iter().flatten() {
                    self.subject.add(text);
                }
                for text in [&condition.text, &condition.body].into_iter().flatten() {
                    self.body.add(text);
                }
            }
        }
    }
}
