//! What expressions see of a request.

use std::borrow::Cow;

use expr::{Attribute, Attributes};
use http::header::HeaderName;

use crate::context::RequestCx;

impl Attributes for RequestCx {
    fn value(&self, attribute: &Attribute) -> Option<Cow<'_, str>> {
        Some(match attribute {
            Attribute::Method => self.method.as_str().into(),
            Attribute::Path => self.path.as_str().into(),
            Attribute::Query => self.query.as_deref().unwrap_or_default().into(),
            Attribute::Header(name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                String::from_utf8_lossy(self.headers.get(name)?.as_bytes())
            }
            Attribute::ClientIp => self.client.ip.to_string().into(),
            Attribute::Application => self.principal.as_ref()?.application.to_string().into(),
        })
    }
}
