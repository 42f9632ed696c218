//! The archive reader and what stands behind it: any bytes are read or refused within the limits, never a panic, and
//! every name that comes out is one that may be written below a folder.
#![no_main]

use archive::ArchiveLimits;
use libfuzzer_sys::fuzz_target;
use openapi::{Files, Gathering};
use tree::Limits;

fuzz_target!(|bytes: &[u8]| {
    let limits = ArchiveLimits {
        entries_max: 50,
        file_bytes_max: 100_000,
        total_bytes_max: 200_000,
        ratio_max: 100,
    };
    let Ok(texts) = archive::read(bytes, &limits) else {
        return;
    };
    assert!(texts.len() <= 50);
    assert!(texts.values().map(|text| text.len()).sum::<usize>() <= 200_000);
    assert!(texts.keys().all(|name| openapi::check_name(name).is_ok()));
    let small = Limits {
        bytes_max: 200_000,
        ..Limits::default()
    };
    let Ok(root) = openapi::root_of(&texts, None, &small) else {
        return;
    };
    let mut gathering = Gathering::new(&root, texts[&root].clone(), &small, 50);
    while let Some(name) = gathering.wanted() {
        let text = texts.get(&name).cloned();
        gathering.add(name, text);
    }
    let Ok(files) = gathering.finish() else {
        return;
    };
    let packed = files.pack();
    assert_eq!(Files::unpack(&root, &packed).as_ref(), Ok(&files));
    let _ = openapi::read(&packed, &small);
});
