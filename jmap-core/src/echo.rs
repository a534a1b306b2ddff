//! Core/echo (RFC 8620 §4).

use jmap_types::{MethodError, method::Echo, value::Map};

use crate::{Context, Handle};

impl Handle for Echo {
    async fn handle(self, _: Context) -> Result<Map, MethodError> {
        Ok(self.0)
    }
}
