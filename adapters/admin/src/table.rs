//! The table of routes: each with what it is called, who it is for, what it takes and answers, and what serves it.
//!
//! Holds: the document, the pages and the server are made of this one table; a route without a row is not served.
//! Other half: `routes` has the rows.

use std::sync::LazyLock;

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use jmap_core::access::Operation;
use serde_json::Value;

use crate::{
    describe::Schemas,
    live::Events,
    problem::{Kind, Problem},
    request::{Request, Visit},
    routes,
};

/// A parameter of a path or a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
    pub schema: fn() -> Value,
}

/// What a route answers where all is well.
pub struct Answer {
    pub status: StatusCode,
    pub body: Option<Value>,
    /// Of one object: its entity tag.
    pub tag: Option<String>,
    /// Of an object that was made: where it is, below the base of the API.
    pub location: Option<String>,
    /// In place of a body: what comes as time goes by.
    pub events: Option<Events>,
}

impl Answer {
    pub fn ok(body: Value) -> Answer {
        Answer {
            status: StatusCode::OK,
            body: Some(body),
            tag: None,
            location: None,
            events: None,
        }
    }

    pub fn nothing() -> Answer {
        Answer {
            status: StatusCode::NO_CONTENT,
            body: None,
            tag: None,
            location: None,
            events: None,
        }
    }

    pub fn with_tag(self, tag: String) -> Answer {
        Answer {
            tag: Some(tag),
            ..self
        }
    }

    pub fn created(self, location: String) -> Answer {
        Answer {
            status: StatusCode::CREATED,
            location: Some(location),
            ..self
        }
    }
}

pub type Outcome = Result<Answer, Problem>;
pub type Handler = for<'r> fn(&'r Request) -> BoxFuture<'r, Outcome>;
pub type OpenHandler = for<'r> fn(&'r Visit) -> BoxFuture<'r, Outcome>;

/// What serves a route.
#[derive(Clone, Copy)]
pub enum Run {
    /// For whoever has logged in.
    LoggedIn(Handler),
    /// For everybody.
    Open(OpenHandler),
}

pub type SchemaOf = fn(&mut Schemas) -> Value;

/// A row of the table.
pub struct Route {
    pub method: Method,
    /// Below the base; parameters are in braces.
    pub path: &'static str,
    /// `operationId` of the document.
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    /// What the core asks `access` for. `None`: everybody who is logged in may.
    pub operation: Option<Operation>,
    pub query: Vec<Parameter>,
    pub body: Option<SchemaOf>,
    pub status: StatusCode,
    pub answer: Option<SchemaOf>,
    /// It answers with server-sent events, each with data of this schema.
    pub is_live: bool,
    /// What may go wrong, beside what may with all routes.
    pub problems: Vec<Kind>,
    /// It takes If-Match, and answers with an ETag.
    pub is_versioned: bool,
    /// It takes Idempotency-Key.
    pub is_once: bool,
    pub run: Run,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    pub fn new(
        method: Method,
        path: &'static str,
        (tag, id): (&'static str, &'static str),
        summary: &'static str,
        operation: impl Into<Option<Operation>>,
        run: Handler,
    ) -> Route {
        let run = Run::LoggedIn(run);
        Route::row(method, path, (tag, id), summary, operation.into(), run)
    }

    fn row(
        method: Method,
        path: &'static str,
        (tag, id): (&'static str, &'static str),
        summary: &'static str,
        operation: Option<Operation>,
        run: Run,
    ) -> Route {
        Route {
            method,
            path,
            id,
            tag,
            summary,
            operation,
            query: Vec::new(),
            body: None,
            status: StatusCode::NO_CONTENT,
            answer: None,
            is_live: false,
            problems: Vec::new(),
            is_versioned: false,
            is_once: false,
            run,
        }
    }

    /// One that everybody may ask, also who has not logged in. It changes nothing, and takes no body.
    pub fn open(
        path: &'static str,
        name: (&'static str, &'static str),
        summary: &'static str,
        run: OpenHandler,
    ) -> Route {
        Route::row(Method::GET, path, name, summary, None, Run::Open(run))
    }

    pub fn is_open(&self) -> bool {
        matches!(self.run, Run::Open(_))
    }

    pub fn query(mut self, parameters: &[Parameter]) -> Route {
        self.query.extend(parameters);
        self
    }

    pub fn body(mut self, schema: SchemaOf) -> Route {
        self.body = Some(schema);
        self
    }

    pub fn answers(mut self, schema: SchemaOf) -> Route {
        self.status = StatusCode::OK;
        self.answer = Some(schema);
        self
    }

    pub fn creates(mut self, schema: SchemaOf) -> Route {
        self.status = StatusCode::CREATED;
        self.answer = Some(schema);
        self.is_once = true;
        self.may_fail(&[
            Kind::AlreadyExists,
            Kind::LimitReached,
            Kind::InvalidValue,
            Kind::KeyReused,
        ])
    }

