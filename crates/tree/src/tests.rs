use base::Diagnostics;

use crate::{Limits, Node, Position, parse, parse_all};

/// Limits that let a test use as many aliases as it likes.
fn many_aliases() -> Limits {
    Limits {
        alias_collections_max: usize::MAX,
        ..Limits::default()
    }
}

fn read(text: &str) -> Node {
    parse(text, &Limits::default()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn json(text: &str) -> String {
    read(text).to_json().to_string()
}

fn problems(text: &str) -> Vec<String> {
    let Diagnostics(list) = parse(text, &Limits::default()).expect_err(text);
    list.iter()
        .map(|problem| {
            format!(
                "{}:{} {} {}",
                problem.line, problem.column, problem.rule, problem.pointer
            )
        })
        .collect()
}

#[test]
fn yaml_and_json_become_the_same_tree() {
    let yaml = "a: 1\nb:\n  - x\n  - \"200\"\n  - null\nc: {d: true}\n";
    assert_eq!(json(yaml), r#"{"a":1,"b":["x","200",null],"c":{"d":true}}"#);
    assert_eq!(
        json(yaml),
        json(r#"{"a": 1, "b": ["x", "200", null], "c": {"d": true}}"#)
    );
    assert_eq!(json("\u{feff}a: 1"), r#"{"a":1}"#);
    assert_eq!(json("\u{feff}{\"a\": 1}"), r#"{"a":1}"#);
    assert_eq!(
        json("a: 2024-01-02\nb: |\n  one\n  two\nc: >-\n  x\n  y\n"),
        r#"{"a":"2024-01-02","b":"one\ntwo\n","c":"x y"}"#
    );
    assert_eq!(json("a: 1\r\nb: 2\r\n"), r#"{"a":1,"b":2}"#);
}

#[test]
fn json_is_read_by_its_own_rules() {
    let long = "k".repeat(5000);
    assert_eq!(
        json(&format!("{{\"{long}\": 1}}")),
        format!("{{\"{long}\":1}}")
    );
    assert_eq!(
        json("{\t\"a\":\t[1,\t2],\n\t\"b\": -1.5e3}"),
        r#"{"a":[1,2],"b":-1500.0}"#
    );
    assert_eq!(json(r#"["\ud83d\ude00\/\u00e4\n"]"#), "[\"😀/ä\\n\"]");
    assert_eq!(json("[]"), "[]");
    assert_eq!(json(" {} "), "{}");
    assert_eq!(
        json("{\"<<\": {\"a\": 1}}"),
        r#"{"<<":{"a":1}}"#,
        "JSON knows no merge keys"
    );
    assert_eq!(json("{\"a\":1}\n"), r#"{"a":1}"#);
}

#[test]
fn flow_style_yaml_is_read_too() {
    assert_eq!(
        json("{a: 1, b: [x, y]} # comment"),
        r#"{"a":1,"b":["x","y"]}"#
    );
    assert_eq!(json("[a, 'b']"), r#"["a","b"]"#);
}

#[test]
fn broken_json_is_reported_where_it_breaks() {
    assert_eq!(problems("{\"a\": 1,\n \"b\" 2}"), ["2:6 syntax "]);
    assert_eq!(problems("[1, 2"), ["1:6 syntax "]);
    assert_eq!(problems("{\"a\": \"\\x\"}").len(), 1);
    assert_eq!(
        problems("{\"a\": 1e999, \"b\": \"\\u0000\"}"),
        ["1:7 number-range /a", "1:19 control-character /b"]
    );
}

#[test]
fn positions_count_from_one_in_characters() {
    for text in ["{\"ä\": {\"b/c\":\n  [1, 2]}}", "ä:\n b/c:\n  [1, 2]"] {
        let node = read(text);
        assert_eq!(node.position_of(""), Position { line: 1, column: 1 });
        assert_eq!(
            node.position_of("/ä"),
            Position {
                line: 1,
                column: if text.starts_with('{') { 2 } else { 1 }
            }
        );
        let second = node.position_of("/ä/b~1c/1");
        assert_eq!(second.column, 7, "{text}");
        assert_eq!(
            second,
            node.pointer("/ä/b~1c/1")
                .map(|node| node.position)
                .expect("it exists")
        );
        assert_eq!(node.position_of("/ä/b~1c/7"), node.position_of("/ä/b~1c"));
        assert!(node.pointer("/ä/b~1c/01").is_none() && node.pointer("ä").is_none());
    }
    let mut found = Diagnostics(vec![
        base::Diagnostic::error("r", "/a/x", "m"),
        base::Diagnostic::error("r", "", "m").at(9, 9),
    ]);
    read("z: 0\na:\n  x: 1\n").locate(&mut found);
    assert_eq!((found.0[0].line, found.0[0].column), (3, 3));
    assert_eq!((found.0[1].line, found.0[1].column), (9, 9));
}

#[test]
fn keys_are_strings() {
    assert_eq!(
        json("200: a\ntrue: b\n1.0: c\n~: d\n? e\n: f\n"),
        r#"{"200":"a","true":"b","1.0":"c","~":"d","e":"f"}"#
    );
    assert_eq!(
        problems("? [a, b]\n: 1\nc: 2\nc: 3\n"),
        ["1:3 complex-key ", "4:1 duplicate-key /c"]
    );
    assert_eq!(problems("? {a: b}\n: 1\n"), ["1:3 complex-key "]);
}

#[test]
fn duplicate_keys_name_both_places() {
    for text in [
        "a:\n  b: 1\n  c: 2\n  b: 3\n",
        "{\"a\":\n  {\"b\": 1,\n  \"c\": 2,\n  \"b\": 3}}",
    ] {
        let Diagnostics(list) = parse(text, &Limits::default()).expect_err("a duplicate key");
        assert_eq!(list.len(), 1);
        assert_eq!(
            (list[0].line, list[0].column, list[0].pointer.as_str()),
            (4, 3, "/a/b")
        );
        assert!(
            list[0].message.contains("line 2, column"),
            "{}",
            list[0].message
        );
    }
}

#[test]
fn aliases_and_merge_keys_are_expanded() {
    assert_eq!(
        json("a: &x {b: 1}\nc: *x\nd: [*x]"),
        r#"{"a":{"b":1},"c":{"b":1},"d":[{"b":1}]}"#
    );
    assert_eq!(
        json("a: &k key\n*k : 1\n"),
        r#"{"a":"key","key":1}"#,
        "an alias may be a key"
    );
    assert_eq!(
        json("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nall:\n  y: 0\n  <<: [*o, *b]\n"),
        r#"{"base":{"x":1,"y":2},"other":{"y":3,"z":4},"all":{"y":0,"z":4,"x":1}}"#
    );
    assert_eq!(json("\"<<\": 1"), r#"{"<<":1}"#);
    assert_eq!(problems("a: {<<: 1}"), ["1:9 merge-value /a"]);
    assert_eq!(problems("a: &x [*x]"), ["1:8 unknown-anchor /a/0"]);
    assert_eq!(problems("a: *nowhere")[0].split(' ').nth(1), Some("syntax"));
}

#[test]
fn billion_laughs_are_refused_within_the_budget() {
    let mut text = "a: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..30 {
        let list = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("b{level}: &a{level} [{list}]\n"));
    }
    for limits in [Limits::default(), many_aliases()] {
        let found = parse(&text, &limits).expect_err("too much");
        assert_eq!(found.0[0].rule, "alias-expansion");
    }
    let wide = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 90_000].join(",")
    );
    assert!(
        problems(&wide)[0].contains("alias-expansion"),
        "bytes are counted, not only values"
    );
    let merges = (1..40).fold("k0: &k0 {a: 1, b: 2}\n".to_owned(), |text, n| {
        format!(
            "{text}k{n}: &k{n} {{<<: [*k{p}, *k{p}], c{n}: 1}}\n",
            p = n - 1
        )
    });
    assert_eq!(
        parse(&merges, &many_aliases())
            .expect("merges do not multiply")
            .get("k39")
            .and_then(Node::as_object)
            .map(|object| object.len()),
        Some(41)
    );
}

#[test]
fn depth_is_limited_in_both_readers_and_never_overflows_the_stack() {
    let limits = Limits {
        depth_max: usize::MAX,
        ..Limits::default()
    };
    for text in [
        "[".repeat(1_000_000),
        "{\"a\":".repeat(1_000_000),
        "- ".repeat(1_000_000),
        "[a,".repeat(100_000),
    ] {
        assert!(parse(&text, &limits).is_err());
    }
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(128), &Limits::default()).is_ok());
    assert_eq!(
        problems(&nested(129)),
        ["1:129 too-deep /0".to_owned() + &"/0".repeat(127)]
    );
    assert!(
        parse(&nested(crate::DEPTH_CEILING), &limits)
            .expect("at the ceiling")
            .to_json()
            .is_array()
    );
    // Aliases count with their height.
    let tower = (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [*a{}]\n", n - 1)
    });
    assert_eq!(
        parse(&tower, &many_aliases()).expect_err("a tower").0[0].rule,
        "too-deep"
    );
}

#[test]
fn every_limit_holds() {
    let refuse =
        |text: &str, limits: Limits| parse(text, &limits).expect_err(text).0[0].rule.clone();
    assert_eq!(
        refuse(
            "abcdef",
            Limits {
                bytes_max: 5,
                ..Limits::default()
            }
        ),
        "text-too-long"
    );
    assert_eq!(
        refuse(
            "[1, 2, 3]",
            Limits {
                nodes_max: 3,
                ..Limits::default()
            }
        ),
        "too-many-values"
    );
    assert_eq!(
        refuse(
            "- 1\n- 2\n- 3\n",
            Limits {
                nodes_max: 3,
                ..Limits::default()
            }
        ),
        "too-many-values"
    );
    assert_eq!(
        refuse(
            "a: &a [1]\nb: *a",
            Limits {
                alias_nodes_max: 3,
                ..Limits::default()
            }
        ),
        "alias-expansion"
    );
    assert_eq!(
        refuse(
            "a: &a xyz\nb: *a",
            Limits {
                alias_bytes_max: 5,
                ..Limits::default()
            }
        ),
        "alias-expansion"
    );
    let twice = "a: &a [1]\nb: *a\nc: *a";
    assert_eq!(
        refuse(
            twice,
            Limits {
                alias_collections_max: 1,
                ..Limits::default()
            }
        ),
        "alias-expansion"
    );
    let many = "a: .inf\nb: .inf\nc: .inf\n";
    let two = Limits {
        problems_max: 2,
        ..Limits::default()
    };
    assert_eq!(parse(many, &two).expect_err("three problems").0.len(), 2);
    assert_eq!(problems(many).len(), 3);
}

#[test]
fn hostile_texts_are_refused_clearly() {
    assert_eq!(problems("a: 1\nb: \0\n"), ["2:4 control-character "]);
    assert_eq!(problems("a: \"\\0\""), ["1:4 control-character /a"]);
    assert_eq!(problems("a:\n\tb: 1\n").len(), 1);
    let Diagnostics(tab) = parse("a:\n\tb: 1\n", &Limits::default()).expect_err("a tab");
    assert_eq!(tab[0].mend.as_deref(), Some("YAML is indented with spaces"));
    assert_eq!(tab[0].line, 2);
    assert_eq!(
        problems("a: !foo 1\nb: !!set {x}\nc: !!int x"),
        [
            "1:4 unknown-tag /a",
            "2:4 unknown-tag /b",
            "3:4 tag-value /c"
        ]
    );
    assert_eq!(
        problems("%TAG ! tag:x,2000:\n---\na: 1\n"),
        ["1:1 tag-directive "]
    );
    assert_eq!(
        json("a: !!str 1\nb: !!float 1\nc: !!null ''\nd: ! 12"),
        r#"{"a":"1","b":1,"c":null,"d":"12"}"#
    );
}

#[test]
fn problems_under_a_long_key_stay_small() {
    let text = format!(
        "{{\"{}\": {{{}\"b\": 1}}}}",
        "k".repeat(600_000),
        "\"a\": 1, ".repeat(50)
    );
    let Diagnostics(list) = parse(&text, &Limits::default()).expect_err("duplicate keys");
    assert_eq!(list.len(), 2, "the second one is over a megabyte");
}

#[test]
fn documents_are_counted() {
    assert_eq!(problems(""), ["1:1 empty-text "]);
    assert_eq!(problems("# only a comment\n"), ["1:1 empty-text "]);
    assert_eq!(problems("a: 1\n---\nb: 2\n"), ["3:1 several-documents "]);
    let all = parse_all(
        "---\na: 1\n---\n---\n# nothing\n---\nb: &x 2\n...\n",
        &Limits::default(),
    )
    .expect("two documents");
    assert_eq!(
        all.iter()
            .map(|node| node.to_json().to_string())
            .collect::<Vec<_>>(),
        [r#"{"a":1}"#, r#"{"b":2}"#]
    );
    assert_eq!(
        parse_all("{\"a\": 1}\n---\n{\"b\": 2}\n", &Limits::default()).map(|all| all.len()),
        Ok(2)
    );
    assert!(
        parse_all("", &Limits::default())
            .expect("no documents")
            .is_empty()
    );
    assert!(
        parse_all("a: &x 1\n---\nb: *x\n", &Limits::default()).is_err(),
        "anchors end with their document"
    );
}

#[test]
fn large_texts_are_read_in_linear_time() {
    // The best of some tries: a machine that stands still within one of them says nothing of lookups.
    let look_up_all = |count: u32| {
        let keys: Vec<String> = (0..count)
            .map(|n| format!("\"key{n}\": {{\"$ref\": \"#/key{n}\"}}"))
            .collect();
        let node = read(&format!("{{{}}}", keys.join(",")));
        let once = |_| {
            let started = std::time::Instant::now();
            assert!((0..count).all(|n| node.pointer(&format!("/key{n}/$ref")).is_some()));
            started.elapsed()
        };
        (0..3).map(once).min().unwrap()
    };
    let (few, many) = (look_up_all(10_000), look_up_all(100_000));
    assert!(
        many < 50 * few,
        "lookups do not walk all keys: {few:?}, {many:?}"
    );
}
