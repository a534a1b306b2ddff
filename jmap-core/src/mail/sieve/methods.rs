//! SieveScript/get, SieveScript/set and SieveScript/validate (RFC 9661 §2.1, §2.2, §2.4).

use bytes::Bytes;
use jmap_types::{
    BlobId, DataType, MethodError, MethodErrorKind, Property, SetError, SetErrorKind, State, Value,
    WireId,
    method::{CreatedIds, SetResponse},
    patch,
    sieve::{
        SieveScript, SieveScriptSetArguments, SieveScriptValidate, SieveScriptValidateResponse,
    },
    value::{Map, MapExt, key, string},
};
use store::{
    Change, ChangeKind,
    engine::Batch,
    keys::{self, BlobHash},
};

use super::{
    ACTIVE, ActiveRecord, NAME_OCTETS_MAX, SCRIPT_OCTETS_MAX, SCRIPTS_MAX, ScriptRecord, compile,
    script_key,
};
use crate::{
    Context, Handle,
    access::Standing,
    blob::BlobError,
    error::method_error,
    mail::write::MailTxn,
    object::{GetObject, Properties, Rejected, SetObject, Staged},
};

impl GetObject for SieveScript {
    const STATE: DataType = DataType::SieveScript;
    const DEFAULT_PROPERTIES: &'static [&'static str] = &["id", "name", "blobId", "isActive"];

    async fn prepare(context: &Context) -> Result<(), MethodError> {
        match context.standing()? {
            Standing::Owner => Ok(()),
            Standing::Guest => Err(MethodErrorKind::Forbidden.into()),
        }
    }

    async fn all(context: &Context) -> Result<Vec<u64>, MethodError> {
        let scripts = super::all(&context.core, context.account()?.id).await;
        let scripts = scripts.map_err(method_error)?;
        Ok(scripts.into_iter().map(|(id, _)| id).collect())
    }

    async fn fetch(
        context: &Context,
        ids: &[u64],
        properties: &Properties,
        (): &(),
    ) -> Result<Vec<Option<Value>>, MethodError> {
        let account = context.account()?.id;
        let scripts = super::all(&context.core, account)
            .await
            .map_err(method_error)?;
        let active = super::active(&context.core, account)
            .await
            .map_err(method_error)?;
        let value = |id: &u64| {
            let at = scripts.binary_search_by_key(id, |(id, _)| *id).ok()?;
            let (id, record) = scripts.get(at)?;
            Some(to_value(*id, record, active == Some(*id), properties))
        };
        Ok(ids.iter().map(value).collect())
    }
}

fn to_value(id: u64, record: &ScriptRecord, is_active: bool, properties: &Properties) -> Value {
    let values: [(&str, Value); 3] = [
        ("name", string(record.name.clone())),
        ("blobId", string(BlobId::whole(record.blob).to_string())),
        ("isActive", is_active.into()),
    ];
    let mut map = Map::with_capacity(4);
    map.insert(key("id"), string(SieveScript::wire_id(id).as_str()));
    for (name, value) in values.into_iter().filter(|(name, _)| properties.has(name)) {
        map.insert(key(name), value);
    }
    Value::Object(map)
}

/// What a client gives of a script.
#[derive(Default)]
struct Given {
    /// `Some(None)`: null, the server chooses.
    name: Option<Option<String>>,
    blob: Option<String>,
}

impl Given {
    fn read(properties: Map, id: Option<u64>, is_active: bool) -> Result<Self, SetError> {
        let mut given = Self::default();
        for (key, value) in properties.into_vec() {
            let property = key.to_string().into_owned();
            match (property.as_str(), value) {
                ("name", Value::Str(name)) => {
                    check_name(&name)?;
                    given.name = Some(Some(name.into_owned()));
                }
                ("name", Value::Null) => given.name = Some(None),
                ("name", _) => {
                    let why = "It must be a String or null.";
                    return Err(SetError::invalid_property("name", why));
                }
                ("blobId", Value::Str(blob)) => given.blob = Some(blob.into_owned()),
                ("blobId", _) => {
                    return Err(SetError::invalid_property("blobId", "It must be an Id."));
                }
                // What the server sets may be given as it is (RFC 8620 §5.3).
                ("isActive", Value::Bool(value)) if value == is_active => {}
                ("isActive", _) => {
                    let why = "It is set by onSuccessActivateScript and onSuccessDeactivateScript.";
                    return Err(SetError::invalid_property("isActive", why));
                }
                ("id", Value::Str(text))
                    if id.is_some_and(|id| *text == *SieveScript::wire_id(id).as_str()) => {}
                ("id", _) => {
                    return Err(SetError::invalid_property("id", "The id can't change."));
                }
                (other, _) => {
                    return Err(SetError::invalid_property(
                        other,
                        "There is no such property.",
                    ));
                }
            }
        }
        Ok(given)
    }
}

