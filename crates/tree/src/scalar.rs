//! What an unquoted YAML scalar means: the core schema (YAML 1.2.2 §10.3.2).

use serde_json::Number;

use crate::node::Value;

/// A number that JSON cannot express: infinite, not a number, or too large.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotInJson;

/// Resolves a plain scalar; what is nothing else is a string.
pub(crate) fn resolve(text: &str) -> Result<Value, NotInJson> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    Ok(match number(text) {
        Some(number) => Value::Number(number?),
        None => Value::String(text.to_owned()),
    })
}

/// Reads a number of the core schema; nothing where the text is none.
pub(crate) fn number(text: &str) -> Option<Result<Number, NotInJson>> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(NotInJson));
    }
    if !is_decimal(unsigned) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Ok(integer.into()));
    }
    if let Ok(integer) = text.parse::<u64>() {
        return Some(Ok(integer.into()));
    }
    Some(
        text.parse::<f64>()
            .ok()
            .and_then(Number::from_f64)
            .ok_or(NotInJson),
    )
}

fn radix(digits: &str, radix: u32) -> Option<Result<Number, NotInJson>> {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(
        u64::from_str_radix(digits, radix)
            .map(Number::from)
            .map_err(|_| NotInJson),
    )
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_and_nothing_more() {
        let json = |text: &str| match resolve(text) {
            Ok(Value::Null) => "null".to_owned(),
            Ok(Value::Bool(value)) => value.to_string(),
            Ok(Value::Number(value)) => value.to_string(),
            Ok(Value::String(value)) => format!("{value:?}"),
            Ok(Value::Array(_) | Value::Object(_)) => unreachable!(),
            Err(NotInJson) => "not in JSON".to_owned(),
        };
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("True", "true"),
            ("yes", "\"yes\""),
            ("on", "\"on\""),
            ("0", "0"),
            ("-17", "-17"),
            ("+17", "17"),
            ("0o17", "15"),
            ("0xfF", "255"),
            ("1_000", "\"1_000\""),
            ("12:30:45", "\"12:30:45\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("2024-01-02T03:04:05Z", "\"2024-01-02T03:04:05Z\""),
            ("1.0.0", "\"1.0.0\""),
            ("1.5", "1.5"),
            (".5", "0.5"),
            ("1.", "1.0"),
            (".", "\".\""),
            ("-", "\"-\""),
            ("+", "\"+\""),
            ("e5", "\"e5\""),
            ("1e3", "1000.0"),
            ("1e", "\"1e\""),
            ("0x", "\"0x\""),
            ("0x-1", "\"0x-1\""),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e999", "not in JSON"),
            ("-.inf", "not in JSON"),
            (".nan", "not in JSON"),
            ("0xfffffffffffffffff", "not in JSON"),
        ] {
            assert_eq!(json(text), expected, "{text}");
        }
    }
}
