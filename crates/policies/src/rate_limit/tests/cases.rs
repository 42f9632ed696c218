//! What other gateways document of their limits, held against ours: `cases.txt` says how to read it.

use http::HeaderMap;
use policy::{Measure, Meter, Reject, RequestCx};
use serde_json::Value;

use crate::admission;
use crate::testing::{Bench, compile};

const CASES: &str = include_str!("cases.txt");

/// One case: its line, of which document it is, and what it runs.
struct Case<'c> {
    line: usize,
    source: &'c str,
    policies: Vec<Box<dyn policy::Policy>>,
    steps: Vec<&'c str>,
}

fn cases() -> Vec<Case<'static>> {
    let mut source = None;
    let mut cases = Vec::new();
    for (index, line) in CASES.lines().enumerate() {
        if let Some(document) = line.strip_prefix("@ ") {
            let (name, _) = document.split_once(" | ").expect("a document has a name");
            source = Some(name);
        } else if !line.is_empty() && !line.starts_with('#') {
            let source = source.unwrap_or_else(|| panic!("{line} is of no document"));
            cases.push(case(index + 1, source, line));
        }
    }
    cases
}

fn case(number: usize, source: &'static str, line: &'static str) -> Case<'static> {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [_, limits, steps] = columns[..3] else {
        panic!("line {number} has no three columns")
    };
    let policies = configs(limits).into_iter().enumerate();
    let policies = policies.map(|(number, mut config)| {
        config["name"] = format!("l{number}").into();
        compile("rateLimit", config)
    });
    Case {
        line: number,
        source,
        policies: policies.collect(),
        steps: steps.split(';').map(str::trim).collect(),
    }
}

/// The configurations of a case, joined by `+`.
fn configs(limits: &str) -> Vec<Value> {
    if limits == "-" {
        return Vec::new();
    }
    let list = format!("[{}]", limits.replace("} + {", "},{"));
    serde_json::from_str(&list).unwrap_or_else(|error| panic!("{limits}: {error}"))
}

/// Milliseconds of a time with or without a unit.
fn time_ms(text: &str) -> u64 {
    let units = [
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 6e4),
        ("h", 3.6e6),
        ("d", 8.64e7),
    ];
    let unit = units.into_iter().find(|(unit, _)| text.ends_with(unit));
    let (number, factor) = unit.map_or((text, 1.0), |(unit, factor)| {
        (text.trim_end_matches(unit), factor)
    });
    let number: f64 = number
        .parse()
        .unwrap_or_else(|_| panic!("`{text}` is no time"));
    format!("{:.0}", number * factor).parse().unwrap()
}

/// A call, and what is counted of it.
#[derive(Default)]
struct Call<'c> {
    attributes: Vec<(&'c str, &'c str)>,
    bytes: u64,
    events: u32,
}

impl Call<'_> {
    fn request(&self, bench: &Bench) -> RequestCx {
        let known =
            |name: &str| ["app", "sub", "role"].contains(&name) || name.starts_with("claim.");
        let is_known = self.attributes.iter().any(|(name, _)| known(name));
        let mut cx = match is_known {
            true => bench.request_of("GET", "/x", None),
            false => bench.request("GET", "/x"),
        };
        if let Some(principal) = &mut cx.principal {
            let principal = std::rc::Rc::make_mut(principal);
            principal.application = None;
        }
        for (name, value) in &self.attributes {
            self.set(&mut cx, name, value);
        }
        cx
    }

    fn set(&self, cx: &mut RequestCx, name: &str, value: &str) {
        let mut identity = cx
            .principal
            .as_ref()
            .map(|caller| (*caller.identity).clone());
        match name.split_once('.').unwrap_or((name, "")) {
            ("ip", _) => cx.client.ip = value.parse().unwrap(),
            ("m", _) => cx.method = value.parse().unwrap(),
            ("p", _) => value.clone_into(&mut cx.path),
            ("q", _) => cx.query = Some(value.to_owned()),
            ("h", header) => {
                let header = http::HeaderName::from_bytes(header.as_bytes()).unwrap();
                cx.headers.insert(header, value.parse().unwrap());
            }
            ("app", _) => {
                let number: u128 = value.parse().unwrap();
                if let Some(principal) = &mut cx.principal {
                    let principal = std::rc::Rc::make_mut(principal);
                    principal.application =
                        Some(base::ApplicationId(uuid::Uuid::from_u128(number)));
                }
            }
            ("sub", _) => identity.as_mut().unwrap().subject = Some(value.to_owned()),
            ("role", _) => identity.as_mut().unwrap().roles = vec![value.to_owned()],
            ("claim", claim) => {
                let claims = serde_json::json!({claim: value});
                identity.as_mut().unwrap().claims = serde_json::from_value(claims).unwrap();
            }
            _ => panic!("`{name}` is nothing that a call has"),
        }
        if let (Some(identity), Some(principal)) = (identity, &mut cx.principal) {
            let principal = std::rc::Rc::make_mut(principal);
            principal.identity = std::sync::Arc::new(identity);
        }
    }
}

