use super::*;

const LETTERS_AND_DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Every character is allowed where the list of that place has it, and nowhere else.
///
/// req: S4
#[test]
fn characters_stand_in_their_places_alone() {
    for (place, others) in [
        (TOKEN, "!#$%&'*+-.^_`|~"),
        (HOST, "-._~"),
        (PATH, "!\"$%&'()*+,-./:;=?@[\\]^_{|}~"),
        (QUERY, "!$%&'()*+,-./:;=?@[\\]^_`{|}~"),
    ] {
        for byte in 0..=u8::MAX {
            let character = char::from(byte);
            let expected = LETTERS_AND_DIGITS.contains(character) || others.contains(character);
            assert_eq!(is_all(&[byte], place), expected, "{place}: {character:?}");
        }
    }
}

#[test]
fn one_wrong_character_is_enough() {
    assert!(is_all(b"", TOKEN));
    assert!(is_all(b"content-length", TOKEN));
    for at in 0..14 {
        let mut name = *b"content-length";
        name[at] = b' ';
        assert!(!is_all(&name, TOKEN), "{at}");
    }
}
