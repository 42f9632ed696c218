//! "Did you mean": the nearest of some known words.

/// Longer texts are not compared: comparing costs the product of both lengths.
const COMPARED_MAX: usize = 200;

/// The known word that is most like what was written; nothing where none is alike.
#[must_use]
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > COMPARED_MAX {
        return None;
    }
    let lower = written.to_lowercase();
    known
        .into_iter()
        .filter(|word| word.len() <= COMPARED_MAX)
        .map(|word| {
            (
                strsim::damerau_levenshtein(&lower, &word.to_lowercase()),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= 1 + written.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_far() {
        let known = ["context", "version", "cors", "plans"];
        assert_eq!(nearest("contxt", known), Some("context"));
        assert_eq!(nearest("Context", known), Some("context"));
        assert_eq!(nearest("plan", known), Some("plans"));
        assert_eq!(nearest("weather", known), None);
        let long = "a".repeat(COMPARED_MAX + 1);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
