//! Fields that policies of an API tell its backends something by: what clients send under these names is taken out of every
//! request of the API, on operations too that have no such policy. Put into chains by `compile` alone.

use base::Diagnostic;
use http::header::HeaderName;
use policy::{Outcome, Policy, RequestCx};
use smallvec::SmallVec;

use crate::{hop_by_hop, identity_headers};

/// What it is called in decisions and traces.
pub const NAME: &str = "ownedHeaders";

/// Families and names of those that the gateway takes out of every request, by which backends may be told of the caller.
const OF_CALLERS: [&str; 8] = [
    "x-authenticated-",
    "x-tollway-",
    "x-wso2-",
    "x-consumer-",
    "x-credential-",
    "x-jwt-assertion",
    "x-remote-user",
    "remote-user",
];

/// Removes these fields before anything looks at them; `None` where there is nothing to do. Those that the gateway takes out
/// of every request anyway do not count.
pub fn policy(names: impl IntoIterator<Item = HeaderName>) -> Option<Box<dyn Policy>> {
    let mut owned: Vec<Box<str>> = names
        .into_iter()
        .filter(|name| !identity_headers::is_replaced(name.as_str()))
        .map(|name| folded(name.as_str()))
        .collect();
    owned.sort_unstable();
    owned.dedup();
    (!owned.is_empty()).then(|| Box::new(Running(owned.into())) as _)
}

/// A name under which CGI, WSGI and their like do not tell it from others.
fn folded(name: &str) -> Box<str> {
    name.to_ascii_lowercase().replace('_', "-").into()
}

struct Running(Box<[Box<str>]>);

impl Running {
    fn is_owned(&self, name: &str) -> bool {
        // The names of a request are in lower case already.
        let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
        self.0
            .iter()
            .any(|owned| owned.len() == name.len() && name.bytes().map(folded).eq(owned.bytes()))
    }
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let sent: SmallVec<[HeaderName; 4]> = cx
            .headers
            .keys()
            .filter(|name| self.is_owned(name.as_str()))
            .cloned()
            .collect();
        for name in sent {
            cx.headers.remove(name);
        }
        Outcome::CONTINUE
    }
}

/// Whether the gateway takes this field (lower case) out of every request since it tells of callers.
pub(crate) fn is_of_callers(name: &str) -> bool {
    OF_CALLERS.iter().any(|family| name.starts_with(family))
}

/// A name under which a policy may tell backends something.
pub(crate) fn name(pointer: &str, text: &str, faults: &mut Vec<Diagnostic>) -> Option<HeaderName> {
    let Ok(name) = text.parse::<HeaderName>() else {
        let message = format!("{text:?} is no valid header name");
        faults.push(Diagnostic::error("header-name", pointer, message));
        return None;
    };
    let of_callers = is_of_callers(name.as_str());
    let reserved = hop_by_hop::is_framing(name.as_str())
        || matches!(
            name.as_str(),
            "authorization" | "cookie" | "content-type" | "content-encoding" | "expect"
        )
        || (identity_headers::is_replaced(name.as_str()) && !of_callers);
    if reserved {
        let message =
            format!("the header {text:?} has another meaning and cannot tell of a caller");
        let mend = "choose a name of its own, such as X-User or X-Authenticated-User";
        faults.push(Diagnostic::error("header-reserved", pointer, message).mend(mend));
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    /// req: S6
    #[test]
    fn what_clients_send_under_these_names_is_taken_out() {
        let bench = Bench::new();
        let names = ["x-user", "x-tenant", "x-user", "x-jwt-assertion"];
        let policy = policy(names.map(HeaderName::from_static)).unwrap();
        let mut cx = bench.request("GET", "/x");
        for (name, value) in [
            ("x-user", "a"),
            ("X-User", "b"),
            ("x_user", "c"),
            ("X_Tenant", "d"),
            ("x-user-2", "kept"),
            ("x-use", "kept"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            cx.headers.append(name, value.parse().unwrap());
        }
        bench.run(&*policy, &mut cx).unwrap();
        let mut left: Vec<&str> = cx.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-use", "x-user-2"]);
    }

    #[test]
    fn what_is_taken_out_anyway_costs_nothing() {
        let standard = [HeaderName::from_static("x-jwt-assertion")];
        assert!(policy(standard).is_none());
        assert!(policy([]).is_none());
    }

    #[test]
    fn names_with_another_meaning_are_no_names_for_callers() {
        for (text, rule) in [
            ("a b", "header-name"),
            ("Host", "header-reserved"),
            ("Content-Length", "header-reserved"),
            ("Authorization", "header-reserved"),
            ("X-Forwarded-For", "header-reserved"),
            ("X-HTTP-Method-Override", "header-reserved"),
            ("X-Original-URL", "header-reserved"),
        ] {
            let mut faults = Vec::new();
            assert!(name("/header", text, &mut faults).is_none(), "{text}");
            assert_eq!(faults[0].rule, rule, "{text}");
        }
        for text in [
            "X-JWT-Assertion",
            "X-User",
            "X-Authenticated-User",
            "x-wso2-user",
        ] {
            assert!(name("", text, &mut Vec::new()).is_some(), "{text}");
        }
    }
}
