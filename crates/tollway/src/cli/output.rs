//! Printing: tables for people, JSON and YAML for programs and files.

use comfy_table::{Table, TableStyle};
use control::api::{FieldChange, Object};
use serde::Serialize;
use serde_json::Value;

use super::args::Format;
use super::failure::Failure;

/// Prints values as a table of these columns, or all of them as JSON or YAML.
///
/// # Errors
/// When they cannot be written as YAML.
pub(crate) fn list<T: Serialize>(
    items: &[T],
    format: Format,
    header: &[&str],
    row: impl Fn(&T) -> Vec<String>,
) -> Result<(), Failure> {
    match format {
        Format::Table => {
            let mut table = Table::new();
            table.load_style(TableStyle::new()).set_header(header);
            for item in items {
                table.add_row(row(item));
            }
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
            println!("{}", table.trim_fmt());
            Ok(())
        }
        Format::Json => json(&items),
        Format::Yaml => yaml(&items),
    }
}

/// Prints one value: for people as `text` puts it.
///
/// # Errors
/// When it cannot be written as YAML.
pub(crate) fn one<T: Serialize>(
    item: &T,
    format: Format,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Table => {
            println!("{}", text(item));
            Ok(())
        }
        Format::Json => json(item),
        Format::Yaml => yaml(item),
    }
}

/// Prints one document; for people as YAML, since that is what they write.
///
/// # Errors
/// When it cannot be written as YAML.
pub(crate) fn document(object: &Object, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => json(object),
        Format::Table | Format::Yaml => yaml(object),
    }
}

/// A member of a document, as text.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect::<Vec<_>>()
            .join(", "),
        Some(other) => other.to_string(),
    }
}

/// One place where something differs.
pub(crate) fn field(field: &FieldChange) -> String {
    let side = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "(nothing)".to_owned(), ToString::to_string)
    };
    format!(
        "{}: {} -> {}",
        field.pointer,
        side(&field.before),
        side(&field.after)
    )
}

/// A time as people read it (RFC 3339, UTC).
pub(crate) fn time(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| unix_ms.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// Prints a value as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::Usage(error.to_string()))?;
    println!("{text}");
    Ok(())
}

fn yaml(value: &impl Serialize) -> Result<(), Failure> {
    let value = serde_json::to_value(value).map_err(|error| Failure::Usage(error.to_string()))?;
    print!("{}", spec::yaml::to_text(&value));
    Ok(())
}

/// Prints a text byte for byte, without a line end of its own.
pub(crate) fn exact(text: &str) {
    print!("{text}");
}

/// Prints a text as it is, and ends the line.
pub(crate) fn raw(text: &str) {
    println!("{text}");
}
