//! Distinguished names as people write them (RFC 4514), held against those of certificates.
//!
//! Two names are equal when they have the same attributes in the same order, byte for byte: what differs in case or blanks
//! is another name. The type of an attribute may be its short name or its dotted number.

use x509_parser::x509::X509Name;

/// Short names of attribute types (RFC 4514 §3, and those that certificates have besides), and their numbers.
const TYPES: &[(&str, &str)] = &[
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("T", "2.5.4.12"),
    ("TITLE", "2.5.4.12"),
    ("BUSINESSCATEGORY", "2.5.4.15"),
    ("POSTALCODE", "2.5.4.17"),
    ("GN", "2.5.4.42"),
    ("GIVENNAME", "2.5.4.42"),
    ("ORGANIZATIONIDENTIFIER", "2.5.4.97"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
];

/// One attribute: the number of its type, and its value.
type Attribute = (String, Vec<u8>);

/// Whether a certificate's subject is the registered one.
#[must_use]
pub fn is_subject(subject: &X509Name<'_>, registered: &str) -> bool {
    wanted(registered).is_some_and(|wanted| found(subject) == wanted)
}

/// Whether a certificate's subject ends, as RFC 4514 writes it, with this name, and has more than that.
#[must_use]
pub fn is_below(subject: &X509Name<'_>, name: &str) -> bool {
    let found = found(subject);
    wanted(name).is_some_and(|wanted| found.len() > wanted.len() && found.starts_with(&wanted))
}

/// Whether a text is a name that can be compared with others.
#[must_use]
pub fn is_name(text: &str) -> bool {
    wanted(text).is_some()
}

/// The relative names of a text, the first one first.
fn wanted(text: &str) -> Option<Vec<Vec<Attribute>>> {
    let mut wanted = parse(text)?;
    // RFC 4514 §2.1: the text begins with the last one.
    wanted.reverse();
    (!wanted.is_empty()).then_some(wanted)
}

fn found(subject: &X509Name<'_>) -> Vec<Vec<Attribute>> {
    let relative = subject.iter().map(|rdn| {
        let attributes = rdn.iter().map(|attribute| {
            let value = attribute.as_slice();
            (attribute.attr_type().to_id_string(), value.to_vec())
        });
        sorted(attributes.collect())
    });
    relative.collect()
}

/// A name as RFC 4514 writes it; what [`is_subject`] takes for the same name. Values that are no UTF-8 are shown with
/// escapes.
#[must_use]
pub fn text(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for rdn in found(name).iter().rev() {
        for (index, (kind, value)) in rdn.iter().enumerate() {
            if index > 0 {
                text.push('+');
            } else if !text.is_empty() {
                text.push(',');
            }
            let mut known = TYPES.iter();
            let short = known.find(|(_, number)| number == kind);
            text.push_str(short.map_or(kind.as_str(), |(name, _)| *name));
            text.push('=');
            escape(value, &mut text);
        }
    }
    text
}

/// RFC 4514 §2.4
fn escape(value: &[u8], text: &mut String) {
    let last = value.len().saturating_sub(1);
    let read = std::str::from_utf8(value);
    let Ok(read) = read else {
        text.extend(value.iter().map(|byte| format!("\\{byte:02X}")));
        return;
    };
    for (at, found) in read.char_indices() {
        let at_edge = (at == 0 && matches!(found, ' ' | '#')) || (at == last && found == ' ');
        if at_edge || matches!(found, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
            text.push(found);
        } else if found.is_control() {
            let mut bytes = [0; 4];
            let bytes = found.encode_utf8(&mut bytes).bytes();
            text.extend(bytes.map(|byte| format!("\\{byte:02X}")));
        } else {
            text.push(found);
        }
    }
}

/// The order within a relative name means nothing.
fn sorted(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.sort();
    attributes
}

/// The relative names of a text, in its order; `None` when it is none, or in a form that is not understood (`#hex`).
fn parse(text: &str) -> Option<Vec<Vec<Attribute>>> {
    let mut names = Vec::new();
    let mut attributes = Vec::new();
    let mut rest = text;
    loop {
        let (kind, after) = rest.split_once('=')?;
        let (value, end, after) = value(after)?;
        attributes.push((number(kind.trim())?, value));
        match end {
            Some('+') => {}
            Some(_) => names.push(sorted(std::mem::take(&mut attributes))),
            None => {
                names.push(sorted(attributes));
                return Some(names);
            }
        }
        rest = after;
    }
}

fn number(kind: &str) -> Option<String> {
    if kind.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(kind.to_owned());
    }
    let mut known = TYPES.iter();
    let found = known.find(|(name, _)| name.eq_ignore_ascii_case(kind));
    found.map(|(_, number)| (*number).to_owned())
}

