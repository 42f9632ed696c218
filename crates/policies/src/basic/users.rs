//! A list of users: `NAME:HASH` a line.

use std::collections::HashMap;
use std::sync::Arc;

/// How a hash begins.
const ARGON2ID: &str = "$argon2id$";
/// The most memory that one check may take, in KiB: what a line asks for is what a stranger makes us spend.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// The most passes.
const PASSES_MAX: u32 = 16;

/// The users of a list with their hashes.
pub(super) struct Users(HashMap<Box<str>, Arc<str>, foldhash::quality::RandomState>);

impl Users {
    /// Reads a list. Empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// What is wrong with the first faulty line, without its content: a list is taken whole or not at all.
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "the list is no UTF-8".to_owned())?;
        let mut users = HashMap::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| format!("line {number} has no colon behind the name"))?;
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(format!("line {number} has no user name"));
            }
            check(hash).map_err(|fault| {
                format!("line {number}: {fault}; make the line with `tollway basic-user NAME`")
            })?;
            if users.insert(name.into(), hash.into()).is_some() {
                return Err(format!("line {number} has the name of another one"));
            }
        }
        Ok(Self(users))
    }

    pub(super) fn hash_of(&self, name: &str) -> Option<Arc<str>> {
        self.0.get(name).cloned()
    }
}

/// Whether a hash is one that is checked here, and at what price.
fn check(hash: &str) -> Result<(), &'static str> {
    let Some(rest) = hash.strip_prefix(ARGON2ID) else {
        return Err("the hash is not of argon2id, and others are not taken");
    };
    let parts: Vec<&str> = rest.split('$').collect();
    let ["v=19", parameters, salt, tag] = parts[..] else {
        return Err("the hash is no PHC string of argon2id, version 19");
    };
    if salt.is_empty() || tag.is_empty() {
        return Err("the hash has no salt or no tag");
    }
    let number = |key: &str| -> Option<u32> {
        let mut pairs = parameters
            .split(',')
            .filter_map(|pair| pair.split_once('='));
        pairs.find(|(have, _)| *have == key)?.1.parse().ok()
    };
    let (Some(memory), Some(passes)) = (number("m"), number("t")) else {
        return Err("the hash does not say its memory and passes");
    };
    if memory > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err("the hash asks for more than 256 MiB or 16 passes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$BBBB";

    #[test]
    fn lines_are_users() {
        let text = format!("# partners\n\nalice:{HASH}\r\n  bob:{HASH}\n");
        let users = Users::read(text.as_bytes()).unwrap();
        assert_eq!(users.hash_of("alice").as_deref(), Some(HASH));
        assert!(users.hash_of("bob").is_some());
        assert!(users.hash_of("carol").is_none());
        assert!(Users::read(b"").unwrap().hash_of("").is_none());
    }

    #[test]
    fn a_faulty_line_is_named_and_never_repeated() {
        for (text, number) in [
            (format!("alice:{HASH}\nbob"), 2),
            (format!(":{HASH}"), 1),
            ("alice:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=".to_owned(), 1),
            ("alice:$2y$10$abcdefghijklmnopqrstuv".to_owned(), 1),
            ("alice:hunter2".to_owned(), 1),
            (format!("alice:{}", HASH.replace("argon2id", "argon2i")), 1),
            (
                format!("alice:{}", HASH.replace("m=19456", "m=99999999")),
                1,
            ),
            (format!("alice:{}", HASH.replace("t=2", "t=99")), 1),
            (format!("alice:{}", HASH.replace("v=19", "v=16")), 1),
            (format!("alice:{HASH}\nalice:{HASH}"), 2),
        ] {
            let fault = Users::read(text.as_bytes()).err().unwrap();
            assert!(fault.contains(&format!("line {number}")), "{fault}");
            for secret in ["hunter2", "qUqP", "$2y", "AAAA"] {
                assert!(!fault.contains(secret), "{fault}");
            }
        }
        assert!(Users::read(&[0xff]).is_err());
    }
}
