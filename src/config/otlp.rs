//! A collector of OpenTelemetry.
//!
//! Other half: `crate::otlp`.

use std::path::PathBuf;

use net::Secret;
use serde::{Deserialize, Serialize};

use super::values::{BaseUrl, Span};
use crate::delivery;

/// Without `endpoint`, nothing is sent.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Otlp {
    pub endpoint: Option<BaseUrl>,
    /// A file with the value of the Authorization field in its first line.
    pub authorization_file: Option<PathBuf>,
    pub metrics: bool,
    pub traces: bool,
    /// How often metrics are sent.
    pub every: Span,
}

impl Default for Otlp {
    fn default() -> Otlp {
        Otlp {
            endpoint: None,
            authorization_file: None,
            metrics: true,
            traces: true,
            every: Span::seconds(60),
        }
    }
}

impl Otlp {
    pub fn gathers_spans(&self) -> bool {
        self.endpoint.is_some() && self.traces
    }

    /// Errors: a sentence for the operator.
    pub fn authorization(&self) -> Result<Option<Secret<String>>, String> {
        match &self.authorization_file {
            None => Ok(None),
            Some(file) => match delivery::password(file) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(format!("{}: {error}", file.display())),
            },
        }
    }
}
