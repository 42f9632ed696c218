//! Which scopes a client gets for itself (RFC 6749 §3.3 and §4.4).

use std::collections::BTreeSet;

/// Why the wanted scopes are not granted: `invalid_scope`. The texts may be shown to the client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScopeError {
    /// Not a list of scope tokens with single spaces between them.
    #[error("scope is not a list of scope names separated by single spaces (RFC 6749 section 3.3)")]
    Malformed,
    /// Not among those that the application's subscriptions grant.
    #[error("the application's subscriptions do not grant: {}", .0.join(" "))]
    NotGranted(Vec<String>),
    /// All of them together would make the token too long.
    #[error(
        "the scopes are {bytes} bytes long, a token carries at most {bytes_max}; ask for those that are needed"
    )]
    TooLong {
        /// Length of the list.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// The scopes of a token: those `requested`, which must all be `granted`; with none requested, all.
///
/// # Errors
/// [`ScopeError`]; names that are not granted are all told at once.
pub fn grant(
    requested: Option<&str>,
    granted: BTreeSet<String>,
    bytes_max: usize,
) -> Result<BTreeSet<String>, ScopeError> {
    let scopes = match requested {
        None => granted,
        Some(list) => {
            let wanted = parse(list)?;
            let missing: Vec<String> = wanted.difference(&granted).cloned().collect();
            if !missing.is_empty() {
                return Err(ScopeError::NotGranted(missing));
            }
            wanted
        }
    };
    let bytes = scopes.iter().map(|scope| scope.len() + 1).sum::<usize>();
    let bytes = bytes.saturating_sub(1);
    if bytes > bytes_max {
        return Err(ScopeError::TooLong { bytes, bytes_max });
    }
    Ok(scopes)
}

fn parse(list: &str) -> Result<BTreeSet<String>, ScopeError> {
    let token = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    list.split(' ')
        .map(|name| token(name).then(|| name.to_owned()))
        .collect::<Option<_>>()
        .ok_or(ScopeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn none_requested_grants_all() {
        let all = set(&["read", "write"]);
        assert_eq!(grant(None, all.clone(), 100), Ok(all));
        assert_eq!(grant(None, set(&[]), 100), Ok(set(&[])));
    }

    #[test]
    fn a_part_may_be_requested() {
        let granted = set(&["read", "write"]);
        assert_eq!(
            grant(Some("write"), granted.clone(), 100),
            Ok(set(&["write"]))
        );
        assert_eq!(
            grant(Some("write read write"), granted, 100),
            Ok(set(&["read", "write"]))
        );
    }

    #[test]
    fn what_is_not_granted_is_refused_and_all_of_it_named() {
        assert_eq!(
            grant(Some("read admin root"), set(&["read"]), 100),
            Err(ScopeError::NotGranted(vec!["admin".into(), "root".into()]))
        );
    }

    #[test]
    fn malformed_lists_are_refused() {
        for list in [
            "",
            " ",
            "read ",
            " read",
            "read  write",
            "re\"ad",
            "re\\ad",
            "r\u{e9}ad",
            "a\tb",
        ] {
            assert_eq!(
                grant(Some(list), set(&["read", "write"]), 100),
                Err(ScopeError::Malformed),
                "{list:?}"
            );
        }
    }

    #[test]
    fn too_many_scopes_for_a_token_are_refused() {
        let granted = set(&["aaaa", "bbbb"]);
        assert!(grant(None, granted.clone(), 9).is_ok());
        assert_eq!(
            grant(None, granted.clone(), 8),
            Err(ScopeError::TooLong {
                bytes: 9,
                bytes_max: 8
            })
        );
        assert!(grant(Some("aaaa"), granted, 8).is_ok());
    }
}
