//! `tollway lint`: definitions held against a rule set, without a platform.

use std::path::Path;

use base::{Diagnostic, Diagnostics};
use lint::{Finding, Limits, Ruleset, Severity};
use serde::Serialize;

use super::args::{Format, Lint};
use super::bundle::{self, Source};
use super::failure::Failure;
use super::output;

/// A finding as JSON and YAML have it.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    pointer: &'a str,
    severity: Severity,
    rule: &'a str,
    message: &'a str,
}

/// Prints what the rules find, in the order of the files and lines.
///
/// # Errors
/// `No` where something is as severe as asked for; wrong usage where a file or the rule set cannot be used.
pub(crate) fn run(lint: &Lint) -> Result<(), Failure> {
    let ruleset = ruleset(lint.ruleset.as_deref())?;
    let mut findings = Vec::new();
    for source in bundle::sources(&lint.files)? {
        findings.extend(held(lint, source, &ruleset)?);
    }
    findings.sort_by(|a, b| key(a).cmp(&key(b)));
    findings.dedup();
    print(&findings, lint.output)?;
    let worst = findings.iter().map(|finding| finding.severity).max();
    if worst.is_some_and(|worst| worst >= lint.fail_severity) {
        Err(Failure::No)
    } else {
        Ok(())
    }
}

fn key(finding: &Finding) -> (Option<&str>, u32, u32, &str) {
    let diagnostic = &finding.diagnostic;
    let file = diagnostic.file.as_deref();
    (file, diagnostic.line, diagnostic.column, &diagnostic.rule)
}

fn ruleset(file: Option<&Path>) -> Result<Ruleset, Failure> {
    let Some(file) = file else {
        return Ok(Ruleset::built_in());
    };
    let text = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    Ruleset::read(&text, &tree::Limits::default()).map_err(|found| {
        let lines = found
            .into_iter()
            .map(|fault| fault.in_file(bundle::name(file)).to_string());
        Failure::Usage(lines.collect::<Vec<_>>().join("\n"))
    })
}

/// What the rules find in the definitions of one file.
fn held(lint: &Lint, source: Source, ruleset: &Ruleset) -> Result<Vec<Finding>, Failure> {
    if let Some(fault) = source.fault {
        return Err(fault);
    }
    if source.definitions.is_empty() && lint.files.contains(&source.file) {
        return match tree::parse_all(&source.text, &tree::Limits::default()) {
            Err(faults) => Ok(errors(faults, |fault| {
                fault.in_file(bundle::name(&source.file))
            })),
            Ok(_) => Err(Failure::file(
                &source.file,
                "there is no OpenAPI definition in it",
            )),
        };
    }
    let mut findings = Vec::new();
    for (folder, files) in &source.definitions {
        let named = |fault: Diagnostic| {
            let file = folder.join(fault.file.as_deref().unwrap_or(files.root()));
            fault.in_file(bundle::name(&file))
        };
        match openapi::bundle(&files.pack(), &tree::Limits::default()) {
            Err(faults) => findings.extend(errors(faults, named)),
            Ok(bundled) => {
                let mut found = lint::lint(bundled.tree(), ruleset, &Limits::default());
                lint::locate(&mut found, |found| bundled.locate(found));
                findings.extend(found.into_iter().map(|finding| Finding {
                    severity: finding.severity,
                    diagnostic: named(finding.diagnostic),
                }));
            }
        }
    }
    Ok(findings)
}

/// Faults that hinder reading are errors, whatever the rules say.
fn errors(faults: Diagnostics, named: impl Fn(Diagnostic) -> Diagnostic) -> Vec<Finding> {
    let error = |fault| Finding {
        severity: Severity::Error,
        diagnostic: named(fault),
    };
    faults.into_iter().map(error).collect()
}

fn print(findings: &[Finding], format: Format) -> Result<(), Failure> {
    if findings.is_empty() && format == Format::Table {
        return Ok(());
    }
    let rows: Vec<Row<'_>> = findings
        .iter()
        .map(|finding| {
            let diagnostic = &finding.diagnostic;
            Row {
                file: diagnostic.file.as_deref().unwrap_or("-"),
                line: diagnostic.line,
                column: diagnostic.column,
                pointer: &diagnostic.pointer,
                severity: finding.severity,
                rule: &diagnostic.rule,
                message: &diagnostic.message,
            }
        })
        .collect();
    output::one(&rows, format, |rows| {
        let lines = rows.iter().map(|row| {
            let (file, line, column) = (row.file, row.line, row.column);
            format!(
                "{file}:{line}:{column} {} {} {}",
                row.severity, row.rule, row.message
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}
