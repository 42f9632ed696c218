//! A call as expressions see it.

use expr::{Attribute, Attributes, Value};

use super::balance::PickInput;

/// A call on its way to its backend, whose headers have left their request.
pub(super) struct OfCall<'a, 'c>(pub(super) &'a PickInput<'c>);

impl Attributes for OfCall<'_, '_> {
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        let PickInput { cx, headers, .. } = self.0;
        match attribute {
            Attribute::Header(name) => Some(headers.get(name)?.to_str().ok()?.into()),
            other => cx.value(other),
        }
    }
}
