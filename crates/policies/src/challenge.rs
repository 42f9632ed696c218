//! `WWW-Authenticate` values (RFC 9110 §11.6.1, RFC 6750 §3).

use http::header::HeaderValue;

/// A challenge: a scheme with quoted parameters. What may not stand in a quoted string is replaced, so that texts
/// which repeat what a stranger sent can be passed.
#[must_use]
pub fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> HeaderValue {
    let mut text = String::with_capacity(128);
    text.push_str(scheme);
    for (index, (name, value)) in parameters.iter().enumerate() {
        text.push_str(if index == 0 { " " } else { ", " });
        text.push_str(name);
        text.push_str("=\"");
        text.extend(value.chars().map(quotable));
        text.push('"');
    }
    HeaderValue::from_str(&text).expect("only visible ASCII and spaces")
}

/// RFC 6750 §3 allows neither quotes nor backslashes in `error_description`.
fn quotable(found: char) -> char {
    match found {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => found,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_strangers_sent() {
        let value = challenge(
            "Bearer",
            &[
                ("realm", "pets"),
                ("error_description", "typ is \"J\\W\r\nT\u{e9}\""),
            ],
        );
        assert_eq!(
            value,
            "Bearer realm=\"pets\", error_description=\"typ is 'J/W??T?'\""
        );
    }
}