/// RFC 9661 §2: no control characters, no line and paragraph separators (RFC 5198), not empty, not too long.
fn check_name(name: &str) -> Result<(), SetError> {
    let is_wrong = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if name.is_empty() || name.chars().any(is_wrong) {
        let why = "A name has at least one character, and no control characters.";
        return Err(SetError::invalid_property("name", why));
    }
    if name.len() > NAME_OCTETS_MAX {
        let why = format!("A name has at most {NAME_OCTETS_MAX} octets.");
        return Err(SetError::invalid_property("name", why));
    }
    Ok(())
}

/// A script that can be stored.
struct Content {
    octets: Bytes,
    hash: BlobHash,
    /// It isn't the blob that the client named, but a section of it.
    is_section: bool,
}

impl Content {
    async fn read(context: &Context, blob: &str) -> Result<Self, SetError> {
        let not_found = || SetError::blob_not_found(WireId::parse(blob).into_iter().collect());
        let id = BlobId::parse(blob).ok_or_else(not_found)?;
        let account = context.account().map_err(|_| not_found())?.id;
        let octets = match context.core.read_blob(&context.who, account, id).await {
            Ok(octets) => octets,
            Err(BlobError::NotFound) => return Err(not_found()),
            Err(error) => return Err(error.into()),
        };
        if octets.len() > SCRIPT_OCTETS_MAX {
            return Err(SetError::new(SetErrorKind::TooLarge)
                .with(Property::MaxSize, SCRIPT_OCTETS_MAX as u64));
        }
        let checked = compile::check_aside(octets.clone()).await;
        checked.map_err(|why| SetError::describe(SetErrorKind::InvalidSieve, why))?;
        Ok(Self {
            hash: store::blob::hash(&octets),
            octets,
            is_section: id.section.is_some(),
        })
    }

    /// Stores it, with a reference of the script's.
    async fn store(&self, txn: &mut MailTxn, id: u64) -> Result<(), store::Error> {
        let mut batch = Batch::new();
        store::blob::ensure(txn.engine(), &mut batch, &self.hash, &self.octets).await?;
        txn.append_unread(batch);
        let reference = keys::blob_ref(&self.hash, txn.account(), DataType::SieveScript, id);
        txn.put(reference, Bytes::new());
        Ok(())
    }
}

fn let_go(context: &Context, txn: &mut MailTxn, id: u64, blob: &BlobHash) {
    txn.delete(keys::blob_ref(
        blob,
        txn.account(),
        DataType::SieveScript,
        id,
    ));
    let now = u64::try_from(context.core.clock.now().0).unwrap_or(0);
    txn.put(keys::blob_candidate(now, blob), Bytes::new());
}

fn put(txn: &mut MailTxn, id: u64, record: &ScriptRecord, kind: ChangeKind) {
    txn.put_record(script_key(txn.account(), id), record);
    txn.changed(Change::new(DataType::SieveScript, id, kind));
}

/// RFC 9661 §2.2: no two scripts have one name.
fn check_unique(
    scripts: &[(u64, ScriptRecord)],
    name: &str,
    id: Option<u64>,
) -> Result<(), SetError> {
    let mut others = scripts.iter().filter(|(other, _)| Some(*other) != id);
    match others.find(|(_, record)| record.name == name) {
        Some((existing, _)) => Err(SetError::already_exists(SieveScript::wire_id(*existing))),
        None => Ok(()),
    }
}

