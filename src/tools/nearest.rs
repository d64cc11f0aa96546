//! The known word that a mistyped one is most likely to be.

/// The nearest of `known`, where one is near enough: one slip in three letters at most.
#[must_use]
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Longer than any word that is known: the comparison takes length times length.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let near = known.iter().map(|&known| (strsim::damerau_levenshtein(&word, known), known));
    let (distance, known) = near.min_by_key(|&(distance, _)| distance)?;
    let most = word.chars().count().max(known.chars().count()).div_ceil(3);
    (distance <= most && distance < known.chars().count()).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_gets_the_word_and_another_word_does_not() {
        let known = ["addresses", "delay", "loss", "to"];
        for (word, expected) in [
            ("adresses", Some("addresses")),
            ("addreses", Some("addresses")),
            ("dealy", Some("delay")),
            ("Loss", Some("loss")),
            ("los", Some("loss")),
            ("bandwidth", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"l".repeat(1 << 20), &known), None);
        assert_eq!(nearest("loss", &[]), None);
    }
}
