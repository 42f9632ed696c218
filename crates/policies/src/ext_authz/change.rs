//! What a service wants to have changed of a call and its answer.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Misunderstood;
use super::messages::{HeaderValueOption, OkHttpResponse};
use crate::{api_key, hop_by_hop, identity_headers, owned_headers};

/// The most fields and parameters that a service changes: as many as a request has by default. Nobody passes with more, and
/// `failed` counts it; how long an answer is is said by the document (`maxAnswer`).
const CHANGES_MAX: usize = 100;

/// What is done with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// In place of those that are there.
    Set,
    /// Beside them.
    Append,
    /// Where there is none.
    AddIfAbsent,
    /// Where there is one.
    ReplaceIfThere,
}

/// A field that is changed.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
    pub(super) action: Action,
}

impl Field {
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let (name, value) = (&self.name, self.value.clone());
        let there = headers.contains_key(name);
        match self.action {
            Action::Append => {
                headers.append(name, value);
            }
            Action::AddIfAbsent if there => {}
            Action::ReplaceIfThere if !there => {}
            Action::Set | Action::AddIfAbsent | Action::ReplaceIfThere => {
                headers.insert(name, value);
            }
        }
    }
}

/// What a service that lets a call pass wants to have changed of it.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) fields: Vec<Field>,
    pub(super) removed: Vec<HeaderName>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) parameters_removed: Vec<String>,
    /// Of the answer.
    pub(super) response: Vec<Field>,
}

impl Changes {
    /// What Envoy's message says; all of it or nothing.
    pub(super) fn of(ok: OkHttpResponse, allowed: &Allowed) -> Result<Self, Misunderstood> {
        let count = ok.headers.len()
            + ok.headers_to_remove.len()
            + ok.response_headers_to_add.len()
            + ok.query_parameters_to_set.len()
            + ok.query_parameters_to_remove.len();
        if count > CHANGES_MAX {
            return Err(Misunderstood(
                "it changes more than 100 fields and parameters",
            ));
        }
        // In this message what says nothing else takes the place of what is there.
        let fields = fields(&ok.headers, Action::Set)?;
        let response = fields_of_response(&ok.response_headers_to_add)?;
        let removed: Option<Vec<HeaderName>> = ok
            .headers_to_remove
            .iter()
            .map(|name| name.parse().ok())
            .collect();
        let removed = removed.ok_or(Misunderstood("it removes a field whose name is none"))?;
        let changed = fields.iter().map(|field| &field.name).chain(&removed);
        allowed.check(changed)?;
        let parameters = ok.query_parameters_to_set.into_iter();
        Ok(Self {
            fields,
            removed,
            parameters: parameters.map(|of| (of.key, of.value)).collect(),
            parameters_removed: ok.query_parameters_to_remove,
            response,
        })
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap, query: &mut Option<String>) {
        for name in &self.removed {
            headers.remove(name);
        }
        for field in &self.fields {
            field.apply(headers);
        }
        for name in &self.parameters_removed {
            api_key::remove_from_query(query, name);
        }
        for (name, value) in &self.parameters {
            api_key::remove_from_query(query, name);
            let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            crate::backend_credentials::add_to_query(query, name, &encoded);
        }
    }
}

/// Which fields of the request a service may change.
pub(super) enum Allowed {
    /// All that do not belong to the gateway.
    Any,
    /// These.
    Named(Box<[HeaderName]>),
}

impl Allowed {
    fn check<'a>(
        &self,
        mut changed: impl Iterator<Item = &'a HeaderName>,
    ) -> Result<(), Misunderstood> {
        let free = |name: &HeaderName| match self {
            Self::Any => {
                !hop_by_hop::is_framing(name.as_str())
                    && (owned_headers::is_of_callers(name.as_str())
                        || !identity_headers::is_replaced(name.as_str()))
            }
            Self::Named(names) => names.contains(name),
        };
        if changed.all(free) {
            return Ok(());
        }
        Err(Misunderstood("it changes a field that it may not change"))
    }
}

/// Fields of an answer to the client.
pub(super) fn fields_of_response(
    options: &[HeaderValueOption],
) -> Result<Vec<Field>, Misunderstood> {
    let found = fields(options, Action::Append)?;
    let framing = |field: &Field| hop_by_hop::is_framing(field.name.as_str());
    if found.iter().any(framing) {
        return Err(Misunderstood("it frames the answer"));
    }
    Ok(found)
}

/// `usual`: what an option means that says neither `append` nor an action.
fn fields(options: &[HeaderValueOption], usual: Action) -> Result<Vec<Field>, Misunderstood> {
    let field = |option: &HeaderValueOption| {
        let header = option.header.as_ref()?;
        let bytes = match header.raw_value.as_slice() {
            [] => header.value.as_bytes(),
            raw => raw,
        };
        let action = match (option.append_action, option.append) {
            (0, None) => usual,
            (0, Some(append)) if append.value => Action::Append,
            (0, Some(_)) | (2, _) => Action::Set,
            (1, _) => Action::AddIfAbsent,
            (3, _) => Action::ReplaceIfThere,
            _ => return None,
        };
        Some(Field {
            name: header.key.parse().ok()?,
            value: HeaderValue::from_bytes(bytes).ok()?,
            action,
        })
    };
    let fields: Option<Vec<Field>> = options.iter().map(field).collect();
    fields.ok_or(Misunderstood("a field is malformed"))
}