impl SetObject for SieveScript {
    async fn create(
        context: &Context,
        _: &SieveScriptSetArguments,
        properties: Map,
    ) -> Staged<(u64, Map)> {
        let given = Given::read(properties, None, false)?;
        let Some(blob) = given.blob else {
            return Err(SetError::invalid_property("blobId", "A script has a blobId.").into());
        };
        let content = Content::read(context, &blob).await?;
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let scripts = super::all_in(&txn).await?;
        if scripts.len() >= SCRIPTS_MAX {
            let why = format!("An account has at most {SCRIPTS_MAX} scripts.");
            return Err(SetError::describe(SetErrorKind::OverQuota, why).into());
        }
        let id = txn.new_id();
        let mut server_set = Map::with_capacity(3);
        let name = match given.name.flatten() {
            Some(name) => name,
            None => {
                let name = SieveScript::wire_id(id).to_string();
                server_set.insert(key("name"), string(name.clone()));
                name
            }
        };
        check_unique(&scripts, &name, None)?;
        if content.is_section {
            let blob = BlobId::whole(content.hash).to_string();
            server_set.insert(key("blobId"), string(blob));
        }
        server_set.insert(key("isActive"), false);
        content.store(&mut txn, id).await?;
        let record = ScriptRecord {
            name,
            blob: content.hash,
            size: content.octets.len() as u64,
        };
        put(&mut txn, id, &record, ChangeKind::Created);
        Ok(((id, server_set), Some(txn.stage())))
    }

    async fn update(
        context: &Context,
        _: &SieveScriptSetArguments,
        id: u64,
        patch: Map,
    ) -> Staged<Option<Map>> {
        let account = context.account()?.clone();
        let is_active = super::active(&context.core, account.id).await? == Some(id);
        // No property of a script has anything within it.
        let patch = patch::whole_properties(patch, Map::new).map_err(SetError::from)?;
        let given = Given::read(patch, Some(id), is_active)?;
        let content = match &given.blob {
            Some(blob) => Some(Content::read(context, blob).await?),
            None => None,
        };
        let mut txn = account.writer.begin().await?;
        let scripts = super::all_in(&txn).await?;
        let Some((_, old)) = scripts.iter().find(|(other, _)| *other == id) else {
            return Err(SetError::not_found().into());
        };
        let mut record = old.clone();
        let mut server_set = Map::new();
        if let Some(name) = given.name {
            record.name = name.unwrap_or_else(|| {
                let name = SieveScript::wire_id(id).to_string();
                server_set.insert(key("name"), string(name.clone()));
                name
            });
            check_unique(&scripts, &record.name, Some(id))?;
        }
        if let Some(content) = content.filter(|content| content.hash != old.blob) {
            record.blob = content.hash;
            record.size = content.octets.len() as u64;
            if content.is_section {
                let blob = BlobId::whole(content.hash).to_string();
                server_set.insert(key("blobId"), string(blob));
            }
            let_go(context, &mut txn, id, &old.blob);
            content.store(&mut txn, id).await?;
        }
        let server_set = Some(server_set).filter(|map| !map.is_empty());
        if record == *old {
            return Ok((server_set, txn.stage_or_seen()));
        }
        put(&mut txn, id, &record, ChangeKind::Updated);
        Ok((server_set, Some(txn.stage())))
    }

    async fn destroy(context: &Context, _: &SieveScriptSetArguments, id: u64) -> Staged<()> {
        let account = context.account()?.clone();
        let mut txn = account.writer.begin().await?;
        let scripts = super::all_in(&txn).await?;
        let Some((_, record)) = scripts.iter().find(|(other, _)| *other == id) else {
            return Err(SetError::not_found().into());
        };
        if super::active_in(&txn).await? == Some(id) {
            let why = "The script is active: it has to be deactivated first.";
            return Err(SetError::describe(SetErrorKind::SieveIsActive, why).into());
        }
        txn.delete(script_key(account.id, id));
        let_go(context, &mut txn, id, &record.blob);
        txn.changed(Change::new(
            DataType::SieveScript,
            id,
            ChangeKind::Destroyed,
        ));
        Ok(((), Some(txn.stage())))
    }

