//! Thread (RFC 8621 §3).
//! Other half: `write` puts emails into threads.

use jmap_types::{
    DataType, Id, MethodError, Property, Value,
    mail::{Email, Thread},
    value::{Key, Map, MapExt},
};
use store::log::Delta;

use crate::{
    Context,
    access::Standing,
    error::method_error,
    mail::{
        access::{check_guest_state, is_email_visible},
        view::View,
    },
    object::{ChangesObject, GetObject, Properties},
};

impl GetObject for Thread {
    const STATE: DataType = DataType::Thread;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &["id", "emailIds"];

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        let standing = context.standing()?;
        let view = context.account()?.view().await.map_err(method_error)?;
        let visible = view
            .emails()
            .filter(|(_, row)| is_email_visible(&view, &context.who, standing, row));
        let mut threads: Vec<u64> = visible.map(|(_, row)| row.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        Ok(threads)
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let view = context.account()?.view().await.map_err(method_error)?;
        let standing = context.standing()?;
        let to_value = |&id: &u64| {
            let emails = visible_emails(&view, context, standing, id);
            if emails.is_empty() {
                return None;
            }
            let mut map =
                Map::with_capacity(2).with(Property::Id, Id::<Thread>::new(id).to_string());
            if properties.has("emailIds") {
                let ids: Vec<String> = emails
                    .into_iter()
                    .map(|id| Id::<Email>::new(id).to_string())
                    .collect();
                map.insert_unchecked(Key::Property(Property::EmailIds), ids);
            }
            Some(Value::Object(map))
        };
        Ok(ids.iter().map(to_value).collect())
    }
}

fn visible_emails(view: &View, context: &Context, standing: Standing, thread: u64) -> Vec<u64> {
    let mut emails = view.thread(thread);
    emails.retain(|&id| {
        view.email(id)
            .is_some_and(|row| is_email_visible(view, &context.who, standing, row))
    });
    emails
}

impl ChangesObject for Thread {
    async fn widen(context: &Context, since: u64, delta: Delta) -> Result<Delta, MethodError> {
        check_guest_state(context, since, delta.upto).await?;
        Ok(delta)
    }

    async fn restrict(context: &Context, mut delta: Delta) -> Result<Delta, MethodError> {
        let standing = context.standing()?;
        if standing == Standing::Guest {
            let view = context.account()?.view().await.map_err(method_error)?;
            let visible = |id: &u64| !visible_emails(&view, context, standing, *id).is_empty();
            let (seen, gone): (Vec<u64>, Vec<u64>) =
                delta.updated.iter().partition(|id| visible(id));
            delta.updated = seen;
            delta.destroyed.extend(gone);
            delta.created.retain(visible);
        }
        Ok(delta)
    }
}
