//! JSON pointers (RFC 6901): how places in a tree are named.

use std::borrow::Cow;

/// Adds one token to a pointer, escaped.
#[must_use]
pub fn join(pointer: &str, token: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + token.len() + 1);
    joined.push_str(pointer);
    push(&mut joined, token);
    joined
}

/// Appends one token to a pointer in place, escaped.
pub fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The tokens of a pointer, unescaped. Nothing for the empty pointer, and for a text that is no pointer (no `/` first).
pub fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let rest = pointer.strip_prefix('/');
    rest.into_iter()
        .flat_map(|rest| rest.split('/'))
        .map(|token| {
            if token.contains('~') {
                Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(token)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_there_and_back() {
        let pointer = join(&join("", "paths"), "/a~b/{id}");
        assert_eq!(pointer, "/paths/~1a~0b~1{id}");
        assert_eq!(tokens(&pointer).collect::<Vec<_>>(), ["paths", "/a~b/{id}"]);
        assert_eq!(tokens("").count(), 0);
        assert_eq!(tokens("/").collect::<Vec<_>>(), [""]);
        // RFC 6901 §4: `~01` is `~1`, not `/`.
        assert_eq!(tokens("/~01").collect::<Vec<_>>(), ["~1"]);
    }
}