    /// RFC 9661 §2.2: `onSuccessActivateScript` and `onSuccessDeactivateScript`, if nothing went wrong.
    async fn finish(
        context: &Context,
        arguments: SieveScriptSetArguments,
        response: &mut SetResponse,
        created: &CreatedIds,
    ) {
        let is_success = response.not_created.is_empty()
            && response.not_updated.is_empty()
            && response.not_destroyed.is_empty();
        if !is_success {
            return;
        }
        let named = arguments.on_success_activate_script.as_deref();
        let wanted = named.and_then(|id| match id.strip_prefix('#') {
            Some(creation_id) => created.get(creation_id),
            None => WireId::parse(id),
        });
        let wanted = wanted.and_then(|id| Self::parse_id(&id));
        if wanted.is_none() && !arguments.on_success_deactivate_script {
            return;
        }
        const TRIES: usize = crate::object::TRIES;
        for _ in 0..TRIES {
            match activate(context, wanted, arguments.on_success_deactivate_script).await {
                Ok(Some(switched)) => return tell(response, switched),
                Ok(None) => return,
                Err(Rejected::Store(store::Error::Conflict)) => {}
                Err(error) => {
                    tracing::error!(?error, "a sieve script could not be made active");
                    return;
                }
            }
        }
    }
}

/// The script that is active now, and the one that was.
struct Switched {
    before: Option<u64>,
    now: Option<u64>,
    /// The states before and after it.
    states: [State; 2],
}

/// `None`: there is no such script, or nothing to do.
async fn activate(
    context: &Context,
    wanted: Option<u64>,
    may_deactivate: bool,
) -> Result<Option<Switched>, Rejected> {
    let account = context.account()?.clone();
    let mut txn = account.writer.begin().await?;
    let before = super::active_in(&txn).await?;
    let scripts = super::all_in(&txn).await?;
    // An id of nothing is ignored.
    let wanted = wanted.filter(|wanted| scripts.iter().any(|(id, _)| id == wanted));
    if wanted.is_none() && !may_deactivate {
        return Ok(None);
    }
    let state = State(txn.head.state(DataType::SieveScript));
    if before == wanted {
        if let Some(seen) = txn.stage_or_seen() {
            seen.durable().await?;
        }
        return Ok(Some(Switched {
            before,
            now: wanted,
            states: [state, state],
        }));
    }
    txn.put_record(
        script_key(account.id, ACTIVE),
        &ActiveRecord { script: wanted },
    );
    for id in before.into_iter().chain(wanted) {
        txn.changed(Change::new(DataType::SieveScript, id, ChangeKind::Updated));
    }
    let sequence = txn.commit().await?;
    Ok(Some(Switched {
        before,
        now: wanted,
        states: [state, State(sequence)],
    }))
}

/// RFC 9661 §2.2: what was switched is in `created` or `updated`.
fn tell(response: &mut SetResponse, switched: Switched) {
    let mut tell_one = |id: u64, is_active: bool| {
        let wire = SieveScript::wire_id(id);
        let of_created = response.created.iter_mut().find(|(_, map)| {
            map.find(Property::Id).and_then(jmap_types::value::as_text) == Some(wire.as_str())
        });
        if let Some((_, map)) = of_created {
            map.take(Property::IsActive);
            map.set(Property::IsActive, is_active);
            return;
        }
        match response.updated.iter_mut().find(|(id, _)| *id == wire) {
            Some((_, map)) => map
                .get_or_insert_with(Map::new)
                .set(Property::IsActive, is_active),
            None => {
                let map = Map::new().with(Property::IsActive, is_active);
                response.updated.push((wire, Some(map)));
            }
        }
    };
    if let Some(before) = switched.before.filter(|id| Some(*id) != switched.now) {
        tell_one(before, false);
    }
    if let Some(now) = switched.now {
        tell_one(now, true);
    }
    let [before, after] = switched.states;
    if response.new_state != before {
        // Another client was faster: between the old and the new state there is its change as well.
        response.old_state = None;
    }
    response.new_state = after;
}

impl Handle for SieveScriptValidate {
    async fn handle(self, context: Context) -> Result<SieveScriptValidateResponse, MethodError> {
        SieveScript::prepare(&context).await?;
        let error = Content::read(&context, self.blob_id.as_str()).await.err();
        if let Some(error) = error
            .as_ref()
            .filter(|error| error.kind == SetErrorKind::ServerFail)
        {
            let why = error.description.clone().unwrap_or_default();
            return Err(MethodError::describe(MethodErrorKind::ServerFail, why));
        }
        Ok(SieveScriptValidateResponse {
            account_id: self.account_id,
            error,
        })
    }
}
