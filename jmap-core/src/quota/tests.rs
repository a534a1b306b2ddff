use jmap_types::{
    Arguments, MethodCall as _, Property, Value,
    mail::Quota,
    method::{Changes, Get, Query},
    value::{Map, MapExt as _},
};

use crate::directory::tests::{PASSWORD, Server};

#[tokio::test]
async fn a_quota_is_there_where_there_is_a_limit() {
    let server = Server::new().await;
    let core = &server.core;
    let ann = core
        .bootstrap_admin("ann", PASSWORD.into())
        .await
        .unwrap()
        .id;
    let caller = server.login("ann", PASSWORD).await.unwrap();
    let arguments = || Map::new().with(Property::AccountId, ann.to_string());
    let get = || {
        Get::<Quota>::from_arguments(Arguments::new(arguments().with(Property::Ids, Value::Null)))
            .unwrap()
    };
    let before = core.call(&caller, get()).await.unwrap();
    assert!(before.list.is_empty());
    core.set_quota(&server.admin, ann, Some(1000))
        .await
        .unwrap();
    let after = core.call(&caller, get()).await.unwrap();
    let quota = after.list.first().and_then(Value::as_object).unwrap();
    assert_eq!(quota.find(Property::HardLimit), Some(&Value::from(1000u64)));
    assert_eq!(quota.find(Property::Used), Some(&Value::from(0u64)));
    assert_ne!(before.state, after.state);
    let changes = arguments().with(Property::SinceState, before.state.to_string());
    let changes = Changes::<Quota>::from_arguments(Arguments::new(changes)).unwrap();
    let response = core.call(&caller, changes).await.unwrap();
    assert_eq!(response.updated.first().map(|id| id.as_str()), Some("q0"));
    let query = Query::<Quota>::from_arguments(Arguments::new(arguments())).unwrap();
    assert_eq!(core.call(&caller, query).await.unwrap().ids.len(), 1);
}

#[tokio::test]
async fn another_default_is_told_to_those_without_a_quota_of_their_own() {
    let server = Server::new().await;
    let core = &server.core;
    let ann = core
        .bootstrap_admin("ann", PASSWORD.into())
        .await
        .unwrap()
        .id;
    let caller = server.login("ann", PASSWORD).await.unwrap();
    let arguments = || Map::new().with(Property::AccountId, ann.to_string());
    let state = async || {
        let ids = arguments().with(Property::Ids, Value::Null);
        let get = Get::<Quota>::from_arguments(Arguments::new(ids)).unwrap();
        core.call(&caller, get).await.unwrap().state
    };
    let set_default = |default_quota_octets| {
        let limits = crate::Limits::clone(&core.limits());
        core.set_limits(crate::Limits {
            default_quota_octets,
            ..limits
        });
    };
    assert!(!core.tell_default_quota().await.unwrap());
    let before = state().await;
    assert!(!core.tell_default_quota().await.unwrap());
    assert_eq!(state().await, before, "nothing is new");
    set_default(5000);
    core.work_once(usize::MAX).await;
    assert_ne!(state().await, before);
    let changes = arguments().with(Property::SinceState, before.to_string());
    let changes = Changes::<Quota>::from_arguments(Arguments::new(changes)).unwrap();
    let response = core.call(&caller, changes).await.unwrap();
    assert_eq!(response.updated.first().map(|id| id.as_str()), Some("q0"));
    // Whoever has a quota of their own has the same one.
    core.set_quota(&server.admin, ann, Some(1000))
        .await
        .unwrap();
    let own = state().await;
    set_default(6000);
    core.work_once(usize::MAX).await;
    assert_eq!(state().await, own);
}
