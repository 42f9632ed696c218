use std::sync::Arc;

use tree::Limits;

use super::*;

fn files(names: &[(&str, &str)]) -> Result<Files, FilesError> {
    let texts = names
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Arc::from(*text)));
    Files::new(names[0].0, texts)
}

// req: the original text is kept byte for byte.
#[test]
fn packing_keeps_every_byte() {
    let odd = "\u{feff}a: \"\\u0000 ä\"\r\n# end without a newline";
    let several = files(&[("z/root.yaml", odd), ("a.json", "{}"), ("empty.yaml", "")]).unwrap();
    let packed = several.pack();
    assert!(Files::is_packed(&packed));
    let back = Files::unpack("ignored", &packed).unwrap();
    assert_eq!(back, several);
    assert_eq!(back.root(), "z/root.yaml");
    assert_eq!(&**back.root_text(), odd);
    assert_eq!(back.pack(), packed);
    let other_order = files(&[("z/root.yaml", odd), ("empty.yaml", ""), ("a.json", "{}")]).unwrap();
    assert_eq!(other_order.pack(), packed, "equal files give equal texts");
    let one = Files::one("a.yaml", odd).unwrap();
    assert_eq!(&*one.pack(), odd, "one file is its own text");
    assert_eq!(Files::unpack("a.yaml", odd).unwrap(), one);
}

/// req: S2
#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "", "/a", "../a", "a/../b", "a//b", "./a", "a/", r"a\b", "C:a", "a\0b", "a\nb", ".", "..",
    ] {
        assert!(check_name(name).is_err(), "{name:?}");
        assert!(files(&[("root.yaml", ""), (name, "")]).is_err(), "{name:?}");
        let forged = format!("{MAGIC}1 0\nr{} 0\n{name}", name.len());
        assert!(Files::unpack("x", &forged).is_err(), "{name:?}");
    }
    assert!(check_name(&"a".repeat(1025)).is_err());
    assert!(matches!(
        files(&[("a.yaml", ""), ("A.yaml", "")]),
        Err(FilesError::Case(..))
    ));
    let inside = files(&[("a/B/c.yaml", ""), ("a/b", "")]);
    assert!(matches!(inside, Err(FilesError::Folder(..))));
    let nested = files(&[("root.yaml", MAGIC), ("a.yaml", "")]);
    assert_eq!(nested, Err(FilesError::Packed));
    for damaged in [
        "",
        "1 5\nab",
        "x",
        "1 1\n",
        "-1 1\na",
        "1 1\nrx1 1\nrx",
        "99999999999999999999 1\na",
    ] {
        let text = format!("{MAGIC}{damaged}");
        assert!(Files::unpack("x", &text).is_err(), "{damaged:?}");
    }
}

fn gather(
    root: &str,
    texts: &[(&str, &str)],
    limits: &Limits,
    files_max: usize,
) -> Result<Files, Diagnostics> {
    let text = |name: &str| {
        let found = texts.iter().find(|(file, _)| *file == name);
        found.map(|(_, text)| Arc::from(*text))
    };
    let mut gathering = Gathering::new(root, text(root).unwrap(), limits, files_max);
    while let Some(name) = gathering.wanted() {
        gathering.add(name.clone(), text(&name));
    }
    gathering.finish()
}

const TEXTS: &[(&str, &str)] = &[
    (
        "a/root.yaml",
        "x: {$ref: 's/one.yaml#/x'}\ny: {$ref: 'https://example.com/z.yaml'}\nz: {$ref: missing.yaml}\n",
    ),
    (
        "a/s/one.yaml",
        "x: {$ref: two.json}\nback: {$ref: ../root.yaml}\nout: {$ref: ../../../x.yaml}\n",
    ),
    (
        "a/s/two.json",
        "{\"discriminator\": {\"mapping\": {\"a\": \"three.yaml\", \"b\": \"Name\"}}}",
    ),
    ("a/s/three.yaml", "not: [a tree"),
    ("a/unused.yaml", "x: 1\n"),
];

#[test]
fn gathering_takes_what_is_referred_to_and_nothing_else() {
    let names = |files: &Files| {
        files
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let found = gather("a/root.yaml", TEXTS, &Limits::default(), FILES_MAX).unwrap();
    assert_eq!(
        names(&found),
        [
            "a/root.yaml",
            "a/s/one.yaml",
            "a/s/three.yaml",
            "a/s/two.json"
        ]
    );
    let short = found.without_common_folder(&Limits::default());
    assert_eq!(
        names(&short),
        ["root.yaml", "s/one.yaml", "s/three.yaml", "s/two.json"]
    );
    assert_eq!(short.root(), "root.yaml");
    let deep = &[
        ("a/b/r.yaml", "x: {$ref: ../../a/b/s.yaml}"),
        ("a/b/s.yaml", ""),
    ];
    let found = gather("a/b/r.yaml", deep, &Limits::default(), FILES_MAX).unwrap();
    let kept = found.clone().without_common_folder(&Limits::default());
    assert_eq!(kept, found, "a reference would break");
}

#[test]
fn gathering_is_bounded() {
    let found = gather("a/root.yaml", TEXTS, &Limits::default(), 2).unwrap_err();
    assert_eq!(found.0[0].rule, "too-many-files");
    let limits = Limits {
        bytes_max: 150,
        ..Limits::default()
    };
    let found = gather("a/root.yaml", TEXTS, &limits, FILES_MAX).unwrap_err();
    assert_eq!(found.0[0].rule, "text-too-long");
}
