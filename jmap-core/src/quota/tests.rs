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
