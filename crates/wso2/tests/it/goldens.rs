//! Small definitions, each with what becomes of it.

use wso2::Chosen;

use crate::{compare, folder, shown};

/// req: GW17
#[test]
fn definitions_mean_what_the_goldens_say() {
    let mut cases: Vec<_> = std::fs::read_dir(folder("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".in.yaml"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 5);
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&case).unwrap();
        let golden = case.with_file_name(name.replace(".in.", ".out."));
        compare(
            &golden,
            &shown(&text, &["Unlimited", "Gold"], &Chosen::default()),
        );
    }
}