    /// It begins something, and answers before that has ended.
    pub fn accepts(mut self, schema: SchemaOf) -> Route {
        self.status = StatusCode::ACCEPTED;
        self.answer = Some(schema);
        self
    }

    /// It answers with events that go on.
    pub fn follows(mut self, schema: SchemaOf) -> Route {
        self.is_live = true;
        self.answers(schema)
    }

    pub fn versioned(mut self) -> Route {
        self.is_versioned = true;
        self
    }

    pub fn may_fail(mut self, kinds: &[Kind]) -> Route {
        self.problems.extend(kinds);
        self
    }

    /// Whether it changes something.
    pub fn is_change(&self) -> bool {
        self.method != Method::GET
    }

    /// The names of the path's parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// All that may go wrong.
    pub fn all_problems(&self) -> Vec<Kind> {
        let mut kinds = vec![
            Kind::InvalidRequest,
            Kind::MethodNotAllowed,
            Kind::AddressTooLong,
            Kind::TooManyRequests,
            Kind::ServerFailed,
            Kind::Unavailable,
        ];
        kinds.extend(&self.problems);
        if !self.is_open() {
            kinds.extend([
                Kind::Unauthorized,
                Kind::Forbidden,
                Kind::SecondFactor,
                Kind::Disabled,
                Kind::NotEncrypted,
            ]);
        }
        if self.is_change() {
            kinds.push(Kind::CrossSite);
        }
        if self.path.contains('{') || self.method == Method::POST {
            kinds.push(Kind::NotFound);
        }
        if self
            .query
            .iter()
            .any(|parameter| parameter.name == "cursor")
        {
            kinds.push(Kind::InvalidCursor);
        }
        if self.body.is_some() {
            kinds.extend([Kind::TooSlow, Kind::TooLarge, Kind::UnsupportedMediaType]);
        }
        if self.is_versioned && self.is_change() {
            kinds.push(Kind::Changed);
        }
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The values of the path's parameters, if it is this route's. A value is never empty.
    fn matches<'p>(&self, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
        let mut values = Vec::new();
        let mut parts = path.split('/');
        for own in self.path.split('/') {
            let part = parts.next()?;
            match own.strip_prefix('{').and_then(|own| own.strip_suffix('}')) {
                Some(name) if !part.is_empty() => values.push((name, part)),
                None if own == part => {}
                Some(_) | None => return None,
            }
        }
        parts.next().is_none().then_some(values)
    }
}

static TABLE: LazyLock<Vec<Route>> = LazyLock::new(routes::all);

/// All routes.
pub fn table() -> &'static [Route] {
    &TABLE
}

/// What is at an address.
pub enum Found<'p> {
    Route(&'static Route, Vec<(&'static str, &'p str)>),
    /// Something, for these methods.
    Other(Vec<&'static Method>),
    Nothing,
}

/// Finds the route of a request. `path`: below the base, undecoded.
pub fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    // RFC 9110 §9.3.2: as GET, without the body, which the connection leaves out.
    let method = match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    };
    let mut others = Vec::new();
    for route in table() {
        let Some(values) = route.matches(path) else {
            continue;
        };
        if route.method == *method {
            return Found::Route(route, values);
        }
        others.push(&route.method);
    }
    match others.is_empty() {
        true => Found::Nothing,
        false => Found::Other(others),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_addresses_are_each_ones_own() {
        let mut ids = HashSet::new();
        let mut places = HashSet::new();
        for route in table() {
            assert!(ids.insert(route.id), "{}", route.id);
            assert!(
                places.insert((route.method.clone(), route.path)),
                "{route:?}"
            );
            assert!(route.path.starts_with('/'));
            for name in route.parameters() {
                assert!(
                    routes::PATH_PARAMETERS
                        .iter()
                        .any(|known| known.name == name),
                    "{route:?}: {name} is not described"
                );
            }
        }
    }

    #[test]
    fn addresses_are_found() {
        for (method, path, want) in [
            (Method::GET, "/domains", Some("listDomains")),
            (Method::HEAD, "/domains", Some("listDomains")),
            (Method::GET, "/domains/", None),
            (Method::GET, "/domains/example.org", Some("getDomain")),
            (Method::GET, "/domains/example.org/x", None),
            (Method::GET, "", None),
            (Method::GET, "/", None),
        ] {
            let found = match find(&method, path) {
                Found::Route(route, _) => Some(route.id),
                Found::Other(_) | Found::Nothing => None,
            };
            assert_eq!(found, want, "{method} {path}");
        }
        assert!(matches!(find(&Method::PUT, "/domains"), Found::Other(of) if of.len() == 2));
    }
}
