//! `setHeaders`, `removeHeaders`, `renameHeaders`: changes of header fields on the way to the backend and back.

use std::collections::{BTreeMap, BTreeSet};

use base::Diagnostic;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use policy::{CompileEnv, Outcome, Phase, Policy, PolicyKind, RequestCx, ResponseCx};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{hop_by_hop, identity_headers};

/// The kind `setHeaders`.
pub struct SetHeaders;
/// The kind `removeHeaders`.
pub struct RemoveHeaders;
/// The kind `renameHeaders`.
pub struct RenameHeaders;

/// The most fields that one policy names.
pub const FIELDS_MAX: usize = 100;

/// Fields to set; one that is there already is replaced.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Set {
    /// Names and values for the request that the backend gets.
    pub request: BTreeMap<String, String>,
    /// Names and values for the answer that the client gets, also for refusals.
    pub response: BTreeMap<String, String>,
}

/// Fields to remove.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Remove {
    /// Names that the backend does not get.
    pub request: Vec<String>,
    /// Names that the client does not get.
    pub response: Vec<String>,
}

/// Fields to rename; values and their order stay. A field that has the new name already is replaced.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Rename {
    /// Old names and new names in the request that the backend gets.
    pub request: BTreeMap<String, String>,
    /// Old names and new names in the answer that the client gets.
    pub response: BTreeMap<String, String>,
}

/// One change.
enum Edit {
    Set(HeaderName, HeaderValue),
    Remove(HeaderName),
    Rename(HeaderName, HeaderName),
}

impl Edit {
    fn apply(&self, headers: &mut HeaderMap) {
        match self {
            Self::Set(name, value) => {
                headers.insert(name, value.clone());
            }
            Self::Remove(name) => {
                headers.remove(name);
            }
            Self::Rename(from, to) => {
                let http::header::Entry::Occupied(entry) = headers.entry(from) else {
                    return;
                };
                let values: Vec<HeaderValue> = entry.remove_entry_mult().1.collect();
                headers.remove(to);
                for value in values {
                    headers.append(to, value);
                }
            }
        }
    }
}

/// Applies its changes in the order of the fields' names.
struct Running {
    request: Box<[Edit]>,
    response: Box<[Edit]>,
}

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        for edit in &self.request {
            edit.apply(&mut cx.headers);
        }
        Outcome::CONTINUE
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        for edit in &self.response {
            edit.apply(cx.headers);
        }
    }
}

impl PolicyKind for SetHeaders {
    const NAME: &'static str = "setHeaders";
    const PHASE: Phase = Phase::Transform;
    const SUMMARY: &'static str = "Sets header fields of the request or the answer.";
    type Config = Set;

    fn compile(&self, config: Set, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let mut side = |side: &'static str, fields: BTreeMap<String, String>| {
            reader.begin(side, fields.len());
            let edits = fields.iter().filter_map(|(name, value)| {
                let pointer = member(side, name);
                let name = reader.name(&pointer, name);
                let value = reader.value(&pointer, value);
                Some(Edit::Set(name?, value?))
            });
            edits.collect()
        };
        let (request, response) = (
            side("/request", config.request),
            side("/response", config.response),
        );
        reader.finish(request, response)
    }
}

impl PolicyKind for RemoveHeaders {
    const NAME: &'static str = "removeHeaders";
    const PHASE: Phase = Phase::Transform;
    const SUMMARY: &'static str = "Removes header fields of the request or the answer.";
    type Config = Remove;

    fn compile(&self, config: Remove, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let mut side = |side: &'static str, names: Vec<String>| {
            reader.begin(side, names.len());
            let edits = names.iter().enumerate().filter_map(|(index, name)| {
                reader
                    .name(&format!("{side}/{index}"), name)
                    .map(Edit::Remove)
            });
            edits.collect()
        };
        let (request, response) = (
            side("/request", config.request),
            side("/response", config.response),
        );
        reader.finish(request, response)
    }
}

impl PolicyKind for RenameHeaders {
    const NAME: &'static str = "renameHeaders";
    const PHASE: Phase = Phase::Transform;
    const SUMMARY: &'static str = "Renames header fields of the request or the answer.";
    type Config = Rename;

    fn compile(&self, config: Rename, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut reader = Reader::default();
        let mut side = |side: &'static str, names: BTreeMap<String, String>| {
            reader.begin(side, names.len());
            let edits = names.iter().filter_map(|(from, to)| {
                let pointer = member(side, from);
                let from = reader.name(&pointer, from);
                let to = reader.new_name(&pointer, to);
                Some(Edit::Rename(from?, to?))
            });
            edits.collect()
        };
        let (request, response) = (
            side("/request", config.request),
            side("/response", config.response),
        );
        reader.finish(request, response)
    }
}

