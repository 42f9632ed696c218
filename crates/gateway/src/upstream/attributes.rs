//! A call as expressions see it.

use std::borrow::Cow;

use expr::{Attribute, Attributes};

use super::balance::PickInput;

/// A call on its way to its backend.
pub(super) struct OfCall<'a, 'c>(pub(super) &'a PickInput<'c>);

impl Attributes for OfCall<'_, '_> {
    fn value(&self, attribute: &Attribute) -> Option<Cow<'_, str>> {
        let PickInput { cx, headers, .. } = self.0;
        Some(match attribute {
            Attribute::Method => cx.method.as_str().into(),
            Attribute::Path => cx.path.as_str().into(),
            Attribute::Query => cx.query.as_deref().unwrap_or_default().into(),
            Attribute::Header(name) => headers.get(name)?.to_str().ok()?.into(),
            Attribute::ClientIp => cx.client.ip.to_string().into(),
            Attribute::Application => cx.principal.as_ref()?.application.to_string().into(),
        })
    }
}
