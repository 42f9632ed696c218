use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    zip_with(
        files,
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated),
    )
}

fn zip_with(files: &[(&str, &[u8])], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Replaces bytes of the same length wherever they stand.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|at| &bytes[*at..at + from.len()] == from)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

fn names(bytes: &[u8]) -> Result<Vec<String>, ArchiveError> {
    Ok(read(bytes, &ArchiveLimits::default())?
        .into_keys()
        .collect())
}

#[test]
fn texts_are_read_byte_for_byte_and_the_rest_is_left_out() {
    let odd = "\u{feff}openapi: 3.1.0\r\n".as_bytes();
    let nested = zip(&[("../evil.yaml", b"x")]);
    let bytes = zip(&[
        ("api/openapi.yaml", odd),
        ("api/schemas/Pet.JSON", b"{}"),
        ("README.md", b"\xff\xfe"),
        ("nested.zip", &nested),
        ("__MACOSX/api/._openapi.yaml", b"\xff"),
        (".github/x.yaml", b"x"),
    ]);
    let texts = read(&bytes, &ArchiveLimits::default()).unwrap();
    let names: Vec<_> = texts.keys().map(String::as_str).collect();
    assert_eq!(names, ["api/openapi.yaml", "api/schemas/Pet.JSON"]);
    assert_eq!(texts["api/openapi.yaml"].as_bytes(), odd);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    assert_eq!(
        super::read(
            &zip_with(&[("a.yaml", b"x")], stored),
            &ArchiveLimits::default()
        )
        .unwrap()
        .len(),
        1
    );
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_directory("a", SimpleFileOptions::default())
        .unwrap();
    writer
        .start_file("a/b.yaml", SimpleFileOptions::default())
        .unwrap();
    let folders = writer.finish().unwrap().into_inner();
    assert_eq!(
        super::read(&folders, &ArchiveLimits::default())
            .unwrap()
            .len(),
        1
    );
}

// req: S2
#[test]
fn names_that_lead_out_are_refused() {
    // The same length as the name that stands there.
    for evil in [
        "../abc.yaml",
        "/abcdef.yaml",
        r"a\..\b.yaml",
        "C:/abcd.yaml",
        r"\\srv\c.yaml",
        "a/../b.yaml",
        "a//bcde.yaml",
        "./abcd.yaml",
        "abcde\0.yaml",
        "a/b/../../x",
    ] {
        let name = "n".repeat(evil.len());
        let bytes = patched(zip(&[(&name, b"x")]), name.as_bytes(), evil.as_bytes());
        assert!(
            matches!(names(&bytes), Err(ArchiveError::Name(_))),
            "{evil:?}: {:?}",
            names(&bytes)
        );
    }
}

// req: S2
#[test]
fn links_special_files_and_encrypted_entries_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer
        .add_symlink("a.yaml", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let link = writer.finish().unwrap().into_inner();
    assert_eq!(names(&link), Err(ArchiveError::Special("a.yaml".into())));
    // A character device: the mode stands in the upper half of the external attributes.
    let mode = |mode: u32| (mode << 16).to_le_bytes();
    let options = SimpleFileOptions::default().unix_permissions(0o644);
    let plain = zip_with(&[("a.yaml", b"x")], options);
    for kind in [0o020_644, 0o060_644, 0o010_644, 0o140_644, 0o120_644] {
        let device = patched(plain.clone(), &mode(0o100_644), &mode(kind));
        assert_eq!(
            names(&device),
            Err(ArchiveError::Special("a.yaml".into())),
            "{kind:o}"
        );
    }
    let mut encrypted = zip(&[("a.yaml", b"x")]);
    let central = (0..encrypted.len())
        .find(|at| encrypted[*at..].starts_with(b"PK\x01\x02"))
        .unwrap();
    encrypted[6] |= 1;
    encrypted[central + 8] |= 1;
    assert_eq!(
        names(&encrypted),
        Err(ArchiveError::Encrypted("a.yaml".into()))
    );
    let mut method = zip(&[("a.yaml", b"x")]);
    method[8] = 12;
    method[central + 10] = 12;
    assert_eq!(names(&method), Err(ArchiveError::Method("a.yaml".into())));
}

