//! What an API key may call, where it is limited to operations.

use base::code;
use http::Method;
use policy::{Reject, RequestCx};
use snapshot::Operation;

/// The refusal of a call to an API, by its document name, that its API key is not for. Calls of all others cost a look at one field.
pub(super) fn refused(api: &str, operation: &Operation, cx: &RequestCx) -> Option<Reject> {
    let limits = cx.principal.as_ref()?.limits.as_deref()?;
    if limits.operations.is_empty() {
        return None;
    }
    let name = |method: &Method| format!("{method} {}", operation.template);
    let own = name(&cx.method);
    // A definition without `HEAD` answers it by its `GET`.
    let get = name(&Method::GET);
    let names: &[&str] = if cx.method == Method::HEAD {
        &[&operation.label, &own, &get]
    } else {
        &[&operation.label, &own]
    };
    if limits.allow_operation(api, names) {
        return None;
    }
    let reject = Reject::new(
        code::API_KEY_OPERATION_REFUSED,
        "the API key is not for this operation",
    );
    Some(
        reject
            .because("key-operation")
            .fact("operation", &*operation.label, ""),
    )
}
