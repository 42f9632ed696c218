use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn plain(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
fn is_created_for_its_owner_alone_and_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let first = KeyFile::open_or_create(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.len(), 32);

    let sealed = first.seal("row 1", &plain("private")).unwrap();
    let second = KeyFile::open_or_create(&path).unwrap();
    assert_eq!(
        second.unseal("row 1", &sealed).unwrap().expose(),
        b"private"
    );
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    KeyFile::open_or_create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = KeyFile::open_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Exposed { mode: found, .. } if found == mode));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("empty", 0), ("short", 31), ("long", 33), ("longer", 4096)] {
        let path = folder.path().join(name);
        KeyFile::open_or_create(&path).unwrap();
        fs::write(&path, vec![7; bytes]).unwrap();
        let error = KeyFile::open_or_create(&path).unwrap_err();
        assert!(
            matches!(error, KeyFileError::Length { bytes: found, .. } if found == bytes.min(33)),
            "{error}"
        );
    }
}

#[test]
fn a_missing_folder_is_said() {
    let error = KeyFile::open_or_create(Path::new("/nonexistent/tollway/key")).unwrap_err();
    assert!(matches!(error, KeyFileError::Create { .. }));
    assert!(error.to_string().contains("/nonexistent/tollway/key"));
}

#[test]
fn sealing_is_bound_to_key_context_and_content() {
    let keys = KeyFile::from_root(&Secret::new([1; 32])).unwrap();
    let other = KeyFile::from_root(&Secret::new([2; 32])).unwrap();
    let sealed = keys.seal("row 1", &plain("private")).unwrap();
    assert!(
        !sealed.windows(7).any(|part| part == b"private"),
        "the plain text is not in what is stored"
    );
    assert_ne!(sealed, keys.seal("row 1", &plain("private")).unwrap());
    assert_eq!(keys.unseal("row 1", &sealed).unwrap().expose(), b"private");
    assert_eq!(keys.unseal("row 2", &sealed).unwrap_err(), SealError::Open);
    assert_eq!(other.unseal("row 1", &sealed).unwrap_err(), SealError::Open);
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert_eq!(keys.unseal("row 1", &changed).unwrap_err(), SealError::Open);
    }
    for length in 0..sealed.len() {
        assert!(keys.unseal("row 1", &sealed[..length]).is_err());
    }
}

#[test]
fn each_purpose_has_a_key_of_its_own_and_none_is_shown() {
    let root = Secret::new([1; 32]);
    let keys = KeyFile::from_root(&root).unwrap();
    let all = [
        root.expose(),
        keys.seal.expose(),
        keys.client_secret_hash.expose(),
        keys.api_key_hash.expose(),
        keys.proof_nonce.expose(),
        keys.pairwise_subject.expose(),
    ];
    for (index, key) in all.iter().enumerate() {
        assert!(!all[..index].contains(key));
    }
    assert_eq!(
        format!("{keys:?}"),
        "KeyFile { seal: ***, client_secret_hash: ***, api_key_hash: ***, proof_nonce: ***, \
         pairwise_subject: *** }"
    );
}