/// The pointer of a member (RFC 6901 §3).
fn member(side: &str, name: &str) -> String {
    format!("{side}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Collects what is wrong with names and values.
#[derive(Default)]
struct Reader {
    faults: Vec<Diagnostic>,
    seen: BTreeSet<String>,
    targets: BTreeSet<String>,
}

impl Reader {
    fn begin(&mut self, side: &str, fields: usize) {
        self.seen.clear();
        self.targets.clear();
        if fields > FIELDS_MAX {
            let message = format!("{fields} header fields, at most {FIELDS_MAX} are accepted");
            self.faults
                .push(Diagnostic::error("header-count", side, message));
        }
    }

    fn name(&mut self, pointer: &str, text: &str) -> Option<HeaderName> {
        let name = self.allowed(pointer, text)?;
        if !self.seen.insert(name.as_str().to_owned()) {
            let message = format!("the header {text:?} is named twice; case does not matter");
            self.faults
                .push(Diagnostic::error("header-twice", pointer, message));
            return None;
        }
        Some(name)
    }

    fn new_name(&mut self, pointer: &str, text: &str) -> Option<HeaderName> {
        let name = self.allowed(pointer, text)?;
        if !self.targets.insert(name.as_str().to_owned()) {
            let message = format!("two headers are renamed to {text:?}");
            self.faults
                .push(Diagnostic::error("header-twice", pointer, message));
            return None;
        }
        Some(name)
    }

    fn allowed(&mut self, pointer: &str, text: &str) -> Option<HeaderName> {
        let Ok(name) = text.parse::<HeaderName>() else {
            let message = format!("{text:?} is no valid header name");
            self.faults
                .push(Diagnostic::error("header-name", pointer, message));
            return None;
        };
        if hop_by_hop::is_framing(name.as_str()) || identity_headers::is_replaced(name.as_str()) {
            let message =
                format!("the header {text:?} belongs to the gateway and cannot be changed");
            self.faults
                .push(Diagnostic::error("header-reserved", pointer, message).mend(
                    "framing, connection, Host and forwarding headers are set by the gateway alone",
                ));
            return None;
        }
        Some(name)
    }

    fn value(&mut self, pointer: &str, text: &str) -> Option<HeaderValue> {
        let value = text
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
            .then(|| HeaderValue::from_str(text).ok())
            .flatten();
        if value.is_none() {
            self.faults.push(
                Diagnostic::error(
                    "header-value",
                    pointer,
                    "the value is no printable ASCII text",
                )
                .mend("line breaks and control characters cannot stand in a header"),
            );
        }
        value
    }

    fn finish(
        self,
        request: Vec<Edit>,
        response: Vec<Edit>,
    ) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        Ok(Box::new(Running {
            request: request.into(),
            response: response.into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Bench, compile, compile_errors};

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// The same change made to a request and to an answer.
    fn changed(kind: &str, change: &Value, fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let bench = Bench::new();
        let policy = compile(kind, json!({"request": change, "response": change}));
        let mut cx = bench.request("GET", "/x");
        cx.headers = headers(fields);
        bench.run(&*policy, &mut cx).unwrap();
        let response = bench.respond(&*policy, &mut cx, 200, headers(fields));
        assert_eq!(cx.headers, response);
        response
    }

    #[test]
    fn set_replaces_all_values() {
        let change = json!({"X-Team": "sales"});
        let found = changed(
            "setHeaders",
            &change,
            &[("x-team", "a"), ("x-team", "b"), ("x", "1")],
        );
        assert_eq!(found, headers(&[("x-team", "sales"), ("x", "1")]));
    }

    #[test]
    fn remove_takes_all_values() {
        let found = changed(
            "removeHeaders",
            &json!(["Server"]),
            &[("server", "a"), ("server", "b")],
        );
        assert!(found.is_empty());
    }

    #[test]
    fn rename_keeps_values_and_order() {
        let change = json!({"X-Old": "X-New", "X-Absent": "X-Kept"});
        let fields = [
            ("x-old", "1"),
            ("x-old", "2"),
            ("x-new", "0"),
            ("x-kept", "k"),
        ];
        let found = changed("renameHeaders", &change, &fields);
        let values: Vec<_> = found.get_all("x-new").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(found["x-kept"], "k");
        assert!(!found.contains_key("x-old"));
    }

    #[test]
    fn all_faults_are_reported_with_their_place() {
        let config = json!({
            "request": {"Host": "x", "a b": "x", "X-A": "line\r\nbreak", "x-twice": "1", "X-Twice": "2"},
            "response": {"Transfer-Encoding": "chunked", "X/Y": "1"},
        });
        let mut faults: Vec<_> = compile_errors("setHeaders", config)
            .into_iter()
            .map(|fault| (fault.pointer, fault.rule))
            .collect();
        faults.sort();
        let expected = [
            ("/request/Host", "header-reserved"),
            ("/request/X-A", "header-value"),
            ("/request/a b", "header-name"),
            ("/request/x-twice", "header-twice"),
            ("/response/Transfer-Encoding", "header-reserved"),
            ("/response/X~1Y", "header-name"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(a, b)| (a.to_string(), b.to_string()))
            .collect();
        assert_eq!(faults, expected);
    }

    #[test]
    fn identity_and_framing_are_not_for_sale() {
        for name in [
            "Connection",
            "content-length",
            "TE",
            "Upgrade",
            "X-Forwarded-For",
            "X-JWT-Assertion",
        ] {
            assert_eq!(
                compile_errors("removeHeaders", json!({"request": [name]})).len(),
                1,
                "{name}"
            );
            let rename = json!({"request": {"X-Evil": name}});
            assert_eq!(compile_errors("renameHeaders", rename).len(), 1, "{name}");
        }
        let both = json!({"request": {"X-A": "X-C", "X-B": "x-c"}});
        assert_eq!(
            compile_errors("renameHeaders", both)[0].rule,
            "header-twice"
        );
    }

    #[test]
    fn the_number_of_fields_is_bounded() {
        let names: Vec<String> = (0..=FIELDS_MAX).map(|n| format!("x-{n}")).collect();
        assert_eq!(
            compile_errors("removeHeaders", json!({"response": names}))[0].rule,
            "header-count"
        );
    }
}
