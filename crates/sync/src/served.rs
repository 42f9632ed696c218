//! The digest over all that a node serves: how a node proves, and the control plane knows, that it is what was meant.

use base::Digest;

use crate::ResourceKey;

/// What one served API adds to the digest over all; `model` is the digest of its model.
#[must_use]
pub fn served_mark(key: &ResourceKey, model: &Digest) -> Digest {
    Digest::of_list(&[
        key.org.as_str().as_bytes(),
        key.name.as_bytes(),
        model.as_bytes(),
    ])
}

/// The digest over all APIs that a node serves: the exclusive or of their marks, so that the order does not matter and
/// a change costs what changed. It finds mistakes; it is no defence against a node that lies, which could lie anyway.
#[must_use]
pub fn served_digest(marks: impl IntoIterator<Item = Digest>) -> Digest {
    let mut all = [0_u8; 32];
    for mark in marks {
        for (sum, byte) in all.iter_mut().zip(mark.as_bytes()) {
            *sum ^= byte;
        }
    }
    Digest::from_bytes(all)
}

#[cfg(test)]
mod tests {
    use base::Org;

    use super::*;

    #[test]
    fn the_digest_is_of_a_set() {
        let mark = |name: &str, model: &[u8]| {
            let key = ResourceKey {
                org: Org::default_org(),
                name: name.to_owned(),
            };
            served_mark(&key, &Digest::of(model))
        };
        let (a, b) = (mark("a", b"1"), mark("b", b"1"));
        assert_eq!(served_digest([a, b]), served_digest([b, a]));
        assert_ne!(served_digest([a, b]), served_digest([a]));
        assert_ne!(served_digest([a, b]), served_digest([a, mark("b", b"2")]));
        assert_eq!(served_digest([]), Digest::from_bytes([0; 32]));
    }
}
