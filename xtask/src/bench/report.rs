//! Tables, printed and kept in `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

/// Between these lines the page is written by the program.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// A table of results.
pub(crate) struct Table {
    title: String,
    note: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One without rows. The first column is text, the others are numbers.
    pub(crate) fn new(title: &str, note: &str, head: &[&'static str]) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, a cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn markdown(&self, out: &mut String) {
        let _ = write!(out, "\n### {}\n\n", self.title);
        if !self.note.is_empty() {
            let _ = write!(out, "{}\n\n", self.note);
        }
        let _ = writeln!(out, "| {} |", self.head.join(" | "));
        let _ = writeln!(out, "|---|{}", "---:|".repeat(self.head.len() - 1));
        for row in &self.rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
    }
}

/// Single numbers, with a target each or none.
#[derive(Default)]
pub(crate) struct Figures(Vec<Vec<String>>);

impl Figures {
    /// A time.
    pub(crate) fn milliseconds(
        &mut self,
        what: impl Into<String>,
        value: f64,
        target: Option<f64>,
    ) {
        self.add(what.into(), value, target, " ms");
    }

    /// An amount of memory, in 10⁶ bytes.
    pub(crate) fn megabytes(&mut self, what: impl Into<String>, value: f64, target: Option<f64>) {
        self.add(what.into(), value, target, " MB");
    }

    /// A small amount of memory.
    pub(crate) fn bytes(&mut self, what: impl Into<String>, value: f64, target: Option<f64>) {
        self.add(what.into(), value, target, " B");
    }

    /// A multiple of something else.
    pub(crate) fn ratio(&mut self, what: impl Into<String>, value: f64, target: Option<f64>) {
        self.add(what.into(), value, target, "");
    }

    /// A number that could not be measured here, and why.
    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        println!("   {what}: {why}");
        self.0.push(vec![
            what.to_owned(),
            why.to_owned(),
            String::new(),
            "**not measured**".to_owned(),
        ]);
    }

    fn add(&mut self, what: String, value: f64, target: Option<f64>, unit: &str) {
        // Ratios want two digits, small amounts one.
        let digits = match unit {
            "" => 2,
            " B" => 0,
            _ => usize::from(value.abs() < 100.0),
        };
        let (bound, said) = match target {
            Some(target) if unit.is_empty() => (format!("≤ {target:.2}"), verdict(value, target)),
            Some(target) => (format!("≤ {target}{unit}"), verdict(value, target)),
            None => (String::new(), String::new()),
        };
        println!("   {what}: {value:.digits$}{unit} {said}");
        let measured = format!("{value:.digits$}{unit}");
        self.0.push(vec![what, measured, bound, said]);
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            "Figures and targets",
            "Ratios are of CPU time a call, medians over the rounds, from the tables below. Memory is what is resident \
             (`VmRSS`); MB are 10⁶ bytes. An API has 20 operations where nothing else is said.",
            &["figure", "measured", "target", ""],
        );
        table.rows.clone_from(&self.0);
        table
    }
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    /// Numbers with targets.
    pub(crate) figures: Figures,
    /// What stands behind them.
    pub(crate) tables: Vec<Table>,
}

impl Report {
    /// The whole of what is generated.
    pub(crate) fn markdown(&self, machine: &[(&str, String)], how: &str) -> String {
        let mut out = String::from("| | |\n|---|---|\n");
        for (what, value) in machine {
            let _ = writeln!(out, "| {what} | {value} |");
        }
        let connections = super::load::CONNECTIONS;
        let _ = writeln!(
            out,
            "| load | {connections} connections where nothing else is said, {how} |"
        );
        self.figures.table().markdown(&mut out);
        for table in &self.tables {
            table.markdown(&mut out);
        }
        out
    }
}

/// Whether a target is met, and by how much not.
pub(crate) fn verdict(value: f64, target: f64) -> String {
    if value <= target {
        "met".to_owned()
    } else {
        format!(
            "**missed by {:.0} %**",
            ((value / target - 1.0) * 100.0).max(1.0)
        )
    }
}

/// Puts the text between the marks of a page.
///
/// # Errors
/// When the page cannot be read or written, or has no marks.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path)?;
    std::fs::write(path, between(&page, text)?)?;
    Ok(())
}

fn between(page: &str, text: &str) -> anyhow::Result<String> {
    let marks = || format!("the page has no {BEGIN} and {END}");
    let (before, rest) = page.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        text.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("# Page\n{BEGIN}\nold\n{END}\nprose\n");
        let new = between(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Page\n{BEGIN}\n\nnew\n\n{END}\nprose\n"));
        assert_eq!(between(&new, "new").unwrap(), new);
        assert!(between("# Page\n", "new").is_err());
    }

    #[test]
    fn a_missed_target_says_by_how_much() {
        assert_eq!(verdict(1.15, 1.15), "met");
        assert_eq!(verdict(1.38, 1.15), "**missed by 20 %**");
        assert_eq!(verdict(1.151, 1.15), "**missed by 1 %**");
    }
}
