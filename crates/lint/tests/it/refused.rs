use lint::Ruleset;

/// Rule sets beyond the subset, and what is said of them.
#[test]
fn what_lies_outside_of_the_subset_is_refused_with_rule_and_place() {
    let rule = |given: &str, then: &str| {
        format!("rules:\n  mine:\n    given: {given}\n    then: {then}\n")
    };
    for (text, line, expected) in [
        (
            "extends: https://example.com/rules.yaml".to_owned(),
            1,
            "nothing is loaded",
        ),
        (
            "extends: [spectral:oas, ./mine.js]".to_owned(),
            1,
            "`./mine.js` cannot be extended",
        ),
        (
            "extends: [[spectral:oas, most]]".to_owned(),
            1,
            "all, recommended or off",
        ),
        (
            "functions: [mine]\nrules: {}".to_owned(),
            1,
            "functions of one's own are not run",
        ),
        (
            "rules: {}\noverrides: [{files: ['*'], rules: {}}]".to_owned(),
            2,
            "`overrides` is not known here",
        ),
        (
            "nonsense: 1\nrules: {}".to_owned(),
            1,
            "`nonsense` is no key of a rule set",
        ),
        ("[]".to_owned(), 1, "a mapping"),
        ("formats: [oas3]".to_owned(), 1, "`rules` or `extends`"),
        (
            "rules: {mine: error}".to_owned(),
            1,
            "rule `mine`: there is no such rule",
        ),
        (
            "extends: spectral:oas\nrules: {info-contact: loud}".to_owned(),
            2,
            "unknown severity",
        ),
        (
            "rules: {mine: {given: $}}".to_owned(),
            1,
            "rule `mine`: `then` is missing",
        ),
        (
            "rules: {mine: {given: $, then: {function: truthy}, wen: 1}}".to_owned(),
            1,
            "`wen` is no key of a rule",
        ),
        (
            "rules: {mine: {given: $, then: {function: truthy}, message: '{{nam}}'}}".to_owned(),
            1,
            "`{{nam}}` means nothing",
        ),
        (
            "rules: {mine: {given: $, then: {function: truthy}, formats: [oas9]}}".to_owned(),
            1,
            "`oas9` is no known format",
        ),
        (
            rule("'#Nobody'", "{function: truthy}"),
            3,
            "rule `mine`: the alias `#Nobody` is not declared",
        ),
        (
            rule("paths", "{function: truthy}"),
            3,
            "a path begins with `$`",
        ),
        (
            rule("'$.paths['", "{function: truthy}"),
            3,
            "rule `mine`: `$.paths[` is not understood after 8 characters",
        ),
        (
            rule("'$.a[(@.length-1)]'", "{function: truthy}"),
            3,
            "scripts in brackets",
        ),
        (
            rule("'$.a[1:5:2]'", "{function: truthy}"),
            3,
            "slices with steps",
        ),
        (
            rule("'$.a[?(@path)]'", "{function: truthy}"),
            3,
            "`@path` is not known here",
        ),
        (
            rule("'$.a[?(@.b.reduce(1))]'", "{function: truthy}"),
            3,
            "`.reduce` is not known",
        ),
        (
            rule("'$.a[?(isNaN(@.b))]'", "{function: truthy}"),
            3,
            "`isNaN` is not known in filters",
        ),
        (
            rule("'$.a[?(@..b)]'", "{function: truthy}"),
            3,
            "`..` is not known in filters",
        ),
        (
            rule("'$.a[?(@.b.match(/(/))]'", "{function: truthy}"),
            3,
            "no regular expression",
        ),
        (
            rule("$", "{function: mine}"),
            4,
            "rule `mine`: the function `mine` is not known here",
        ),
        (
            rule("$", "{function: length}"),
            4,
            "`length` needs `min` or `max`",
        ),
        (
            rule("$", "{function: length, functionOptions: {max: a}}"),
            4,
            "the option `max` is a number",
        ),
        (
            rule("$", "{function: truthy, functionOptions: {x: 1}}"),
            4,
            "no option `x`",
        ),
        (
            rule("$", "{function: pattern, functionOptions: {match: '('}}"),
            4,
            "no regular expression",
        ),
        (
            rule("$", "{function: casing, functionOptions: {type: loud}}"),
            4,
            "`loud` is no casing",
        ),
        (
            rule(
                "$",
                "{function: schema, functionOptions: {schema: {type: nonsense}}}",
            ),
            4,
            "the schema is none",
        ),
        (
            rule(
                "$",
                "{function: schema, functionOptions: {schema: {$ref: 'https://example.com/s.json'}}}",
            ),
            4,
            "the schema is none",
        ),
        (
            rule("$", "{fild: a, function: truthy}"),
            4,
            "`fild` is no key of `then`",
        ),
    ] {
        let found = Ruleset::read(&text, &tree::Limits::default()).expect_err(&text);
        let first = &found.0[0];
        assert!(first.message.contains(expected), "{text}\n{first:?}");
        assert_eq!(first.line, line, "{text}\n{first:?}");
        assert!(first.column > 0);
    }
}

#[test]
fn aliases_that_lead_in_circles_end() {
    let circle =
        "aliases: {A: ['#B'], B: ['#A']}\nrules: {mine: {given: '#A', then: {function: truthy}}}";
    let found = Ruleset::read(circle, &tree::Limits::default()).unwrap_err();
    assert!(found.0[0].message.contains("in a circle"));
    let many: String = (0..8)
        .map(|index| {
            format!(
                "  A{index}: [{}]\n",
                vec![format!("'#A{}'", index + 1); 8].join(", ")
            )
        })
        .collect();
    let wide = format!(
        "aliases:\n{many}  A8: [$]\nrules: {{mine: {{given: '#A0', then: {{function: truthy}}}}}}"
    );
    let found = Ruleset::read(&wide, &tree::Limits::default()).unwrap_err();
    assert!(
        found
            .0
            .iter()
            .any(|problem| problem.message.contains("circle")
                || problem.message.contains("too many"))
    );
}
