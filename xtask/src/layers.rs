//! The order of the crates: `layers.toml` held against `cargo metadata`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Layers {
    layer: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    name: String,
    crates: Vec<String>,
    #[serde(default)]
    apart: bool,
}

/// A crate's place: layer, place within the layer, and whether its layer's crates stay apart.
type Places = BTreeMap<String, (usize, usize, bool)>;

fn places(layers: &Layers) -> Places {
    let mut places = Places::new();
    for (height, layer) in layers.layer.iter().enumerate() {
        for (at, name) in layer.crates.iter().enumerate() {
            let earlier = places.insert(name.clone(), (height, at, layer.apart));
            assert!(
                earlier.is_none(),
                "{name} stands twice in layers.toml, again in {}",
                layer.name
            );
        }
    }
    places
}

fn may_use(places: &Places, user: &str, used: &str) -> bool {
    let ((user_layer, user_at, apart), (used_layer, used_at, _)) = (places[user], places[used]);
    used_layer < user_layer || (used_layer == user_layer && !apart && used_at < user_at)
}

#[test]
fn crates_use_only_what_lies_below() {
    let root = crate::root().unwrap();
    let layers: Layers =
        toml::from_str(&std::fs::read_to_string(root.join("layers.toml")).unwrap()).unwrap();
    let places = places(&layers);
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let mut edges = 0;
    for package in &metadata.packages {
        let user = package.name.as_str();
        assert!(
            places.contains_key(user),
            "{user} is in no layer of layers.toml"
        );
        for dependency in &package.dependencies {
            let used = dependency.name.as_str();
            let ours = dependency.path.is_some();
            // Tests may look sideways and up: they prove parts together.
            if !ours || dependency.kind == cargo_metadata::DependencyKind::Development {
                continue;
            }
            assert!(
                may_use(&places, user, used),
                "{user} must not use {used}: see layers.toml"
            );
            edges += 1;
        }
    }
    assert!(
        edges > 20,
        "only {edges} dependencies between our crates were seen"
    );
    assert_eq!(
        places.len(),
        metadata.packages.len(),
        "layers.toml names a crate that is not there"
    );
}

#[test]
fn the_rule_itself() {
    let layers: Layers = toml::from_str(
        r#"
        layer = [
            { name = "low", crates = ["a", "b"] },
            { name = "roles", crates = ["c", "d"], apart = true },
        ]"#,
    )
    .unwrap();
    let places = places(&layers);
    let rule = |user, used| may_use(&places, user, used);
    assert!(rule("b", "a") && rule("c", "a") && rule("d", "b"));
    assert!(
        !rule("a", "b") && !rule("a", "c") && !rule("c", "d") && !rule("d", "c") && !rule("a", "a")
    );
}