/// A value, the character that ended it, and what follows (RFC 4514 §2.4 and §3).
fn value(text: &str) -> Option<(Vec<u8>, Option<char>, &str)> {
    let text = text.trim_start_matches(' ');
    if text.starts_with(['#', '"']) {
        return None;
    }
    let mut bytes = Vec::new();
    // Blanks at the end do not count unless they are escaped.
    let mut kept = 0;
    let mut chars = text.char_indices();
    while let Some((at, next)) = chars.next() {
        match next {
            ',' | '+' | ';' => {
                bytes.truncate(kept);
                return Some((bytes, Some(next), &text[at + 1..]));
            }
            '\\' => {
                let (_, escaped) = chars.next()?;
                if let Some(high) = escaped.to_digit(16) {
                    let low = chars.next()?.1.to_digit(16)?;
                    bytes.push(u8::try_from(high << 4 | low).ok()?);
                } else {
                    bytes.extend(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                kept = bytes.len();
            }
            '"' | '<' | '>' => return None,
            other => {
                bytes.extend(other.encode_utf8(&mut [0; 4]).as_bytes());
                if other != ' ' {
                    kept = bytes.len();
                }
            }
        }
    }
    bytes.truncate(kept);
    Some((bytes, None, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[Vec<Attribute>]) -> Vec<String> {
        let mut all = Vec::new();
        for (kind, value) in names.iter().flatten() {
            all.push(format!("{kind}={}", String::from_utf8_lossy(value)));
        }
        all
    }

    /// The examples of RFC 4514 §4, and what tools write.
    #[test]
    fn names_are_read_as_rfc_4514_writes_them() {
        for (name, wanted) in [
            ("CN=a", vec!["2.5.4.3=a"]),
            ("cn = a , O=b c", vec!["2.5.4.3=a", "2.5.4.10=b c"]),
            (
                "OU=Sales+CN=J. Smith,DC=example",
                vec![
                    "2.5.4.11=Sales",
                    "2.5.4.3=J. Smith",
                    "0.9.2342.19200300.100.1.25=example",
                ],
            ),
            (
                "CN=James \\\"Jim\\\" Smith\\, III",
                vec!["2.5.4.3=James \"Jim\" Smith, III"],
            ),
            ("CN=Lu\\C4\\8Di\\C4\\87", vec!["2.5.4.3=Lučić"]),
            ("1.3.6.1.4.1.1466.0=x", vec!["1.3.6.1.4.1.1466.0=x"]),
            ("CN=a\\ ", vec!["2.5.4.3=a "]),
            ("CN=a=b", vec!["2.5.4.3=a=b"]),
        ] {
            let mut read = text(&parse(name).unwrap());
            let mut wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
            read.sort();
            wanted.sort();
            assert_eq!(read, wanted, "{name}");
        }
        for none in [
            "",
            "a",
            "XX=a",
            "CN=#04024869",
            "CN=\"a\"",
            "CN=a,",
            "CN=a\\",
            "CN=a\\4",
        ] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
    proptest::proptest! {
        /// Whatever people write: it is a name or none.
        #[test]
        fn no_text_brings_it_down(text in "[CNOU=,+;#\\\\\"<> a-f0-9.ä]{0,60}") {
            let _ = is_name(&text);
        }
    }
}
