//! Passwords of backends that are written into a definition, where WSO2's gateways read them.

use tree::{Node, Object, Value};

use crate::reader::{Reader, Trail};

/// The rule.
pub(crate) const RULE: &str = "written-password";

/// The keys with endpoints. A list may be in its place, or one of several by name.
const LISTS: [&str; 2] = ["x-wso2-production-endpoints", "x-wso2-sandbox-endpoints"];
const NAMED: &str = "x-wso2-endpoints";

/// Whether a value is a secret itself: a text such as `${NAME}` or `$env{NAME}` is the name of a variable.
#[must_use]
pub fn is_written_secret(value: &Node) -> bool {
    let Value::String(text) = &value.value else {
        return !matches!(value.value, Value::Null);
    };
    let inner = text
        .strip_prefix("${")
        .or_else(|| text.strip_prefix("$env{"));
    let variable = inner.and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    !text.is_empty() && !variable.is_some_and(is_name)
}

/// Looks into the endpoints of a definition, a path item or an operation.
pub(super) fn check<'t>(reader: &mut Reader<'t>, object: &'t Object, trail: &Trail<'_>) {
    for key in LISTS {
        if let Some(list) = object.get(key) {
            of_list(reader, list, &Trail::Key(trail, key));
        }
    }
    let Some(named) = object.get(NAMED) else {
        return;
    };
    let trail = Trail::Key(trail, NAMED);
    of_names(reader, named, &trail);
    for (index, item) in named.as_array().into_iter().flatten().enumerate() {
        of_names(reader, item, &Trail::Item(&trail, index));
    }
}

fn of_names<'t>(reader: &mut Reader<'t>, names: &'t Node, trail: &Trail<'_>) {
    for entry in names.as_object().into_iter().flatten() {
        of_list(reader, &entry.node, &Trail::Key(trail, &entry.key));
    }
}

fn of_list<'t>(reader: &mut Reader<'t>, list: &'t Node, trail: &Trail<'_>) {
    let config = list.get("securityConfig");
    let password = config.and_then(|config| config.get("password"));
    if !password.is_some_and(is_written_secret) {
        return;
    }
    let words = || {
        let message =
            "a password stands in the definition, where everybody who may read the API reads it";
        let mend = "take it out; the gateway reads it from a file of its folder of secrets that `backendCredentials` names";
        (message.to_owned(), Some(mend.to_owned()))
    };
    let trail = Trail::Key(trail, "securityConfig");
    reader.report(RULE, &Trail::Key(&trail, "password"), words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_are_no_secrets() {
        let is = |text: &str| {
            let node = Node {
                position: tree::Position { line: 1, column: 1 },
                value: Value::String(text.to_owned()),
            };
            is_written_secret(&node)
        };
        for text in ["${PETS_PASSWORD}", "$env{pets-password}", "${a.b}", ""] {
            assert!(!is(text), "{text}");
        }
        for text in ["hunter2", "${a b}", "${a}b", "$a", "${", " "] {
            assert!(is(text), "{text}");
        }
    }
}