// req: S2
#[test]
fn names_that_meet_are_refused() {
    let twice = patched(
        zip(&[("a.yaml", b"x"), ("b.yaml", b"y")]),
        b"b.yaml",
        b"a.yaml",
    );
    assert!(matches!(
        names(&twice),
        Err(ArchiveError::Duplicate(_) | ArchiveError::Damaged)
    ));
    for pair in [
        ["a.yaml", "A.yaml"],
        ["x/a.yaml", "X/A.yaml"],
        ["a", "a/b.yaml"],
        ["a/b.yaml", "A"],
    ] {
        let bytes = zip(&[(pair[0], b"x"), (pair[1], b"y")]);
        assert!(
            matches!(names(&bytes), Err(ArchiveError::Duplicate(_))),
            "{pair:?}"
        );
    }
}

// req: S2
#[test]
fn archives_that_explode_are_refused_while_they_are_read() {
    let zeros = vec![b' '; 20 * 1024 * 1024];
    let bomb = zip(&[("a.yaml", &zeros)]);
    assert!(bomb.len() < 100_000);
    assert_eq!(names(&bomb), Err(ArchiveError::Ratio(100)));
    // What it says of its size is not believed.
    let size = u32::try_from(zeros.len()).unwrap().to_le_bytes();
    let liar = patched(bomb.clone(), &size, &10_u32.to_le_bytes());
    assert!(matches!(
        names(&liar),
        Err(ArchiveError::Ratio(100) | ArchiveError::Damaged)
    ));
    let wide = ArchiveLimits {
        ratio_max: 1_000_000,
        ..ArchiveLimits::default()
    };
    assert_eq!(
        read(&bomb, &wide),
        Err(ArchiveError::File("a.yaml".into(), 10 * 1024 * 1024))
    );
    let wider = ArchiveLimits {
        file_bytes_max: u64::MAX,
        total_bytes_max: 30 * 1024 * 1024,
        ..wide
    };
    assert_eq!(read(&bomb, &wider).unwrap().len(), 1);
    let two = zip(&[("a.yaml", &zeros), ("b.yaml", &zeros)]);
    assert_eq!(
        read(&two, &wider),
        Err(ArchiveError::Total(30 * 1024 * 1024))
    );
    let many: Vec<String> = (0..20).map(|number| format!("{number}.txt")).collect();
    let many: Vec<(&str, &[u8])> = many
        .iter()
        .map(|name| (name.as_str(), b"".as_slice()))
        .collect();
    let few = ArchiveLimits {
        entries_max: 19,
        ..ArchiveLimits::default()
    };
    assert_eq!(read(&zip(&many), &few), Err(ArchiveError::Entries(19)));
}

#[test]
fn what_is_damaged_is_refused() {
    let good = zip(&[("a.yaml", b"openapi: 3.1.0"), ("b.yaml", b"type: object")]);
    for text in [
        b"".as_slice(),
        b"PK",
        b"openapi: 3.1.0",
        &good[..good.len() - 30],
        &good[40..],
    ] {
        assert_eq!(names(text), Err(ArchiveError::Damaged));
    }
    let broken = zip(&[("a.yaml", b"\xff\xfe")]);
    assert_eq!(names(&broken), Err(ArchiveError::Text("a.yaml".into())));
    // No byte of an archive may make it panic, whatever it is changed to.
    for at in 0..good.len() {
        for change in [0x00, 0xff, good[at] ^ 1, good[at] ^ 0x80] {
            let mut bytes = good.clone();
            bytes[at] = change;
            let _ = names(&bytes);
        }
    }
    // Two entries that lie over each other.
    let second = (1..good.len())
        .find(|at| good[*at..].starts_with(b"PK\x03\x04"))
        .unwrap();
    let offset = u32::try_from(second).unwrap().to_le_bytes();
    let central = (0..good.len())
        .rfind(|at| good[*at..].starts_with(b"PK\x01\x02"))
        .unwrap();
    let mut over = good.clone();
    assert_eq!(over[central + 42..central + 46], offset);
    over[central + 42..central + 46].copy_from_slice(&[0; 4]);
    assert_eq!(names(&over), Err(ArchiveError::Damaged));
}