/// What is asked of one step: letters with their numbers.
fn letters(text: &str) -> Vec<(char, usize)> {
    let mut found: Vec<(char, String)> = Vec::new();
    for sign in text.chars() {
        match found.last_mut() {
            Some((_, number)) if sign.is_ascii_digit() => number.push(sign),
            _ => found.push((sign, String::new())),
        }
    }
    let number = |text: String| text.parse().unwrap_or(1);
    found
        .into_iter()
        .map(|(letter, text)| (letter, number(text)))
        .collect()
}

struct Stage<'c> {
    bench: Bench,
    case: &'c Case<'c>,
    open: std::collections::VecDeque<Meter>,
    headers: HeaderMap,
    refused: Option<Reject>,
}

impl Stage<'_> {
    fn letter(&mut self, letter: char, call: &Call<'_>) {
        if letter == 'E' {
            self.open
                .pop_front()
                .unwrap_or_else(|| panic!("line {}: no call is under way", self.case.line));
            return;
        }
        let mut cx = call.request(&self.bench);
        for policy in &self.case.policies {
            self.bench.run(&**policy, &mut cx).unwrap();
        }
        let asked = cx
            .slots
            .get::<policy::Asks>()
            .is_some_and(|asks| !asks.list.is_empty());
        let admission = admission::policy();
        let mut result = self.bench.run(&*admission, &mut cx);
        self.headers = self
            .bench
            .respond(&*admission, &mut cx, 200, HeaderMap::new());
        let mut ended = false;
        if let Some(meter) = cx.slots.take::<Meter>() {
            let now_ms = cx.monotonic_ms;
            meter.debit(Measure::Bytes, call.bytes, now_ms);
            ended = call.events > 0 && !meter.admit(Measure::Events, call.events, now_ms);
            if meter.counts(Measure::Concurrency) {
                self.open.push_back(meter);
            }
        }
        let found = match &result {
            Ok(()) if ended => 'R',
            Ok(()) if asked => 'A',
            Ok(()) => 'I',
            Err(_) => 'R',
        };
        assert_eq!(
            found, letter,
            "line {} at {} ms",
            self.case.line, cx.monotonic_ms
        );
        if let Err(reject) = &mut result {
            assert_eq!(reject.code.status, 429);
            assert!(reject.retry_after_s.is_some());
        }
        self.refused = result.err();
    }

    fn step(&mut self, step: &str) {
        let mut words = step.split(' ');
        let at_ms = time_ms(words.next().unwrap());
        let now_ms = base::Clock::monotonic_ms(&*self.bench.clock);
        self.bench.clock.advance_ms(at_ms - now_ms);
        let mut call = Call::default();
        for word in words {
            match word.split_once('=') {
                Some(("left", left)) => self.told(";r=", left),
                Some(("wait", wait)) => match &self.refused {
                    Some(reject) => assert_eq!(
                        reject.retry_after_s.unwrap().to_string(),
                        wait,
                        "line {}",
                        self.case.line
                    ),
                    None => self.told(";t=", wait),
                },
                Some(("bytes", count)) => call.bytes = count.parse().unwrap(),
                Some(("events", count)) => call.events = count.parse().unwrap(),
                Some(attribute) => call.attributes.push(attribute),
                None => {
                    for (letter, times) in letters(word) {
                        (0..times).for_each(|_| self.letter(letter, &call));
                    }
                }
            }
        }
    }

    /// What the last answer tells.
    fn told(&self, part: &str, expected: &str) {
        let told = self.headers["ratelimit"].to_str().unwrap();
        let (_, found) = told.split_once(part).unwrap();
        let found = found.split(';').next().unwrap();
        assert_eq!(found, expected, "line {}: {told}", self.case.line);
    }
}

/// req: R3 R4
#[test]
fn the_limits_of_other_gateways() {
    let cases = cases();
    let documented = cases.iter().filter(|case| case.source != "ours").count();
    assert!(documented >= 200, "{documented} cases");
    for gateway in ["wso2", "kong", "envoy", "apisix"] {
        let cases = cases.iter().filter(|case| case.source.starts_with(gateway));
        assert!(cases.count() >= 30, "{gateway}");
    }
    let faults: Vec<String> = cases.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What goes otherwise than the case says.
fn fault(case: &Case<'_>) -> Option<String> {
    let run = || {
        let mut stage = Stage {
            bench: Bench::new(),
            case,
            open: std::collections::VecDeque::new(),
            headers: HeaderMap::new(),
            refused: None,
        };
        case.steps.iter().for_each(|step| stage.step(step));
    };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| format!("line {}", case.line)))
}
